"""What configuration files share: keys as fields of attrs classes, units, values by type, errors, reference."""
