"""Where passwords and tokens come from: a command, a keyring, a netrc file, the environment, a file, the terminal.

No secret is in a repr, an error or a traceback.
"""

from __future__ import annotations

import os
from collections.abc import Callable  # noqa: TC003 - attrs reads the annotations
from pathlib import Path
from typing import Final, Literal, TypeAlias

import attrs
from typing_extensions import override

from pop3proto._config.keys import about
from pop3proto._config.units import Seconds
from pop3proto.core.errors import forgetting_locals
from pop3proto.core.text import visible
from pop3proto.fetching.wording import cannot

from .errors import SecretError, missing_extra
from .exposure import exposure

__all__ = [
    "FromCommand",
    "FromEnvironment",
    "FromFile",
    "FromKeyring",
    "FromNetrc",
    "FromTerminal",
    "Origin",
    "Wanted",
    "ask",
    "first_line",
    "read_secret",
]

_SERVICE: Final = "pop3proto"
_SHOWN: Final = 500  # characters of what a command that failed has said

# Octets; what was named may be the wrong file, which may be large.
_LONGEST: Final = {"password": 4_096, "token": 65_536}


@attrs.frozen
class Wanted:
    """What is wanted of an origin.

    Args:
        what: "password" or "token".
        user: whose.
        host: for which server.
        note: takes what the user should know of it, in one line.
    """

    what: str
    user: str
    host: str
    note: Callable[[str], object] = attrs.field(default=lambda _: None, repr=False)


@attrs.frozen
class FromCommand:
    """The first line that a program writes to its standard output."""

    command: tuple[str, ...] = attrs.field(
        repr=lambda command: repr(command[0]),  # an argument may be secret
        metadata=about("a program and its arguments, without a shell; the secret is the first line that it prints"),
    )
    timeout: Seconds = attrs.field(default=Seconds(60), metadata=about("how long the program may take"))

    def read(self, wanted: Wanted) -> str:
        """Return the secret.

        Raises:
            SecretError: the program failed, took too long, or printed no secret.
        """
        return _checked(self._run(wanted.what), wanted.what, f"the first line that {self} printed")

    def _run(self, what: str) -> bytes:
        import subprocess  # noqa: PLC0415 - slow to import

        output, why = b"", f"took longer than {self.timeout:g} seconds"
        try:
            ended = subprocess.run(  # noqa: S603 - the user's own program
                self.command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=self.timeout
            )
        except subprocess.TimeoutExpired:
            pass  # it holds the output: raise outside of this block
        except (OSError, ValueError) as error:
            raise SecretError(f"the {what} cannot be had: {cannot('run', Path(self.command[0]), _os(error))}") from None
        else:
            said = visible(ended.stderr.decode("utf-8", "replace").strip()[-_SHOWN:])
            why = f"failed with status {ended.returncode}" + (f": {said}" if said else "")
            output = ended.stdout if ended.returncode == 0 else b""
            if ended.returncode == 0:
                return output
        raise SecretError(f"the {what} cannot be had: {self} {why}")

    @override
    def __str__(self) -> str:
        return f"the command {self.command[0]}"


@attrs.frozen
class FromKeyring:
    """The keyring of the desktop."""

    keyring: Literal[True] = attrs.field(
        metadata=about("`true`: the system's keyring, service `pop3proto`, user `USER@HOST`; extra `keyring`"),
    )

    def read(self, wanted: Wanted) -> str:
        """Return the secret.

        Raises:
            SecretError: there is none, or there is no keyring.
            AccountError: the extra is not installed.
        """
        try:
            import keyring  # noqa: PLC0415 - an extra
            import keyring.errors  # noqa: PLC0415 - an extra
        except ImportError:
            raise missing_extra("a secret in the keyring", "keyring") from None
        name = f"{wanted.user}@{wanted.host}"
        try:
            secret = keyring.get_password(_SERVICE, name)
        except keyring.errors.KeyringError as error:
            raise SecretError(f"the {wanted.what} cannot be read from the keyring: {error}") from None
        if not secret:
            raise SecretError(f"the keyring has no {wanted.what} for {name}; store it: keyring set {_SERVICE} {name}")
        return _checked(secret.encode(), wanted.what, "what the keyring has")

    @override
    def __str__(self) -> str:
        return "the keyring"


@attrs.frozen
class FromNetrc:
    """A netrc file."""

    netrc: Literal[True] | Path = attrs.field(
        metadata=about("`true`: the file `~/.netrc`; or another file. Its line has `machine HOST login USER`"),
    )

    @property
    def file(self) -> Path:
        """The file."""
        return Path.home() / ".netrc" if self.netrc is True else self.netrc

    def read(self, wanted: Wanted) -> str:
        """Return the secret.

        Raises:
            SecretError: the file cannot be read, or has none for this user of this server.
        """
        from .netrc import netrc_password  # noqa: PLC0415 - few accounts need it

        try:
            with self.file.open("rb") as file:
                _note_mode(file.fileno(), self.file, wanted)
                octets = file.read()
        except OSError as error:
            raise SecretError(cannot("read the netrc file", self.file, error)) from None
        secret = netrc_password(octets.decode("utf-8", "surrogateescape"), wanted.host, wanted.user)
        if not secret:
            raise SecretError(f"{self.file} has no password for machine {wanted.host} login {wanted.user}")
        return _checked(secret.encode("utf-8", "surrogateescape"), wanted.what, f"the password in {self.file}")

    @override
    def __str__(self) -> str:
        return str(self.file)


@attrs.frozen
class FromEnvironment:
    """A variable of the environment."""

    env: str = attrs.field(metadata=about("the name of a variable of the environment, which holds the secret"))

    def read(self, wanted: Wanted) -> str:
        """Return the secret.

        Raises:
            SecretError: the variable is not set, or empty.
        """
        if not (secret := os.environ.get(self.env, "")):
            raise SecretError(f"the {wanted.what} cannot be had: the variable {self.env} is not set, or empty")
        return _checked(os.fsencode(secret), wanted.what, f"the variable {self.env}")

    @override
    def __str__(self) -> str:
        return f"the variable {self.env}"


@attrs.frozen
class FromFile:
    """The first line of a file."""

    file: Path = attrs.field(metadata=about("a file whose first line is the secret; nobody else should read it"))

    def read(self, wanted: Wanted) -> str:
        """Return the secret.

        Raises:
            SecretError: the file cannot be read, or its first line is no secret.
        """
        return first_line(self.file, wanted.what, lambda descriptor: _note_mode(descriptor, self.file, wanted))

    @override
    def __str__(self) -> str:
        return str(self.file)


@attrs.frozen
class FromTerminal:
    """What the user types."""

    ask: Literal[True] = attrs.field(metadata=about("`true`: it is asked for on the terminal"))

    def read(self, wanted: Wanted) -> str:
        """Return the secret.

        Raises:
            SecretError: there is no terminal, or nothing was typed.
        """
        return _checked(ask(wanted.what, f"{wanted.user} on {wanted.host}").encode(), wanted.what, "what was typed")

    @override
    def __str__(self) -> str:
        return "the terminal"


Origin: TypeAlias = FromCommand | FromKeyring | FromNetrc | FromEnvironment | FromFile | FromTerminal


def read_secret(origin: Origin, wanted: Wanted) -> str:
    """Return the secret of an origin. An error holds no local variables with it.

    Raises:
        SecretError: it cannot be had.
        AccountError: an extra is not installed.
    """
    with forgetting_locals():
        return origin.read(wanted)


def first_line(path: Path, what: str, check: Callable[[int], object]) -> str:
    """Return the secret in the first line of a file.

    Args:
        path: the file.
        what: "password": blanks belong to it; or "token": they do not.
        check: is called with the descriptor of the file.

    Raises:
        SecretError: the file cannot be read, or its first line is no secret.
    """
    try:
        with path.open("rb") as file:
            check(file.fileno())
            line = file.readline(_LONGEST[what])
    except OSError as error:
        raise SecretError(cannot(f"read the {what} file", path, error)) from None
    return _checked(line, what, f"the first line of the {what} file {path}")


def _checked(octets: bytes, what: str, where: str) -> str:
    """Return the first line of some octets, if it can be a secret.

    Args:
        octets: with or without a line end.
        what: "password" or "token".
        where: it is, for errors.
    """
    line = octets.partition(b"\n")[0].removesuffix(b"\r")
    try:
        # "sig" removes the byte order mark, U+FEFF, which some editors put at the start of a file.
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None  # raise outside this block: as context, the exception would carry the line
    if text is None:
        raise SecretError(f"{where} is not UTF-8")
    if not text:
        raise SecretError(f"{where} is empty")
    if len(line) >= _LONGEST[what]:
        raise SecretError(f"{where} is too long for a {what}")
    return _checked_token(text.strip(), where) if what == "token" else text


def _checked_token(text: str, where: str) -> str:
    from pop3proto.sasl.mechanism import MechanismError  # noqa: PLC0415 - few accounts need it
    from pop3proto.sasl.oauth import check_visible  # noqa: PLC0415 - few accounts need it

    try:
        check_visible(text, "an access token")
    except MechanismError as error:
        raise SecretError(f"{where} is not an access token: {error}") from None
    return text


def ask(what: str, whose: str, remedy: str = "say where else it comes from") -> str:
    """Ask for a secret on the terminal, without echo.

    Args:
        what: "password" or "token".
        whose: for the prompt.
        remedy: what to do if there is no terminal.

    Raises:
        SecretError: there is no terminal, or nothing was typed.
    """
    import getpass  # noqa: PLC0415 - few accounts need it
    import warnings  # noqa: PLC0415 - few accounts need it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # getpass would echo it or read it from a pipe
            secret = getpass.getpass(f"{what.capitalize()} for {whose}: ")
    except (EOFError, OSError, getpass.GetPassWarning):
        raise SecretError(f"cannot ask for the {what} without a terminal: {remedy}") from None
    if not secret:
        raise SecretError(f"no {what} was given")
    return secret


def _note_mode(descriptor: int, path: Path, wanted: Wanted) -> None:
    if note := exposure(descriptor, path, wanted.what):
        wanted.note(note)


def _os(error: OSError | ValueError) -> OSError:
    return error if isinstance(error, OSError) else OSError(str(error))  # ValueError: a NUL in an argument
