"""Follow the system calls of a child that touch one folder or send something, and spoil one of them.

By ptrace(2), which needs neither root nor another program, so that no call is missed: what Python's own modules, C
extensions and threads do is seen, too. The numbers of the calls are those of Linux on x86-64.
"""

import contextlib
import ctypes
import errno
import functools
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Final

import attrs

KILL: Final = "kill"


@attrs.frozen
class Call:
    """A system call.

    Args:
        name: of the call.
        paths: the files and folders that it is about.
        sent: the first octets that it sends on a connection.
        creates: it is an `openat` that may make the file.
    """

    name: str
    paths: tuple[str, ...] = ()
    sent: bytes = b""
    creates: bool = False

    @property
    def changes(self) -> bool:
        """Whether it may change something outside the process.

        To be killed before any other call is the same as to be killed before the next one of these.
        """
        return bool(self.sent) or self.creates or self.name not in CHANGING_NOTHING

    def may_fail(self, number: int) -> bool:
        """Whether an error, by its number, can come of it."""
        if self.sent:
            return False
        if number == errno.ENOSPC:
            return self.creates or self.name in FILLING
        if number == errno.EACCES:
            return self.name in BY_PATH
        return True


@attrs.frozen
class Mishap:
    """What happens at one of the calls.

    Args:
        at: which, from 1 on, of those that change something (`KILL`) or may fail in this way.
        what: `KILL`: the process is killed before it; else the number of the error.
        lasting: all later calls that may fail in this way fail, too.
    """

    at: int
    what: str | int = KILL
    lasting: bool = False

    def concerns(self, call: Call) -> bool:
        return call.changes if isinstance(self.what, str) else call.may_fail(self.what)


# Number: name, and where its arguments name a file: a path; a folder and a path; or a descriptor.
BY_PATH: Final = {
    "open", "openat", "truncate", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir",
    "mkdirat", "rmdir", "symlink", "symlinkat", "chmod", "fchmodat", "stat", "lstat", "newfstatat", "statx", "access",
    "faccessat", "faccessat2", "utimensat",
}  # fmt: skip
FILLING: Final = {
    "write", "pwrite64", "writev", "pwritev", "ftruncate", "fallocate", "fsync", "fdatasync", "sendfile",
    "copy_file_range", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat",
}  # fmt: skip
CHANGING_NOTHING: Final = {
    "open", "openat", "read", "pread64", "getdents64", "stat", "lstat", "newfstatat", "statx", "access", "faccessat",
    "faccessat2", "flock", "fsync", "fdatasync",
}  # fmt: skip
_SENDING: Final = {1: "write", 20: "writev", 44: "sendto", 46: "sendmsg"}
_PATHS: Final[dict[int, tuple[str, tuple[int | tuple[int, int], ...]]]] = {
    2: ("open", (0,)), 4: ("stat", (0,)), 6: ("lstat", (0,)), 21: ("access", (0,)), 76: ("truncate", (0,)),
    82: ("rename", (0, 1)), 83: ("mkdir", (0,)), 84: ("rmdir", (0,)), 86: ("link", (0, 1)), 87: ("unlink", (0,)),
    88: ("symlink", (1,)), 90: ("chmod", (0,)), 257: ("openat", ((0, 1),)), 258: ("mkdirat", ((0, 1),)),
    262: ("newfstatat", ((0, 1),)), 263: ("unlinkat", ((0, 1),)), 264: ("renameat", ((0, 1), (2, 3))),
    265: ("linkat", ((0, 1), (2, 3))), 266: ("symlinkat", ((1, 2),)), 268: ("fchmodat", ((0, 1),)),
    269: ("faccessat", ((0, 1),)), 280: ("utimensat", ((0, 1),)), 316: ("renameat2", ((0, 1), (2, 3))),
    332: ("statx", ((0, 1),)), 439: ("faccessat2", ((0, 1),)),
}  # fmt: skip
_DESCRIPTORS: Final = {
    0: ("read", 0), 1: ("write", 0), 17: ("pread64", 0), 18: ("pwrite64", 0), 20: ("writev", 0), 40: ("sendfile", 0),
    73: ("flock", 0), 74: ("fsync", 0), 75: ("fdatasync", 0), 77: ("ftruncate", 0), 91: ("fchmod", 0),
    217: ("getdents64", 0), 285: ("fallocate", 0), 296: ("pwritev", 0), 326: ("copy_file_range", 2),
}  # fmt: skip
_FLAGS: Final = {"open": 1, "openat": 2}

_TRACEME, _POKEUSER, _SYSCALL, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 6, 24, 0x4200, 0x420E
_OPTIONS: Final = 0x1 | 0x8 | 0x100000  # TRACESYSGOOD, TRACECLONE: threads, not processes; EXITKILL
_ORIG_RAX, _RAX = 15 * 8, 10 * 8
_WALL: Final = 0x40000000
_ENTRY, _EXIT = 1, 2
_HERE: Final = (1 << 64) - 100, (1 << 32) - 100  # AT_FDCWD
PATIENCE: Final = 60
"""Seconds after which a child is taken to hang."""
_TAKEN: Final = 64  # octets of what is sent


class Hangs(Exception):
    """The child does not end."""


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _ptrace(request: int, pid: int, address: int = 0, data: object = 0) -> int:
    result: int = _libc.ptrace(request, pid, address, data)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def fork(work: Callable[[], int]) -> int:
    """Fork a child that stops before it begins to work; return its process id. `work` returns its exit status."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            _ptrace(_TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            status = work()
        except OSError:
            pass  # it may not be followed
        finally:
            os._exit(status)
    return pid


@contextlib.contextmanager
def limited(pid: int) -> Generator[None]:
    """Kill a child if the block does not end; it must wait for the child, and end with it.

    Raises:
        Hangs: it was killed.
    """
    hangs = False

    def end(*_: object) -> None:
        nonlocal hangs
        hangs = True
        os.kill(pid, signal.SIGKILL)

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    if hangs:
        raise Hangs(f"still running after {PATIENCE} s")


@functools.cache
def works() -> bool:
    """Return whether system calls can be followed here. Containers may forbid it, and old systems do not tell them."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    with contextlib.suppress(OSError):
        return Tracer(fork(lambda: 0), Path(os.devnull), None).run() == 0
    return False


class Tracer:
    """Follows a child that `fork` has made.

    Args:
        pid: of the child.
        folder: the calls that are about files below it, and itself, are noted.
        mishap: what happens; None: nothing.

    Attributes:
        calls: what it did, in order.
        struck: the call that was spoiled, the first one; None: there was none.
    """

    def __init__(self, pid: int, folder: Path, mishap: Mishap | None) -> None:
        self.calls: list[Call] = []
        self.struck: Call | None = None
        self._pid = pid
        self._folder = str(folder)
        self._below = f"{folder}/"
        self._mishap = mishap
        self._met = 0
        self._spoiled: set[int] = set()  # threads whose call is under way, and fails
        self._known = {pid}
        self._memory = -1
        self._info = ctypes.create_string_buffer(128)

    def run(self) -> int | None:
        """Let it run to its end; return its exit status, or None: it was killed.

        Raises:
            Hangs: it does not end. It is killed.
            OSError: it cannot be followed. It is killed.
        """
        _, status = os.waitpid(self._pid, 0)
        if not os.WIFSTOPPED(status):
            raise PermissionError(errno.EPERM, "no process may be followed here")
        try:
            _ptrace(_SETOPTIONS, self._pid, 0, _OPTIONS)
            self._memory = os.open(f"/proc/{self._pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
            with limited(self._pid):
                return self._follow()
        except Hangs as hangs:
            raise Hangs(f"{hangs}; its last calls: {self.calls[-5:]}") from None
        except OSError:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, _WALL)
            raise
        finally:
            if self._memory >= 0:
                os.close(self._memory)

    def _follow(self) -> int | None:
        self._go_on(self._pid)
        while True:
            thread, status = os.waitpid(-1, _WALL)
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                if thread == self._pid:
                    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
                continue
            stop = os.WSTOPSIG(status)
            deliver = 0
            if stop == signal.SIGTRAP | 0x80:
                if not self._at_call(thread):
                    os.kill(self._pid, signal.SIGKILL)
                    continue
            elif stop == signal.SIGSTOP and thread not in self._known:
                self._known.add(thread)
            elif stop != signal.SIGTRAP:
                deliver = stop
            self._go_on(thread, deliver)

    def _go_on(self, thread: int, deliver: int = 0) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has been killed meanwhile
            _ptrace(_SYSCALL, thread, 0, deliver)

    def _at_call(self, thread: int) -> bool:
        """Look at a call that begins or ends; return whether the child lives on."""
        try:
            _ptrace(_GET_SYSCALL_INFO, thread, len(self._info), ctypes.addressof(self._info))
        except ProcessLookupError:
            return True
        kind = self._info.raw[0]
        if kind == _EXIT and thread in self._spoiled:
            self._spoiled.discard(thread)
            assert self._mishap is not None
            assert isinstance(self._mishap.what, int)
            _ptrace(_POKEUSER, thread, _RAX, -self._mishap.what)
        if kind != _ENTRY:
            return True
        number, *arguments = struct.unpack_from("<7Q", self._info.raw, 24)
        call = self._call(number, arguments)
        if call is None:
            return True
        strikes = self._strikes(call)
        if strikes and self._mishap is not None:
            self.struck = self.struck or call
            if isinstance(self._mishap.what, str):
                return False
            _ptrace(_POKEUSER, thread, _ORIG_RAX, -1)  # there is no such call
            self._spoiled.add(thread)
        else:
            self.calls.append(call)
        return True

    def _strikes(self, call: Call) -> bool:
        if self._mishap is None or not self._mishap.concerns(call):
            return False
        self._met += 1
        return self._met == self._mishap.at or (self._mishap.lasting and self._met > self._mishap.at)

    def _call(self, number: int, arguments: Sequence[int]) -> Call | None:
        if number in _PATHS:
            name, places = _PATHS[number]
            paths = tuple(self._path(arguments, place) for place in places)
            if not any(map(self._is_watched, paths)):
                return None
            flags = arguments[_FLAGS[name]] if name in _FLAGS else 0
            return Call(name, paths, creates=bool(flags & (os.O_CREAT | os.O_TRUNC)))
        if number in _DESCRIPTORS:
            name, place = _DESCRIPTORS[number]
            path = self._of_descriptor(arguments[place])
            if self._is_watched(path):
                return Call(name, (path,))
            if not path.startswith("socket:"):
                return None
        if number in _SENDING:
            sent = self._read(arguments[1], min(arguments[2], _TAKEN)) if number in {1, 44} else b"?"
            return Call(_SENDING[number], sent=sent or b"?")
        return None

    def _is_watched(self, path: str) -> bool:
        return path == self._folder or path.startswith(self._below)

    def _path(self, arguments: Sequence[int], place: int | tuple[int, int]) -> str:
        folder, at = (_HERE[0], place) if isinstance(place, int) else (arguments[place[0]], place[1])
        path = os.fsdecode(self._read(arguments[at], 4096).partition(b"\0")[0])
        if path.startswith("/"):
            return path
        base = str(Path(f"/proc/{self._pid}/cwd").readlink()) if folder in _HERE else self._of_descriptor(folder)
        return f"{base}/{path}" if path else base

    def _of_descriptor(self, descriptor: int) -> str:
        try:
            path = os.readlink(f"/proc/{self._pid}/fd/{descriptor}")  # noqa: PTH115 - for each call, and Path is slow
        except OSError:
            return ""
        return path.removesuffix(" (deleted)")

    def _read(self, address: int, count: int) -> bytes:
        try:
            return os.pread(self._memory, count, address)
        except OSError:
            return b""
