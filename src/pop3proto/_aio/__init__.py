"""What the asyncio and the trio adapter share: the client, its messages, the driver, the running sessions."""
