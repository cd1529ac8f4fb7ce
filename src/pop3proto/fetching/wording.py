"""Words for errors: what a person reads who has given URLs and options, and no arguments of the library."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from pop3proto.core.errors import Pop3Error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["cannot", "reason"]

_ERRNO: Final = re.compile(r"\[Errno -?[0-9]+\] ")  # Python's prefix to the system's message


def cannot(do: str, path: Path, error: OSError) -> str:
    """Return the words for a file or folder that cannot be used: what cannot be done to which path, and why.

    Args:
        do: "read the users file", for example.
        path: what the user has named.
        error: why. If it is about another path, that is named, too.
    """
    from pathlib import Path  # noqa: PLC0415 - as above

    culprit = path if error.filename is None else Path(os.fsdecode(error.filename))
    same = culprit.parts[-len(path.parts) :] == path.parts  # it may be the absolute path of it
    return f"cannot {do} {path}: {error.strerror or error if same else reason(error)}"


def reason(error: Exception, server: str = "") -> str:
    """Return the message of an error for a user, without exception class, errno and brackets.

    Advice that names arguments of the library names URLs and options instead.

    Args:
        error: the error.
        server: host and port of the server. An error of a session begins with them, unless it names them itself.
    """
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"
    text = _ERRNO.sub("", str(error))
    for advice, ours in _advice():
        text = text.replace(advice, ours)
    return f"{server}: {text}" if isinstance(error, Pop3Error) and server not in text else text


def _advice() -> Iterator[tuple[str, str]]:
    """Yield what the library advises to programs, with what does the same on the command line."""
    from pop3proto._io.stream import READ_TIMEOUT  # noqa: PLC0415 - as above
    from pop3proto._io.tls import TLS_LATER, TRUST_ISSUER  # noqa: PLC0415 - as above
    from pop3proto.core.replies import IMPLICIT_TLS  # noqa: PLC0415 - as above
    from pop3proto.procedures.client.login_plan import ASK_FOR_IT  # noqa: PLC0415 - as above
    from pop3proto.procedures.client.login_walk import NAME_NEXT  # noqa: PLC0415 - as above

    yield TRUST_ISSUER, "to trust its issuer, use --ca-file FILE"
    yield TLS_LATER, "use a pop:// URL, or another port"
    yield IMPLICIT_TLS, "use a pops:// URL"
    yield 'password_encoding="utf-8"', "--password-encoding utf-8"
    yield READ_TIMEOUT, "the server sent nothing in time (--timeout)"
    yield ASK_FOR_IT, "without verified TLS it must be named by ;AUTH= in the URL"
    yield NAME_NEXT, "name what is to be tried next by ;AUTH= in the URL"
