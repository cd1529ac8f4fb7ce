"""Measuring and printing, shared by all groups."""
