"""Benchmarks of pop3proto against other libraries that do the same work: `python -m benchmarks --help`.

All results are ratios, measured in interleaved rounds: seconds differ from machine to machine.
"""
