"""SCRAM (RFC 5802, RFC 7677): messages, keys, both roles."""
