"""The log of a server: a line for each session and each deleted message, as text or JSON, to a file or the system."""
