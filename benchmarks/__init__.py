"""How fast it is, against others that do the same work: `python -m benchmarks --help`.

Everything is a ratio, measured in interleaved rounds on the machine at hand; seconds mean nothing elsewhere.
"""
