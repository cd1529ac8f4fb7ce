"""Download what is new into a Maildir: accounts, the plan, the journal, the proof that a message is whole."""
