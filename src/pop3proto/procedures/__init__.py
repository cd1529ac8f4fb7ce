"""What programs do with the protocol, written once, as generators that ask the world for operations. No I/O."""
