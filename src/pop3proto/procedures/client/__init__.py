"""Client procedures: the session, commands under way, logins."""
