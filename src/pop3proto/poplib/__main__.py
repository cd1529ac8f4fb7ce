"""Run a Python program that uses `poplib` on `pop3proto.poplib`, unchanged."""

from __future__ import annotations

import runpy
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pop3proto.poplib.installing import install

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

USAGE: Final = """\
usage: python -m pop3proto.poplib [--insecure] PROGRAM [ARGUMENT ...]
       python -m pop3proto.poplib [--insecure] -m MODULE [ARGUMENT ...]

Run a Python program that uses the standard library's poplib on pop3proto.poplib, unchanged.

  PROGRAM     a file, or the name of a script on the PATH
  -m MODULE   a module, as of `python -m`
  --insecure  do not verify TLS where the program passes no context: an attacker in between can read the password.
              To trust other authorities instead, set SSL_CERT_FILE to a file of their certificates: only those count,
              so put the usual ones into it as well if they are needed.

Programs that it starts have the standard library's poplib.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program that the arguments name, in this process.

    Args:
        arguments: None: those of the command line.

    Raises:
        SystemExit: there is no such program, or it exits.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    verify = True
    if words[:1] == ["--insecure"]:
        verify = False
        del words[0]
    if words[:1] in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return
    is_module = words[:1] == ["-m"]
    if is_module:
        del words[0]
    if not words or words[0].startswith("-"):
        raise SystemExit(USAGE)
    install(verify=verify)
    name = words[0]
    sys.argv = words
    if is_module:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return
    if not Path(name).exists():
        found = shutil.which(name)
        if found is None:
            raise SystemExit(f"there is no program {name!r}")
        name = sys.argv[0] = found
    if not getattr(sys.flags, "safe_path", False):
        # In place of the current directory, which `python -m` puts there: what is in that is not the program's.
        sys.path[:1] = [str(Path(name).resolve().parent)]
    runpy.run_path(name, run_name="__main__")


if __name__ == "__main__":
    main()
