"""What a power failure would lose: what a program has written and not yet synced when it deletes mail on a server."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath

from tests.helpers.system_calls import Call

_WRITING = {
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "ftruncate",
    "truncate",
    "fallocate",
    "sendfile",
    "copy_file_range",
}
_DELETING = (b"DELE", b"QUIT")


def unsynced(  # noqa: C901 - a row for each kind of call
    calls: Iterable[Call], is_temporary: Callable[[PurePath], bool]
) -> Iterator[tuple[bytes, set[str]]]:
    """Yield what was sent, and which files and names were not on the disk then, whenever DELE or QUIT is sent.

    Args:
        calls: of a run that began with an empty folder.
        is_temporary: returns whether nothing is lost with a file.
    """
    octets: set[str] = set()  # of which files there are some in memory only
    names: set[str] = set()  # that are in memory only
    for call in calls:
        match call.name, call.paths:
            case _, ():
                if any(verb in call.sent for verb in _DELETING):
                    yield call.sent, {path for path in octets | names if not is_temporary(PurePath(path))}
            case name, (path,) if name in _WRITING:
                octets.add(path)
            case (("fsync" | "fdatasync"), (path,)):
                octets.discard(path)
                names -= {each for each in names if str(PurePath(each).parent) == path}
            case (("open" | "openat" | "mkdir" | "mkdirat" | "symlink" | "symlinkat"), (path,)):
                if call.creates or not call.name.startswith("open"):
                    names.add(path)
            case (("rename" | "renameat" | "renameat2" | "link" | "linkat"), (old, new)):
                names.add(new)
                octets = octets | {new} if old in octets else octets - {new}
                if call.name.startswith("rename"):
                    names.discard(old)
                    octets.discard(old)
            case (("unlink" | "unlinkat" | "rmdir"), (path,)):
                octets.discard(path)
                names.discard(path)
            case _:
                pass
