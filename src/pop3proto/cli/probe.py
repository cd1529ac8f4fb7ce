"""`pop3proto probe`: find out what a server can do, and what is wrong with it."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final, NoReturn

import attrs
from typing_extensions import override

from pop3proto.core.errors import LocalProtocolError, Pop3Error
from pop3proto.fetching.accounts.errors import AccountError
from pop3proto.fetching.accounts.url import Address
from pop3proto.fetching.wording import reason
from pop3proto.testing.probing.findings import Severity
from pop3proto.testing.probing.jsonable import jsonable
from pop3proto.testing.probing.running import ASIDE, IDLE, probe

from .connecting import add_ca_file_argument, add_secret_arguments, context_of, credentials_of, seconds_argument
from .failures import USAGE, Failure, warn
from .probe_text import nagios_line, nagios_unknown, profile_of, report_text
from .status_help import add_statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pop3proto.procedures.cleartext import TlsMode

__all__ = ["DESCRIPTION", "Parser", "add_arguments", "run"]

DESCRIPTION: Final = (
    "Find out what a POP3 server can do, by trying it, and what is wrong with it. Nothing is deleted unless "
    "--destructive is given, and no login is tried without a user."
)

_FOR_MONITOR: Final = frozenset("--nagios"[:end] for end in range(3, 9))
"""The option, and its abbreviations."""
_UNKNOWN: Final = int(Severity.UNREACHABLE)
_STATUSES: Final = {
    int(Severity.NOTE): "the server is fine",
    int(Severity.WARNING): "it works, and there are warnings",
    int(Severity.BROKEN): "it is broken; or the command line is wrong",
    _UNKNOWN: "it was not reached, or the probe itself failed",
}
_NAGIOS: Final = (
    "With --nagios, 2 means also that the server was not reached, and 3 that nothing is known about it: the command "
    "line is wrong, or the probe failed or was interrupted."
)
_MOST_MESSAGES: Final = 1_000
_MOST_DAYS: Final = 3_650


class Parser(ArgumentParser):
    """Tells a monitor of a mistake in usage as a monitor expects it: 2 would be a verdict about the server."""

    _for_monitor = False

    @override
    def parse_known_args(  # type: ignore[override]  # it is overloaded there
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        self._for_monitor = not _FOR_MONITOR.isdisjoint(args or ())
        return super().parse_known_args(args, Namespace() if namespace is None else namespace)

    @override
    def error(self, message: str) -> NoReturn:
        if self._for_monitor:
            print(nagios_unknown(message))
            self.exit(_UNKNOWN)
        super().error(message)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add_statuses(parser, own=_STATUSES, note=_NAGIOS)
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="the server: HOST (ports 995 and 110), HOST:PORT (whatever answers there), or a URL as that of fetch, "
        "with or without a user: pops://[user@]host[:port] (TLS from the start is expected) or "
        "pop://[user@]host[:port] (STLS is expected)",
    )
    parser.add_argument("--user", metavar="NAME", help="log in as this user, and look at the maildrop, too")
    add_secret_arguments(parser)
    parser.add_argument("--starttls", action="store_true", help="expect TLS by STLS: HOST:PORT as a pop:// URL")
    add_ca_file_argument(parser)
    parser.add_argument(
        "--allow-cleartext",
        action="store_true",
        help="log in without verified TLS, too; others on the network can then read password and mail",
    )
    parser.add_argument(
        "--timeout",
        type=seconds_argument,
        default=30.0,
        metavar="SECONDS",
        help="the most time for all of it (default: %(default)g); one answer is waited for a third of that, or 10 "
        "seconds. --deep and --checks take their own time",
    )
    parser.add_argument(
        "--messages",
        type=_number(0, _MOST_MESSAGES),
        default=10,
        metavar="N",
        help="fetch at most this many messages to look at them (default: %(default)s)",
    )
    parser.add_argument(
        "--days",
        type=_number(0, _MOST_DAYS),
        default=14,
        metavar="N",
        help="warn if the certificate has fewer days left (default: %(default)s)",
    )
    parser.add_argument(
        "--checks",
        action="store_true",
        help="run the conformance checks, too, without those that delete: they need many connections and logins, some "
        "with a wrong password",
    )
    parser.add_argument(
        "--deep",
        action="store_true",
        help="try what takes long, too: bad commands, long lines, silence; it says first how long that may take",
    )
    parser.add_argument(
        "--idle",
        type=_number(0, int(IDLE) * 10),
        default=int(IDLE),
        metavar="SECONDS",
        help="with --deep: how long to say nothing (default: %(default)s: servers must wait 10 minutes); 0: not at all",
    )
    parser.add_argument(
        "--destructive",
        action="store_true",
        help="delete one message, and no other: the newest with the subject 'pop3proto probe'; for a test account only",
    )
    outputs = parser.add_mutually_exclusive_group()
    outputs.add_argument("--json", action="store_true", help="print the report as JSON")
    outputs.add_argument(
        "--nagios", action="store_true", help="print one line with performance data, for Nagios, Icinga and their kin"
    )
    outputs.add_argument(
        "--profile", action="store_true", help="print the quirks that a client needs, as --quirks of fetch takes them"
    )


def run(arguments: Namespace) -> int:
    """Run the command: probe."""
    try:
        return _run_guarded(arguments)
    except Failure as failure:
        if not arguments.nagios:
            raise
        print(nagios_unknown(str(failure)))
    except KeyboardInterrupt:
        if not arguments.nagios:
            raise
        print(nagios_unknown("interrupted"))
    return _UNKNOWN


def _run_guarded(arguments: Namespace) -> int:
    """As `_run`; what fails is a `Failure` whose status is no verdict about the server: 1 and 2 would be one."""
    try:
        return _run(arguments)
    except Failure as failure:
        if failure.status == USAGE:
            raise
        raise Failure(str(failure), _UNKNOWN) from failure
    except BrokenPipeError:
        raise Failure("standard output was closed", _UNKNOWN) from None
    except (Pop3Error, OSError) as error:
        raise Failure(reason(error), _UNKNOWN) from error
    except Exception as error:
        text = f"internal error, which says nothing about the server: {type(error).__name__}: {error}"
        raise Failure(text, _UNKNOWN) from error


def _run(arguments: Namespace) -> int:
    account, port, tls, logs_in = _target(arguments)
    if not logs_in and (arguments.password_file or arguments.token_file):
        raise Failure("a password or token needs a user: use --user", USAGE)
    if not logs_in and arguments.destructive:
        raise Failure("--destructive needs a login: use --user, with a test account", USAGE)
    context = context_of(arguments.ca_file)
    credentials = credentials_of(account, arguments) if logs_in else None
    for note in _announcements(arguments, deep=arguments.deep, destructive=arguments.destructive):
        warn(f"pop3proto probe: {note}")
    report = probe(
        account.host,
        port,
        tls=tls,
        context=context,
        credentials=credentials,
        only=None if account.way is None else [account.way],
        password_encoding=arguments.password_encoding,
        cleartext="always" if arguments.allow_cleartext else "loopback",
        timeout=arguments.timeout,
        messages=arguments.messages,
        days=arguments.days,
        checks=arguments.checks,
        deep=arguments.deep,
        idle=arguments.idle,
        destructive=arguments.destructive,
    )
    if arguments.json:
        print(json.dumps(jsonable(report), indent=2, ensure_ascii=True))
    elif arguments.nagios:
        print(nagios_line(report, arguments.days))
        return min(report.status, int(Severity.BROKEN))
    elif arguments.profile:
        if report.status == _UNKNOWN:
            raise Failure(f"{report.host}: {report.findings[0].text} {report.findings[0].evidence}", _UNKNOWN)
        print(profile_of(report))
        if report.mailbox is None:
            warn("pop3proto probe: most quirks show after login only: use --user")
    else:
        print(report_text(report))
    return report.status


def _announcements(arguments: Namespace, *, deep: bool, destructive: bool) -> list[str]:
    notes: list[str] = []
    if destructive:
        notes.append(
            "--destructive: the newest message with the subject 'pop3proto probe' will be deleted, and no other"
        )
    if deep:
        silence = f"{arguments.idle} seconds of silence, " if arguments.idle else ""
        most = int(ASIDE + arguments.idle + arguments.timeout)
        notes.append(f"--deep: bad commands, long lines, {silence}at most {most} seconds in all")
    return notes


def _target(arguments: Namespace) -> tuple[Address, int | None, TlsMode | None, bool]:
    """Return the account; the port and what is expected there; and whether there is a user to log in.

    Raises:
        Failure: it makes no sense.
    """
    target: str = arguments.target
    scheme, is_url, rest = target.partition("://")
    if not is_url:
        scheme, rest = "pop", _bracketed(target)
        if rest.count(":") > 1 and "[" not in rest:
            raise Failure(f"{target} is no HOST:PORT; an IPv6 address with a port is written [ADDRESS]:PORT", USAGE)
        if rest != target and (last := re.search(r":([0-9]{3,4})$", target)):
            hint = f"[{target[: last.start()]}]:{last[1]}"
            warn(f"pop3proto probe: all of {target} is taken for an address; for port {last[1]}, use {hint}")
    names_user = "@" in rest
    if not names_user:
        account = _address(f"{scheme}://nobody@{rest}")
    elif is_url:
        account = _address(target)
    else:
        raise Failure("a user belongs into a URL, pops://user@host, or after --user", USAGE)
    if arguments.user is not None:
        if names_user:
            raise Failure("the URL names a user already: leave --user out", USAGE)
        account = attrs.evolve(account, user=_user(arguments.user))
    if arguments.starttls and is_url and scheme.lower() != "pop":
        raise Failure("--starttls does not go with a pops:// URL, in which TLS begins at once", USAGE)
    logs_in = names_user or arguments.user is not None
    if is_url:
        return account, account.port, account.tls, logs_in
    has_port = re.search(r":[0-9]+$", rest) is not None and not rest.endswith("]")
    return account, account.port if has_port else None, "starttls" if arguments.starttls else None, logs_in


def _address(url: str) -> Address:
    try:
        return Address.of_url(url)
    except AccountError as error:
        raise Failure(str(error), USAGE) from error


def _bracketed(host: str) -> str:
    try:
        return f"[{IPv6Address(host)}]"
    except ValueError:
        return host


def _user(name: str) -> str:
    from pop3proto.core.commands import User  # noqa: PLC0415 - most probes need no user

    try:
        return User(name).name
    except LocalProtocolError as error:
        raise Failure(f"this user name cannot be used to log in: {error}", USAGE) from error


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text) if text.isascii() and text.isdecimal() else -1
        if not least <= number <= most:
            raise ArgumentTypeError(f"it must be a number from {least} to {most:,}")
        return number

    return parse
