"""Fetch new mail into a Maildir: accounts, plan, download, journal, and proof that each message is complete."""
