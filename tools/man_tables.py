"""What the manual pages say that no parser knows: files, variables, signals, and which pages belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pop3proto.cli import _COMMANDS
from pop3proto.cli.maildrop_arguments import DEFAULT_CONFIG
from pop3proto.fetching.accounts.config import VARIABLE
from pop3proto.fetching.accounts.targets import JOURNAL_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SEE_ALSO = {
    "pop3proto": [f"pop3proto-{name}" for name in _COMMANDS],
    **{
        f"pop3proto-{page}": ["pop3proto", *(f"pop3proto-{other}" for other in others.split())]
        for page, others in {
            "backup": "restore serve verify",
            "deliver": "purge quota serve",
            "demo": "fetch serve",
            "fetch": "probe state",
            "passwd": "serve",
            "probe": "fetch",
            "purge": "deliver quota serve undelete",
            "quota": "deliver purge serve",
            "restore": "backup serve verify",
            "serve": "backup deliver passwd purge quota restore undelete",
            "state": "fetch",
            "undelete": "purge serve",
            "verify": "backup restore",
        }.items()
    },
}
"""The other pages that a page names."""

DOCUMENTATION = {
    "backup": {"docs/backup.md": "tells how backups are made and what is in them"},
    "deliver": {
        "docs/deliver.md": "tells how a mail server runs this command, and how filters are set up",
        "docs/serve-configuration.md": "has all keys of the configuration",
    },
    "demo": {"docs/quickstart.md": "goes on from here"},
    "fetch": {
        "docs/fetch.md": "tells how mail is fetched",
        "docs/fetch-configuration.md": "has all keys of the configuration file",
        "docs/fetch-statuses.md": "has units for systemd, and the events of --log-format json",
        "docs/deviations.md": "has the names of quirks and profiles",
    },
    "passwd": {"docs/serve.md": "tells how a server is set up"},
    "probe": {"docs/probe.md": "tells what is looked at, and has the keys of --json"},
    "purge": {"docs/retention.md": "tells how long mail is kept"},
    "quota": {"docs/quota.md": "tells what is counted, and who may write maildirsize"},
    "restore": {"docs/backup.md": "tells what is restored, and what is refused"},
    "serve": {
        "docs/serve.md": "tells how a server is set up",
        "docs/serve-configuration.md": "has all keys of the configuration",
        "docs/logs.md": "explains the lines of the log",
        "docs/deviations.md": "has the names of quirks and profiles",
    },
    "state": {"docs/command-line.md": "explains the lines of the journal"},
    "undelete": {"docs/retention.md": "tells how deleted mail is kept"},
    "verify": {"docs/backup.md": "tells what is in a backup"},
}
"""Pages of the source distribution about a command, and what they are good for."""

UNITS = {
    "SIZE": (
        "A number of octets, or a number with K, M or G (powers of 1,000) or KiB, MiB or GiB (powers of 1,024): 20M, "
        "1.5G, 512KiB."
    ),
    "TIME": "A number of seconds, or a number with s, m, h, d or w: 90s, 10m, 2h, 14d, 1w.",
}
"""Values of options that several commands have."""

_CONFIGURATION = (
    str(DEFAULT_CONFIG),
    "The configuration of the server, which is read where neither --config nor --maildir is given.",
)
_MAILDIRSIZE = ("MAILDIR/maildirsize", "How much of its quota a Maildir uses. Other mail programs read it, too.")
_FETCH_CONFIGURATION = (
    "$XDG_CONFIG_HOME/pop3proto/fetch.toml, ~/.config/pop3proto/fetch.toml",
    f"The configuration file. --config or the variable {VARIABLE} names another one.",
)
_JOURNAL = (
    (
        JOURNAL_NAME,
        (
            "The journal, which records what was fetched: in the Maildir, or in the folder of files:FOLDER. That of "
            f"mbox:FILE is beside the file, and its name is .FILE{JOURNAL_NAME}."
        ),
    ),
    (
        "$XDG_STATE_HOME/pop3proto/fetched/, ~/.local/state/pop3proto/fetched/",
        "The journals of what goes to a program or to standard output.",
    ),
)

FILES: dict[str, Sequence[tuple[str, str]]] = {
    "backup": (_CONFIGURATION,),
    "deliver": (_CONFIGURATION, _MAILDIRSIZE),
    "fetch": (_FETCH_CONFIGURATION, *_JOURNAL),
    "purge": (_CONFIGURATION, _MAILDIRSIZE),
    "quota": (_CONFIGURATION, _MAILDIRSIZE),
    "restore": (_CONFIGURATION, _MAILDIRSIZE),
    "serve": (
        (
            str(DEFAULT_CONFIG),
            (
                "The usual place of the configuration. The other commands read it by themselves; this one is told by "
                "--config."
            ),
        ),
    ),
    "state": (_FETCH_CONFIGURATION, *_JOURNAL),
    "undelete": (_CONFIGURATION, _MAILDIRSIZE),
}

_FETCH_ENVIRONMENT = ((VARIABLE, "The configuration file, where --config is not given."),)

ENVIRONMENT: dict[str, Sequence[tuple[str, str]]] = {
    "fetch": (
        *_FETCH_ENVIRONMENT,
        (
            "POP3PROTO_ACCOUNT, POP3PROTO_UNIQUE_ID",
            (
                "Are set for the program of a target program:'COMMAND ARG ...': the name of the account, and the "
                "unique id of the message."
            ),
        ),
    ),
    "state": _FETCH_ENVIRONMENT,
}

SIGNALS: dict[str, Sequence[tuple[str, str]]] = {
    "fetch": (
        ("SIGUSR1", "With --every or --daemon: fetch now."),
        (
            "SIGTERM, SIGHUP, SIGINT",
            (
                "With --every or --daemon: end after the work in hand; at once when another one comes. The status is "
                "0, and 130 after SIGINT."
            ),
        ),
    ),
    "serve": (
        (
            "SIGTERM, SIGINT",
            "End when the sessions have finished the command in hand; at once when another one comes.",
        ),
        (
            "SIGHUP",
            (
                "With --config: read the configuration, certificates and users again. If anything is wrong with "
                "them, the server goes on with what it had, and the log says why."
            ),
        ),
    ),
}


def sections(page: str) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
    """Yield the headings of a page's own sections, with names and what they are."""
    command = page.removeprefix("pop3proto-")
    for heading, table in (("SIGNALS", SIGNALS), ("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        if command in table:
            yield heading, table[command]


def documentation(page: str) -> str:
    """Return where more is told about what is on a page."""
    about = DOCUMENTATION.get(page.removeprefix("pop3proto-"), {"docs/index.md": "leads to all pages"})
    *first, last = (f"{file} {does}" for file, does in about.items())
    told = f"{', '.join(first)}, and {last}" if first else last
    return f"The documentation is in the folder docs of the source distribution of pop3proto: {told}."
