"""What every group uses to measure and to print."""
