"""What all adapters share: the driver, TLS, a server's sessions and listening sockets, peers, files."""
