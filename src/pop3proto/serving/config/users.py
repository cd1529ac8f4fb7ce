"""Who may log in: where the users and their passwords are, and who says whether a token is valid."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - cattrs reads the annotations
from typing import TypeAlias

import attrs

from pop3proto._config.keys import about
from pop3proto._config.units import Seconds

from .checks import positive

__all__ = [
    "CheckpasswordUsers",
    "FileUsers",
    "HtpasswdUsers",
    "Introspection",
    "PasswdFileUsers",
    "SqlUsers",
    "Users",
]


@attrs.frozen(kw_only=True)
class FileUsers:
    """Users in a file of `pop3proto passwd`."""

    file: Path = attrs.field(metadata=about("a file that `pop3proto passwd` writes"))
    secrets: Path | None = attrs.field(
        default=None,
        metadata=about(
            "a file with a line `user:password` for each user that may log in by APOP and CRAM-MD5, which need "
            "passwords in clear; no other user may read it"
        ),
    )


@attrs.frozen(kw_only=True)
class PasswdFileUsers:
    """Users in a passwd-file of Dovecot."""

    passwd_file: Path = attrs.field(
        metadata=about("a passwd-file as Dovecot has it: `user:{SCHEME}hash:uid:gid:gecos:home:shell:extra`")
    )


@attrs.frozen(kw_only=True)
class HtpasswdUsers:
    """Users in a file of htpasswd."""

    htpasswd: Path = attrs.field(metadata=about("a file that Apache's `htpasswd` writes: bcrypt, SHA-1 or crypt"))


@attrs.frozen(kw_only=True)
class CheckpasswordUsers:
    """Users that a program knows."""

    checkpassword: tuple[str, ...] = attrs.field(
        metadata=about("a program with its arguments, which checks each password as qmail's checkpassword does")
    )
    timeout: Seconds = attrs.field(
        default=Seconds(30), metadata=about("the time that the program has"), validator=positive
    )


@attrs.frozen(kw_only=True)
class SqlUsers:
    """Users in a database of SQLite."""

    sqlite: Path = attrs.field(metadata=about("a database of SQLite; it is only read"))
    query: str = attrs.field(
        metadata=about(
            "a query that returns one row for a user: the column `password` with `{SCHEME}hash`, and if you like "
            "`home`, `quota_octets` and `quota_messages`. `:user`, `:local` and `:domain` are its parameters"
        )
    )
    list: str | None = attrs.field(
        default=None, metadata=about("a query that returns the names of all users, in its first column")
    )
    timeout: Seconds = attrs.field(default=Seconds(5), metadata=about("the time that a query has"), validator=positive)


Users: TypeAlias = FileUsers | PasswdFileUsers | HtpasswdUsers | CheckpasswordUsers | SqlUsers


@attrs.frozen(kw_only=True)
class Introspection:
    """The authorization server that says whether a token is valid (RFC 7662)."""

    url: str = attrs.field(metadata=about("the URL of its introspection endpoint: https, or http on this machine"))
    client_id: str = attrs.field(metadata=about("as which client this server asks"))
    client_secret: Path = attrs.field(metadata=about("a file with the secret of that client in its first line"))
    username: str = attrs.field(
        default="username", metadata=about("the member of the answer that names the user: `username`, `email`, `sub`")
    )
    audience: str | None = attrs.field(default=None, metadata=about("a value that `aud` of the answer must have"))
    scope: str | None = attrs.field(default=None, metadata=about("a value that `scope` of the answer must have"))
    ca: Path | None = attrs.field(
        default=None, metadata=about("authorities for the certificate of the endpoint, in place of the system's")
    )
    timeout: Seconds = attrs.field(
        default=Seconds(10), metadata=about("the time that an answer may take"), validator=positive
    )
    cache: Seconds = attrs.field(
        default=Seconds(60),
        metadata=about("a valid token is not asked for again within this time, nor after its end; 0: always"),
    )
