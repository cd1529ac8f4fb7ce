"""A program that checks passwords, by the interface of qmail's checkpassword (cr.yp.to/checkpwd/interface.html).

It reads a name, a password and a timestamp from descriptor 3, each ended by NUL. It runs the program that its
arguments name if the password is right, exits with 1 if it is not, and with 111 if it cannot know now.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

try:
    import fcntl
except ImportError as error:
    raise ImportError("a checkpassword program reads descriptor 3, which only POSIX systems can pass on") from error

from typing_extensions import override

from pop3proto.procedures.maildrop import Unavailable
from pop3proto.sasl.authenticator import PasswordVerifier

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pop3proto.sasl.channel import SessionInfo

__all__ = ["CheckPassword"]

_log: Final = logging.getLogger("pop3proto")

_DESCRIPTOR: Final = 3
_MOST_OCTETS: Final = 512
"""What the interface lets a program read. It is also what a pipe takes without waiting for a reader, on any system."""

_RIGHT: Final = 0
_WRONG: Final = 1
_FIRST_PAUSE: Final = 0.001  # seconds, as the next two
_LONGEST_PAUSE: Final = 0.05
_LONGEST_GRACE: Final = 5.0


class CheckPassword(PasswordVerifier):
    """Asks a program, which runs anew for each login, as the user and in the folder of this process.

    It sees the environment of this process, and the client's address as PROTO and TCPREMOTEIP, as qmail's programs
    do. Of the descriptors it gets 3 and standard error; input and output are /dev/null. The password is in no argument
    and no variable. How long it takes whether or not there is such a user is up to the program.

    Args:
        command: the program and its arguments; without a slash, it is looked for where PATH leads.
        then: what it is to run if the password is right; `true` if None.
        timeout: seconds until it is killed, with all that it has started: it failed. A login has 60 seconds by
            default, in which the client should still be told.

    Raises:
        ValueError: the command is empty, or the timeout not positive.
        FileNotFoundError: there is no program `true`.
    """

    def __init__(self, command: Sequence[str], *, then: Sequence[str] | None = None, timeout: float = 30) -> None:
        if not command or not command[0]:
            raise ValueError("there must be a program to run")
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
        message = _message(user, password)
        if message is None:
            return False
        try:
            status = self._run(message, session)
        except OSError as error:
            raise self._unavailable(error.strerror or str(error)) from error
        if status in (_RIGHT, _WRONG):
            return status == _RIGHT
        raise self._unavailable(_ending(status))

    def _run(self, message: bytes, session: SessionInfo) -> int:
        """Return the exit status; less than 0: the signal that ended it.

        Raises:
            TimeoutError: it had to be killed.
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
                    *((os.POSIX_SPAWN_CLOSE, other) for other in _inherited()),
                ],
                setpgroup=0,  # so that all can be killed
                setsigmask=(),  # whoever serves may block some
                setsigdef=(signal.SIGPIPE,),  # Python ignores it
            )
        return _wait(process, self._timeout)

    def _unavailable(self, why: str) -> Unavailable:
        _log.error("logins cannot be checked: %s: %s", self._arguments[0], why)
        return Unavailable("logins cannot be checked now")


def _true() -> tuple[str, ...]:
    # By its whole path: not every program looks where PATH leads.
    path = shutil.which("true", path=os.pathsep.join([os.environ.get("PATH", os.defpath), os.defpath]))
    if path is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "true")
    return (path,)


def _message(user: str, password: str) -> bytes | None:
    """Return what the program reads; None if it cannot be said, so that nobody can have this password.

    An empty password is none either: programs that ask a directory would take the directory's answer to somebody
    without a password for a yes (RFC 4513 section 5.1.2).
    """
    # Programs that know APOP take a digest of the timestamp and the password for the password itself. If nobody knows
    # the timestamp before, nobody has such a digest.
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
    """Return a descriptor above 3 from which a message can be read, and then its end. Python's own are not inherited.

    It must not be 3: to duplicate a descriptor onto itself would not, on every system, let the program inherit it.
    """
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, message)  # all of it, at once: see above
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


def _inherited() -> list[int]:
    """Return what this process got from whoever started it and would pass on: sockets of a supervisor, say."""
    descriptors: list[int] = []
    with suppress(OSError):  # not every system lists them
        descriptors = [int(name) for name in os.listdir("/dev/fd") if name.isdecimal()]  # noqa: PTH208 - no files
    return [descriptor for descriptor in descriptors if descriptor > _DESCRIPTOR and _is_inheritable(descriptor)]


def _is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:  # closed since
        return False


def _wait(process: int, timeout: float) -> int:
    """Return the exit status of a process; less than 0: the signal that ended it. However this ends, it is reaped.

    Raises:
        TimeoutError: it had to be killed.
        ChildProcessError: somebody else has reaped it.
    """
    try:
        status = _poll(process, time.monotonic() + timeout)
    except ChildProcessError:
        raise  # its number may be another's by now
    except BaseException:
        _end(process)
        raise
    if status is None:
        _end(process)
        raise TimeoutError(errno.ETIMEDOUT, f"it did not end in {timeout:g} seconds")
    return status


def _poll(process: int, until: float) -> int | None:
    """Return the exit status; None if there is none at some moment. No system call waits for a process and a time."""
    pause = _FIRST_PAUSE
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        left = until - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _end(process: int) -> None:
    """Kill a process and what it has started, and reap it."""
    with suppress(OSError):  # it may have become another user's
        os.killpg(process, signal.SIGKILL)
    # What cannot be killed, or hangs in a file system, must not keep the client waiting.
    reaper = threading.Thread(target=_reap, args=(process,), daemon=True)
    reaper.start()
    reaper.join(_LONGEST_GRACE)


def _reap(process: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(process, 0)


def _ending(status: int) -> str:
    return f"signal {-status} ended it" if status < 0 else f"its exit status was {status}"
