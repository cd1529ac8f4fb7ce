"""The sans-IO core: octets in, events out; events in, octets out. Import its names from `pop3proto`."""
