"""An authenticator that runs a checkpassword program (cr.yp.to/checkpwd/interface.html, from qmail).

The program reads a user name, a password and a timestamp from descriptor 3, each followed by NUL. If the password is
right, it runs the command in its arguments. It exits with 1 if the password is wrong, and with 111 after a temporary
error.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

try:
    import fcntl
except ImportError as _error:
    raise ImportError("CheckPassword needs to pass descriptor 3 to a program, which only POSIX systems can") from _error

from typing_extensions import override

from pop3proto._io.children import inherited_descriptors, wait
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.sasl.authenticator import PasswordVerifier

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pop3proto.sasl.channel import SessionInfo

__all__ = ["CheckPassword"]

_log: Final = logging.getLogger("pop3proto")

_DESCRIPTOR: Final = 3
_MOST_OCTETS: Final = 512
"""The most that the interface lets a program read. Every system's pipe takes it without waiting for a reader."""

_RIGHT: Final = 0
_WRONG: Final = 1


class CheckPassword(PasswordVerifier):
    """An authenticator that checks each password by running a checkpassword program.

        authenticator = CheckPassword(["/usr/local/bin/checkpassword-pam", "-s", "pop3"])

    The program runs once for each login, with the user id, the working directory and the environment of this process.
    As from qmail, it gets the client's address in the environment variables PROTO and TCPREMOTEIP. It inherits only
    descriptor 3 and standard error; standard input and output are /dev/null. The password is never in an argument or
    an environment variable. The program must itself take equally long for known and unknown users.

    If the program fails, does not end in time or cannot be run, the reason is logged to "pop3proto", and the login is
    refused with `Unavailable` (SYS/TEMP).

    Args:
        command: the program and its arguments; a program without a slash is searched in PATH.
        then: the command for the program to run if the password is right; None is `true`.
        timeout: seconds after which the program and all processes it started are killed. Keep it below the deadline
            for a login (60 seconds by default), so that the client still gets an answer.

    Raises:
        ValueError: the command is empty, or the timeout is not positive.
        FileNotFoundError: `then` is None and there is no program `true`.
    """

    def __init__(self, command: Sequence[str], *, then: Sequence[str] | None = None, timeout: float = 30) -> None:
        if not command or not command[0]:
            raise ValueError("the command must name a program")
        if not timeout > 0:
            raise ValueError("the timeout must be positive")
        self._arguments = (*command, *(_true() if then is None else then))
        self._timeout = timeout

    @property
    @override
    def blocks(self) -> bool:
        return True

    @override
    def check_password(self, user: str, password: str, session: SessionInfo, /) -> bool:
        """Run the program, and return whether it accepts the name and the password."""
        message = _message(user, password)
        if message is None:
            return False
        try:
            status = self._run(message, session)
        except OSError as error:
            raise self._unavailable(error.strerror or str(error)) from error
        if status in (_RIGHT, _WRONG):
            return status == _RIGHT
        raise self._unavailable(_describe_exit(status))

    def _run(self, message: bytes, session: SessionInfo) -> int:
        """Run the program; return its exit status, or the negative number of the signal that killed it.

        Raises:
            TimeoutError: it did not end in time and was killed.
            OSError: it could not be run.
        """
        with _pipe_with(message) as descriptor:
            process = os.posix_spawnp(
                self._arguments[0],
                self._arguments,
                _environment(session),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, descriptor, _DESCRIPTOR),
                    *((os.POSIX_SPAWN_CLOSE, other) for other in inherited_descriptors(above=_DESCRIPTOR)),
                ],
                setpgroup=0,  # a process group, so that its children can be killed too
                setsigmask=(),  # this process may block signals
                setsigdef=(signal.SIGPIPE,),  # Python ignores SIGPIPE
            )
        return wait(process, self._timeout)

    def _unavailable(self, why: str) -> Unavailable:
        _log.error("logins cannot be checked: %s: %s", self._arguments[0], why)
        return Unavailable("logins cannot be checked now; try again later")


def _true() -> tuple[str, ...]:
    # As an absolute path: not every checkpassword program searches PATH.
    path = shutil.which("true", path=os.pathsep.join([os.environ.get("PATH", os.defpath), os.defpath]))
    if path is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "true")
    return (path,)


def _message(user: str, password: str) -> bytes | None:
    """Return what the program reads; None if the interface cannot express it, so that the password is wrong.

    An empty password is refused too: a directory server answers an empty password with success, as an unauthenticated
    bind (RFC 4513 section 5.1.2), and a program that asks one would accept it.
    """
    # Programs that support APOP accept a digest of timestamp and password in place of the password. A random timestamp
    # makes sure that a client cannot have computed one.
    timestamp = f"<{secrets.token_hex(8)}@pop3proto>"
    if not user or not password or "\0" in user + password:
        return None
    try:
        message = f"{user}\0{password}\0{timestamp}\0".encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None
    return message if len(message) <= _MOST_OCTETS else None


@contextmanager
def _pipe_with(message: bytes) -> Generator[int]:
    """Return the read end of a pipe that holds a message followed by end of file. Programs do not inherit it.

    The descriptor is above 3: duplicating descriptor 3 onto itself does not make it inheritable on every system.
    """
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, message)  # does not block: see _MOST_OCTETS
        descriptor = fcntl.fcntl(read_end, fcntl.F_DUPFD_CLOEXEC, _DESCRIPTOR + 1)
    finally:
        os.close(read_end)
        os.close(write_end)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _environment(session: SessionInfo) -> dict[str, str]:
    client = {"PROTO": "TCP", "TCPREMOTEIP": session.address} if session.address else {}
    return {**os.environ, **client}


def _describe_exit(status: int) -> str:
    return f"it was killed by signal {-status}" if status < 0 else f"its exit status was {status}"
