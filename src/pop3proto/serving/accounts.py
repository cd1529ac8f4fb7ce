"""The users of a configuration: what checks their passwords, tokens and certificates, and what knows them without."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar, assert_never

import attrs

from pop3proto.authenticators.certificate_names import CertificateNames
from pop3proto.authenticators.checkpassword import CheckPassword
from pop3proto.authenticators.combined import CombinedAuthenticator
from pop3proto.authenticators.hash_file import HashFile
from pop3proto.authenticators.htpasswd import Htpasswd
from pop3proto.authenticators.introspection import TokenIntrospection
from pop3proto.authenticators.passwd_file import PasswdFile
from pop3proto.authenticators.secrets_file import SecretsFile
from pop3proto.authenticators.sqlite import SqliteUsers
from pop3proto.authenticators.user_table import MalformedUsers
from pop3proto.authenticators.users_file import UsersFile
from pop3proto.core.text import ascii_lower, visible

from .config.users import CheckpasswordUsers, FileUsers, HtpasswdUsers, PasswdFileUsers, SqlUsers
from .known_users import KnownCertificates, KnownSecrets, KnownTokens

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from pop3proto.authenticators.directory import UserDirectory
    from pop3proto.sasl.authenticator import Authenticator

    from .config.main import ServeConfig
    from .config.users import Introspection, Users

_log: Final = logging.getLogger("pop3proto.serving")

T = TypeVar("T", bound=HashFile)

__all__ = ["Accounts", "AccountsUnusable", "open_accounts", "open_directory"]


class AccountsUnusable(ValueError):
    """The source of users, or what checks tokens, cannot be used as the configuration says."""


@attrs.frozen
class Accounts:
    """The users of a configuration.

    Args:
        authenticator: checks passwords, tokens and certificates.
        directory: knows the users; None: only a password tells whether one exists.
        problems: what is wrong with single users, a line each; the others can log in.
        files: those with hashes, of which `open_accounts` takes the place.
    """

    authenticator: Authenticator
    directory: UserDirectory | None
    problems: tuple[str, ...] = ()
    files: tuple[HashFile, ...] = ()

    def file(self, kind: type[T]) -> T | None:
        """Return the file of a kind; None if there is none."""
        return next((file for file in self.files if isinstance(file, kind)), None)


def open_accounts(config: ServeConfig, before: Accounts | None = None) -> Accounts:
    """Open the sources of users that a configuration names.

    Args:
        config: the configuration.
        before: what these take the place of while a server runs: a file that is empty or half written is not used
            then. None: there is nothing yet.

    Raises:
        AccountsUnusable: one of them cannot be used. The message names it, and the key.
    """
    parts: list[Authenticator] = []
    tokens: TokenIntrospection | None = None
    with _named_failures():
        if config.users is not None:
            parts += _authenticators(config.users, before)
        if config.tokens is not None:
            tokens = _introspection(config.tokens)
    directory = _directory(parts[0]) if parts else None
    files = tuple(each for each in parts if isinstance(each, HashFile))
    not_folded = tuple(_not_folded(config, parts))
    for problem in not_folded:  # files say theirs
        _log.warning("users: %s", problem)
    problems = (*(problem for file in files for problem in file.problems), *not_folded)
    if directory is not None:  # a user that it shuts out does not get in by another way
        parts[1:] = [KnownSecrets(each, directory) if isinstance(each, SecretsFile) else each for each in parts[1:]]
    if tokens is not None:
        parts.append(tokens if directory is None else KnownTokens(tokens, directory))
    if config.tls is not None and config.tls.client_name is not None:
        certificates = CertificateNames(config.tls.client_name)
        parts.append(certificates if directory is None else KnownCertificates(certificates, directory))
    authenticator = parts[0] if len(parts) == 1 else CombinedAuthenticator(*parts)
    return Accounts(authenticator, directory, problems, files)


def _not_folded(config: ServeConfig, parts: Sequence[Authenticator]) -> Iterator[str]:
    """Yield whose names in files of users no client can have, as the names of clients are folded to lower case."""
    if not config.lower_case_users:
        return
    for part in parts:
        if isinstance(part, UsersFile | HashFile):
            for name in part.names():
                if ascii_lower(name) != name:
                    yield f"{visible(name)} cannot log in: names are folded to lower case (lower_case_users)"


def open_directory(config: ServeConfig) -> UserDirectory | None:
    """Return what knows the users without their passwords; None: only a password tells whether a user exists.

    Raises:
        AccountsUnusable: it cannot be used.
    """
    if config.users is None:
        return None
    users = attrs.evolve(config.users, secrets=None) if isinstance(config.users, FileUsers) else config.users
    with _named_failures():
        return _directory(_authenticators(users)[0])


def _directory(authenticator: Authenticator) -> UserDirectory | None:
    return authenticator if isinstance(authenticator, UsersFile | HashFile | SqliteUsers) else None


@contextmanager
def _named_failures() -> Generator[None]:
    try:
        yield
    except (MalformedUsers, ValueError) as error:
        raise AccountsUnusable(str(error)) from error
    except OSError as error:
        raise AccountsUnusable(f"cannot read {error.filename or 'a file of users'}: {error.strerror}") from error


def _authenticators(users: Users, before: Accounts | None = None) -> list[Authenticator]:
    def of(kind: type[T]) -> T | None:
        return None if before is None else before.file(kind)

    match users:
        case FileUsers():
            secrets = [] if users.secrets is None else [SecretsFile(users.secrets, before=of(SecretsFile))]
            return [UsersFile(users.file), *secrets]
        case PasswdFileUsers():
            return [PasswdFile(users.passwd_file, before=of(PasswdFile))]
        case HtpasswdUsers():
            return [Htpasswd(users.htpasswd, before=of(Htpasswd))]
        case CheckpasswordUsers():
            return [CheckPassword(users.checkpassword, timeout=users.timeout)]
        case SqlUsers():
            return [SqliteUsers(users.sqlite, users.query, listing=users.list, timeout=users.timeout)]
        case _:
            assert_never(users)


def _introspection(tokens: Introspection) -> TokenIntrospection:
    return TokenIntrospection(
        tokens.url,
        tokens.client_id,
        _first_line(tokens.client_secret),
        username=tokens.username,
        audience=tokens.audience,
        scope=tokens.scope,
        ca=tokens.ca,
        timeout=tokens.timeout,
        cache=tokens.cache,
    )


def _first_line(path: Path) -> str:
    """Return a secret.

    Raises:
        OSError: the file cannot be read.
        ValueError: its first line is empty, or is no text.
    """
    line = path.read_bytes().partition(b"\n")[0].strip()
    try:
        secret = line.decode()
    except UnicodeDecodeError:
        secret = ""
    if not secret:
        raise ValueError(f"the first line of {path} holds no secret")
    return secret
