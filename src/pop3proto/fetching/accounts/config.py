"""The configuration file: `[defaults]` and `[account.NAME]`, in TOML."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from pop3proto._config import errors as shared
from pop3proto._config.nearest import did_you_mean
from pop3proto._config.reading import read_toml
from pop3proto._config.structuring import explain, keys_of, unknown_key
from pop3proto.fetching.wording import cannot

from .account import Account
from .describing import describe
from .errors import AccountError, ConfigError, missing_extra
from .structuring import require_extra, structured
from .targets import ToMaildir
from .url import EXTERNAL, Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .access import Access

__all__ = ["KEYS", "URL", "Config", "check_config", "config_path", "read_config"]

VARIABLE: Final = "POP3PROTO_CONFIG"
"""The variable of the environment that names the file."""

URL: Final = (
    "the account in one line: `pops://USER@HOST` (TLS at once) or `pop://USER@HOST` (STLS); it stands for `user`, "
    "`host`, `port` and `tls`, and with `;AUTH=` behind the user for `login`"
)
KEYS: Final = ("url", *keys_of(Account))
"""The keys of an account."""

_TABLES: Final = ("defaults", "account")
_OF_URL: Final[tuple[str, ...]] = ("user", "host", "port", "tls")
_DELETION: Final = frozenset({"keep", "delete", "delete_after", "when_gone"})
_CONNECTION: Final = frozenset({"proxy", "via", "source_address"})
_REPLACED: Final = {
    "provider": frozenset({"host", "port", "tls"}),
    "host": frozenset({"provider"}),
    "password": frozenset({"token"}),
    "token": frozenset({"password"}),
    **dict.fromkeys(_DELETION, _DELETION),
    **dict.fromkeys(_CONNECTION, _CONNECTION),
}
"""Keys of `[defaults]` that do not count where an account has a key: they would contradict it."""

_STAND_INS: Final[Mapping[str, object]] = {"user": "user", "host": "host", "deliver": (ToMaildir(Path("/")),)}
"""What stands in place of what is missing or wrong, so that the other keys can be looked at all the same."""


@attrs.frozen
class Config:
    """What a configuration file says.

    Args:
        path: of the file.
        accounts: in the order of the file.
        notes: what the user should know of it, a line each.
    """

    path: Path
    accounts: tuple[Account, ...]
    notes: tuple[str, ...] = ()

    def chosen(self, names: Sequence[str] = ()) -> tuple[Account, ...]:
        """Return accounts by their names; without names, all.

        Raises:
            ConfigError: there is no such account.
        """
        known = {account.name: account for account in self.accounts}
        if wrong := [name for name in names if name not in known]:
            raise ConfigError([f"{self.path} has no account {name!r}{did_you_mean(name, known)}" for name in wrong])
        return tuple(known[name] for name in dict.fromkeys(names)) if names else self.accounts


def config_path(given: Path | None = None) -> Path:
    """Return where the configuration file is: as given, as `POP3PROTO_CONFIG` says, or in the user's folder.

    Raises:
        AccountError: the extra `cli` is not installed.
    """
    if given is not None:
        return given
    if named := os.environ.get(VARIABLE):
        return Path(named)
    try:
        from platformdirs import user_config_path  # noqa: PLC0415 - an extra
    except ImportError:
        raise missing_extra("a configuration file", "cli") from None
    return user_config_path("pop3proto", appauthor=False) / "fetch.toml"


def check_config(path: Path) -> list[str]:
    """Return what each account of a file comes to, in lines for people, and without secrets.

    The files that it names are read, too: certificates, keys, passwords. Nothing else is done to get a secret.

    Raises:
        ConfigError: as `read_config`; or a file that is named cannot be used.
        AccountError: as `read_config`.
    """
    from .checking import check_files  # noqa: PLC0415 - not for each fetch

    config = _read(path, check_files)
    blocks = ["\n".join([f"[account.{account.name}]", *describe(account)]) for account in config.accounts]
    return "\n\n".join([*blocks, *config.notes]).splitlines()


def read_config(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: it has errors, all of which are told.
        AccountError: it cannot be read; or the extra `cli` is not installed.
    """
    return _read(path)


def _read(path: Path, check: Callable[[Access, Callable[[str], object]], Iterable[str]] | None = None) -> Config:
    require_extra()
    try:
        data, private = read_toml(path)
    except OSError as error:
        advice = "; write one, or name a URL and a target" if isinstance(error, FileNotFoundError) else ""
        raise AccountError(cannot("read the configuration file", path, error) + advice) from error
    except shared.ConfigError as error:
        raise ConfigError(error.errors) from error
    return _Reader(path, private=private, check=check).config(data)


class _Reader:
    """Collects what is wrong with a file.

    Args:
        path: of the file.
        private: no other user may read it.
        check: as `check_files`, for what an account names; None: that is not looked at.
    """

    def __init__(
        self,
        path: Path,
        *,
        private: bool,
        check: Callable[[Access, Callable[[str], object]], Iterable[str]] | None,
    ) -> None:
        self._path: Final = path
        self._private: Final = private
        self._check: Final = check
        self._noted: Final[dict[str, None]] = {}  # in order, each once: accounts may share a file
        self._errors: Final[list[str]] = []
        self._unread = frozenset[str]()  # keys of the defaults whose values could not be read
        self._types: Final = {field.name: field.type for field in attrs.fields(attrs.resolve_types(Account))}

    def config(self, data: dict[str, Any]) -> Config:
        """Return what the file says."""
        for key in data:
            if key not in _TABLES:
                self._wrong("", unknown_key(key, _TABLES))
        defaults = self._values("defaults", data.get("defaults", {}))
        self._unread = _unread(data.get("defaults", {}), defaults)
        tables = data.get("account", {})
        if not isinstance(tables, dict) or not tables:
            self._wrong("", "there is no account; a table [account.NAME] makes one")
            tables = {}
        accounts = [self._account(name, table, defaults) for name, table in cast("dict[str, Any]", tables).items()]
        if self._errors:
            raise ConfigError(self._errors)
        found = tuple(account for account in accounts if account is not None)
        return Config(self._path, found, tuple(self._notes(found)))

    def _account(self, name: str, table: object, defaults: dict[str, object]) -> Account | None:
        before = len(self._errors)
        values = self._values(f"account.{name}", table)
        if not isinstance(table, dict):
            return None
        replaced = _replaced(values)
        values = {key: value for key, value in defaults.items() if key not in replaced} | values
        where = f"[account.{name}]: "
        given = self._unread.union(values, cast("dict[str, object]", table))
        if "url" in given:
            given |= {"user", "host"}
        if "user" not in given:
            self._wrong(where, "user is missing, or a url with it")
        if "deliver" not in given:
            self._wrong(where, 'deliver is missing: where mail is stored, such as { maildir = "~/Maildir" }')
        if given.isdisjoint({"host", "provider"}):
            self._wrong(where, "the server is missing: url, host or provider")
        stand_ins = {key: value for key, value in _STAND_INS.items() if key not in values}
        if "provider" in values:
            stand_ins.pop("host", None)
        unread = self._unread - values.keys() | _unread(cast("dict[str, object]", table), values) | stand_ins.keys()
        account, problems = self._made(name, stand_ins | values)
        about_these = re.compile(rf"\b(?:{'|'.join(unread)})\b")
        for problem in problems:
            if not (unread and about_these.search(problem)):  # it may come from what is wrong already
                self._wrong(where, problem)
        return account if len(self._errors) == before else None

    def _made(self, name: str, values: Mapping[str, object]) -> tuple[Account | None, Iterable[str]]:
        """Return an account, if these values make one, and what is wrong with it, or with what it names."""
        try:
            account = Account(name=name, **cast("dict[str, Any]", values))
        except AccountError as error:
            return None, error.problems
        return account, () if self._check is None else tuple(self._check(account, self._noted.setdefault))

    def _values(self, name: str, table: object) -> dict[str, object]:
        """Return the fields that a table sets."""
        where = f"[{name}]: "
        if not isinstance(table, dict):
            self._wrong(where, "a table is expected")
            return {}
        values: dict[str, object] = {}
        for key, value in cast("dict[str, object]", table).items():
            if key == "url":
                values |= self._of_url(where, value, cast("dict[str, object]", table))
            elif key not in KEYS:
                self._wrong(where, unknown_key(key, KEYS))
            else:
                try:
                    values[key] = structured(value, self._types[key])
                except Exception as error:  # noqa: BLE001 - cattrs raises what its hooks raise
                    for line in explain(error, key):
                        self._wrong(where, line)
                if key in {"password", "token"} and isinstance(value, str) and not self._private:
                    self._wrong(where, f"others may have read this {key}: change it on the server")
        return values

    def _of_url(self, where: str, url: object, table: dict[str, object]) -> dict[str, object]:
        twice = [key for key in _OF_URL if key in table]
        address, wrong = None, ""
        try:
            address = Address.of_url(url if isinstance(url, str) else "")
        except AccountError as error:
            wrong = f"url: {error}"
        if address is not None and address.way is not None and "login" in table:
            twice.append("login")
        if twice:
            self._wrong(where, f"url stands for {', '.join(twice)}, too: leave out one of them")
        if address is None:
            self._wrong(where, wrong)
            return {}
        values: dict[str, object] = {key: getattr(address, key) for key in ("user", "host", "port", "tls")}
        return values if address.way is None else values | {"login": address.way}

    def _wrong(self, where: str, what: str) -> None:
        self._errors.append(f"{self._path}: {where}{what}")

    def _notes(self, accounts: Sequence[Account]) -> list[str]:
        notes = [*self._noted]
        if not self._private and any(each.proxy is not None and each.proxy.password is not None for each in accounts):
            notes.append(f"note: others may read the password of a proxy in {self._path}: chmod 600 it")
        return notes


def _replaced(values: Mapping[str, object]) -> frozenset[str]:
    """Return the keys of the defaults that do not count for an account with these values."""
    secrets = frozenset({"password", "token"}) if values.get("login") == EXTERNAL else frozenset[str]()
    return secrets.union(*(_REPLACED.get(key, frozenset()) for key in values))


def _unread(table: object, values: dict[str, object]) -> frozenset[str]:
    """Return the keys of a table whose values could not be read."""
    if not isinstance(table, dict):
        return frozenset()
    unread = frozenset(cast("dict[str, object]", table)) - values.keys()
    if "url" in unread and "user" not in values:
        return unread | {*_OF_URL, "login"}
    return unread - {"url"}
