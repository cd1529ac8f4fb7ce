"""Giving up the rights of root, once the sockets are bound."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import grp
    import pwd

__all__ = ["check_not_root", "drop_privileges", "find_user"]

_ROOT: Final = 0


def drop_privileges(user: str, group: str | None = None) -> None:
    """Go on as another user, with that user's groups, and with no way back. Where the process is that user, do nothing.

    Bind the sockets before: ports below 1024 are for root. What is read later must be readable by that user: the keys
    of certificates, at a reload; and the modules of Python and of this package, which loads many at their first use.

    Args:
        user: a name, or a number.
        group: the main group, a name or a number; None: that of the user.

    Raises:
        ValueError: there is no such user or group, or it is root.
        PermissionError: the process may not do that, for it is neither root nor that user.
        RuntimeError: the system has let it keep its rights, or take them back. End the process.
    """
    entry = find_user(user)
    main = entry.pw_gid if group is None else _group(group).gr_gid
    if entry.pw_uid == _ROOT:
        raise ValueError(f"the user {user!r} is root, whose rights are to be given up")
    if main == _ROOT:
        raise ValueError(f"the group of {user!r} would be that of root; name another one")
    uid = entry.pw_uid
    if {*_users()} == {uid} and {*_groups()} == {main} and _ROOT not in os.getgroups():
        return
    groups = sorted({*os.getgrouplist(entry.pw_name, main)} - {_ROOT})
    try:
        os.setgroups(groups)  # first: only root may do these, in this order
        os.setgid(main)
        os.setuid(uid)
    except PermissionError as error:
        raise PermissionError(
            error.errno,
            f"this process, of user {os.geteuid()}, may not go on as {user!r}: start it as root, or as that user, and "
            "without the group of root",
        ) from error
    _check_dropped(uid, main, groups)


def check_not_root() -> None:
    """Refuse to go on as root.

    Raises:
        PermissionError: the process has the rights of root, or of its group.
    """
    if _ROOT in (*_users(), *_groups(), *os.getgroups()):
        raise PermissionError(
            "a server should not run as root: name a user, to whom it changes once its sockets are bound"
        )


def _check_dropped(uid: int, gid: int, groups: list[int]) -> None:
    kept = [{*_users()} != {uid}, {*_groups()} != {gid}]
    kept.append(not {*os.getgroups()} <= {*groups, gid})
    try:
        os.seteuid(_ROOT)
    except PermissionError:
        pass
    else:
        kept.append(True)
    if any(kept):
        raise RuntimeError("the rights of root were not given up: end this process")


def _users() -> tuple[int, ...]:
    """Return the users of the process: real, effective and, where the system tells, saved."""
    return os.getresuid() if hasattr(os, "getresuid") else (os.getuid(), os.geteuid())


def _groups() -> tuple[int, ...]:
    """Return the main groups of the process, likewise."""
    return os.getresgid() if hasattr(os, "getresgid") else (os.getgid(), os.getegid())


def find_user(user: str) -> pwd.struct_passwd:
    """Return a user of the system, by name or number.

    Raises:
        ValueError: there is none.
    """
    import pwd  # noqa: PLC0415 - POSIX has it

    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        raise ValueError(f"there is no user {user!r} on this system") from None


def _group(group: str) -> grp.struct_group:
    import grp  # noqa: PLC0415 - as above

    try:
        return grp.getgrgid(int(group)) if group.isdecimal() else grp.getgrnam(group)
    except (KeyError, OverflowError):
        raise ValueError(f"there is no group {group!r} on this system") from None
