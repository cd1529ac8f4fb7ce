"""Mail comes in: one message from a mail server into a Maildir, by quota and through filters."""
