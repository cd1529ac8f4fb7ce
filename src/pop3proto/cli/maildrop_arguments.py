"""Arguments that name maildrops of a server, and what holds for them: for the commands of its administrator."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from pop3proto._config.errors import ConfigError, MissingExtra
from pop3proto._config.units import parse_octets, parse_seconds
from pop3proto.core.text import visible
from pop3proto.fetching.wording import cannot, reason
from pop3proto.procedures.maildrop import Refused
from pop3proto.serving.accounts import AccountsUnusable, open_directory
from pop3proto.serving.config.reading import read_config
from pop3proto.serving.delivery.filtering import Filtering
from pop3proto.serving.missing_users import doubt_of_missing, file_of_users, is_cut_off
from pop3proto.serving.privileges import drop_privileges
from pop3proto.serving.quota.rules import Quota
from pop3proto.serving.retention.rules import MaildropRules, OnDelete, Retain
from pop3proto.serving.site import Site, UnknownUsers

from .exit_statuses import CONFIGURATION
from .failures import USAGE, Failure
from .paths import path_argument
from .quiet import no_log

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from pop3proto.serving.config.listeners import RunAs
    from pop3proto.serving.config.reporting import Log

__all__ = [
    "DEFAULT_CONFIG",
    "ChosenMaildrop",
    "NoMaildrop",
    "NoUser",
    "add_maildrop_arguments",
    "add_rules_arguments",
    "chosen_maildrops",
]

DEFAULT_CONFIG: Final = Path("/etc/pop3proto/serve.toml")

_RULES: Final = ("quota", "quota_messages", "when_full", "retain_unread", "retain_read", "on_delete", "keep")


class NoUser(Failure):
    """There is no user of that name.

    Args:
        text: the reason, in one line.
        doubt: why the user may exist all the same; "" if there is no reason.
    """

    def __init__(self, text: str, doubt: str = "") -> None:
        super().__init__(text)
        self.doubt = doubt


class NoMaildrop(Failure):
    """The user exists, and the configuration gives no path for the maildrop."""


@attrs.frozen
class ChosenMaildrop:
    """A maildrop that the command line names.

    Args:
        user: whose it is; "" if the command line does not tell.
        maildir: where it is.
        rules: what holds for it.
        filtering: what filters look at its mail.
        log: where the log and the audit of the server are; None: there is no configuration.
        follow_links: whether it, and folders in it, may be symbolic links.
        owner: the user as whom the server runs; None: the configuration names none.
    """

    user: str
    maildir: Path
    rules: MaildropRules
    filtering: Filtering
    log: Log | None = None
    follow_links: bool = False
    owner: str | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return visible(self.user or str(self.maildir))


def add_maildrop_arguments(parser: ArgumentParser, *, all_: bool = True) -> None:
    """Add the arguments that name maildrops.

    Args:
        parser: gets them.
        all_: whether the command can take all users.
    """
    parser.add_argument("user", metavar="USER", nargs="?", help="whose maildrop it is")
    if all_:
        parser.add_argument("--all", action="store_true", help="the maildrops of all users")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--config",
        type=path_argument,
        metavar="FILE",
        help=f"the configuration of the server; without it, {DEFAULT_CONFIG}",
    )
    where.add_argument("--maildir", type=path_argument, metavar="PATH", help="one Maildir, without any configuration")
    parser.add_argument(
        "--follow-links", action="store_true", help="with --maildir: it, and folders in it, may be symbolic links"
    )


def add_rules_arguments(parser: ArgumentParser, *names: str) -> None:
    """Add options for what holds for a Maildir that `--maildir` names.

    Args:
        parser: gets them.
        names: which of "quota" and "retain".
    """
    group = parser.add_argument_group("with --maildir")
    if "quota" in names:
        group.add_argument(
            "--quota",
            type=_value(parse_octets),
            metavar="SIZE",
            help="the largest size of all messages: 1G, for example",
        )
        group.add_argument("--quota-messages", type=int, metavar="NUMBER", help="the largest number of messages")
    if "full" in names:
        words = "what to do with a message for a full maildrop (default: later)"
        group.add_argument("--when-full", choices=("later", "refuse"), help=words)
    if "retain" in names:
        seconds = _value(parse_seconds)
        group.add_argument(
            "--retain-unread", type=seconds, metavar="TIME", help="how long unread messages are kept: 90d"
        )
        group.add_argument("--retain-read", type=seconds, metavar="TIME", help="how long read messages are kept: 30d")
    if "deleted" in names:
        words = "what was done with deleted messages (default: remove)"
        group.add_argument("--on-delete", choices=("remove", "trash", "hide"), help=words)
        words = "how long deleted messages are kept (default: 7d)"
        group.add_argument("--keep", type=_value(parse_seconds), metavar="TIME", help=words)


def _value(parse: Callable[[str], float]) -> Callable[[str], float]:
    def value(text: str) -> float:
        try:
            return parse(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from None

    return value


def chosen_maildrops(
    arguments: Namespace, filtering: Filtering | None = None, *, keep_root: bool = False
) -> list[ChosenMaildrop]:
    """Return the maildrops that the command line names.

    A process of root goes on as the user of the server, so that no file comes to belong to root.

    Args:
        arguments: of the command line.
        filtering: the filters that options name; None: the command has none.
        keep_root: the command needs the rights of root, for a file of its own, and gives what it makes to the owner.

    Raises:
        NoUser: there is no user of that name.
        NoMaildrop: the user has no maildrop.
        Failure: the command line or the configuration is wrong.
    """
    everyone = getattr(arguments, "all", False)
    if arguments.maildir is not None:
        if everyone:
            raise Failure("--all belongs to --config, not to --maildir", USAGE)
        rules = _rules(arguments)
        user, follow_links = arguments.user or "", arguments.follow_links
        return [ChosenMaildrop(user, arguments.maildir, rules, filtering or Filtering(), follow_links=follow_links)]
    if arguments.follow_links:
        raise Failure("--follow-links belongs to --maildir; the configuration has it in the table `maildrops`", USAGE)
    given = [name for name in _RULES if getattr(arguments, name, None) is not None]
    if given:
        raise Failure(
            f"--{given[0].replace('_', '-')} belongs to --maildir; the configuration has it in a table", USAGE
        )
    if (arguments.user is None) != everyone:
        raise Failure("name one USER, or --all" if hasattr(arguments, "all") else "name one USER", USAGE)
    site = open_site(arguments.config or DEFAULT_CONFIG, keep_root=keep_root)
    try:
        with no_log():
            users = site.users() if everyone else [site.user_name(arguments.user)]
            return [_chosen(site, user) for user in users if not everyone or site.maildir(user) is not None]
    except UnknownUsers as error:
        raise Failure(str(error), CONFIGURATION) from error
    except Refused as error:
        raise Failure(f"the users cannot be asked for: {error}", CONFIGURATION) from error


def _chosen(site: Site, user: str) -> ChosenMaildrop:
    config = site.config
    if site.find(user) is None:
        raise NoUser(f"there is no user {visible(user)}", _doubt(site, user))
    maildir = site.maildir(user)
    if maildir is None:
        raise NoMaildrop(f"the user {visible(user)} has no maildrop: {site.template} gives no path")
    if "home" in site.template.fields and is_cut_off(config, user):
        raise NoMaildrop(f"the line of {visible(user)} in the file of users has no end: the home folder may be cut off")
    return ChosenMaildrop(
        user, maildir, site.rules(user), config.filter_, config.log, site.follow_links, config.run.user
    )


def _doubt(site: Site, user: str) -> str:
    with suppress(UnknownUsers, Refused):
        names = site.users() if site.config.lower_case_users and file_of_users(site.config) is not None else ()
        like = next((name for name in names if name != user and site.user_name(name) == user), None)
        if like is not None:
            return f"there is {visible(like)}: names of users must be in lower case (lower_case_users)"
    try:
        return doubt_of_missing(site.config)
    except OSError as error:
        return reason(error)


def open_site(path: Path, *, keep_root: bool = False) -> Site:
    """Return what a configuration file says, and go on as the user of the server if the process is that of root.

    Raises:
        Failure: it cannot be read, or is wrong; or its users cannot be read.
    """
    try:
        config = read_config(path)
        if not keep_root:
            _leave_root(config.run)
        with no_log():
            directory = open_directory(config)
    except (ConfigError, MissingExtra, AccountsUnusable) as error:
        raise Failure(visible(str(error).replace("\n", "; ")), CONFIGURATION) from error
    except OSError as error:
        raise Failure(cannot("read", path, error), CONFIGURATION) from error
    return Site(config, directory)


def _leave_root(run: RunAs) -> None:
    if run.user is None or os.geteuid() != 0:
        return
    try:
        drop_privileges(run.user, run.group)
    except (ValueError, OSError) as error:
        raise Failure(f"run: {reason(error)}", CONFIGURATION) from error


def _rules(arguments: Namespace) -> MaildropRules:
    def given(name: str) -> dict[str, object]:
        value = getattr(arguments, name, None)
        return {} if value is None else {name: value}

    values = vars(arguments)
    try:
        quota = Quota(values.get("quota"), values.get("quota_messages"), when_full=values.get("when_full") or "later")
        retain = Retain(values.get("retain_unread"), values.get("retain_read"))
        on_delete = OnDelete(values.get("on_delete") or "remove", **given("keep"))  # type: ignore[arg-type]
    except ValueError as error:
        raise Failure(reason(error), USAGE) from error
    return MaildropRules(quota, retain, on_delete)
