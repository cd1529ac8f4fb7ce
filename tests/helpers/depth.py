"""How deep the tests go.

`POP3PROTO_DEEP=1` runs everything: each product of parameters, many examples, thousands of sessions. Without it, a run
takes a part of each, and the same part every time.
"""

import os

DEEP = os.environ.get("POP3PROTO_DEEP", "") not in {"", "0"}


def deep(whole: int, part: int) -> int:
    """Return a number of examples, rounds, messages: the first in a deep run, else the second."""
    return whole if DEEP else part
