"""Fuzz targets for pop3proto, and what runs them: `python -m fuzz --help`."""
