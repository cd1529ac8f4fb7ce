"""How much a maildrop may hold: the limits, and the file that mail programs share to keep count."""
