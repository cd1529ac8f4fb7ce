"""The protocol: octets in, events out; events in, octets out. Nothing here does I/O."""
