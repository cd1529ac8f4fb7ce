"""SCRAM (RFC 5802, RFC 7677): messages, stored keys, and the mechanisms for both roles."""
