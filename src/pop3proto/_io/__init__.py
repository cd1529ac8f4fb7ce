"""What all adapters share: TLS, peers, files."""
