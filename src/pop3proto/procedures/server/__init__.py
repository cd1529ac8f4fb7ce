"""Server procedures: the session, its loop, the handlers of commands."""
