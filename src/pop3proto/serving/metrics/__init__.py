"""Figures of a server for Prometheus, and whether it is well, over HTTP. It needs the extra `metrics`."""
