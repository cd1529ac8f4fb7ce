"""The targets, one subject a module."""
