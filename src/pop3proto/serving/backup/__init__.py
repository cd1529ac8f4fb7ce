"""Maildrops in one file: written, verified and restored, with unique ids and what was retrieved."""
