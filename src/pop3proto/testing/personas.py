"""Personas: what some kinds of servers do, for tests of mail code.

    with pop3_server({"ann": mail}, persona="gmail") as server:
        ...

A persona is a value, so that you can change one, `attrs.evolve(gmail, faults=[*gmail.faults, Throttle(100)])`, or make
one of your own. What is known of each, since when, and what was judged, is said with it. None stands for all servers of
its name: they are configured, and they change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from pop3proto.core.capabilities import Capabilities, Expire, LoginDelay
from pop3proto.core.limits import Limits

from .faults.answers import OkAsChallenge, TrailingJunk, WrongSize
from .faults.behaviour import CloseAfter, HideAfterRetr, Refuse, Throttle
from .faults.habits import (
    ExtraBlanks,
    ListsAll,
    LoseBehind,
    NoInitialResponse,
    OldestOnly,
    Reword,
    ShortTop,
)
from .faults.uids import LongUids
from .persona import Persona

if TYPE_CHECKING:
    from .faults.line import Fault

__all__ = [
    "Persona",
    "PersonaName",
    "courier",
    "cyrus",
    "dovecot",
    "exchange2003",
    "gmail",
    "maillennium",
    "mailpit_2024",
    "microsoft365",
    "qpopper",
]

PersonaName: TypeAlias = Literal[
    "courier",
    "cyrus",
    "dovecot",
    "exchange2003",
    "gmail",
    "maillennium",
    "mailpit_2024",
    "microsoft365",
    "qpopper",
]


def _logins(accepted: str, refused: str, by_digest: str = "") -> list[Fault]:
    """Return how logins are answered: with these texts; the last one if it is APOP or AUTH that is refused."""
    texts = {"PASS": refused, "APOP": by_digest or refused, "AUTH": by_digest or refused}
    return [
        reworded
        for command, text in texts.items()
        for reworded in (Reword(command, accepted), Reword(command, text, refusal="AUTH"))
    ]


# ----------------------------------------------------------------------------------------- the providers


gmail: Final = Persona(
    faults=[OldestOnly(250), HideAfterRetr(), *(Reword(command, "Welcome.") for command in ("PASS", "AUTH"))],
    capabilities=Capabilities(
        top=True,
        user=True,
        uidl=True,
        resp_codes=True,
        sasl=("PLAIN", "XOAUTH2", "OAUTHBEARER"),
        login_delay=LoginDelay(300),
        expire=Expire(0),
        other=("X-GOOGLE-RICO",),
    ),
    after_login=Capabilities(
        top=True,
        user=True,
        uidl=True,
        resp_codes=True,
        pipelining=True,
        login_delay=LoginDelay(300),
        expire=Expire(0),
        other=("X-GOOGLE-RICO",),
    ),
    options={
        "greeting": "Gpop ready for requests from 127.0.0.1",
        "mechanisms": ("PLAIN", "XOAUTH2", "OAUTHBEARER"),
        "apop": False,
    },
    has_recent=True,
)
"""Gmail. A session shows the 250 oldest messages; what was retrieved is hidden after QUIT, without DELE; the user
"recent:ann@example.com" finds what was retrieved before as well. EXPIRE 0 and LOGIN-DELAY 300 are announced,
PIPELINING only after login. A password is taken as the app password that it would have to be.

Known from: sessions that the tests of MailKit have recorded (2014) for greeting and CAPA, to which OAUTHBEARER was
added since; Google's help and reports of users (2017 to 2026) for the rest. Judged: that it is 250 (people have
counted 250 to 300), that the limit holds for "recent:" too, and that DELE there deletes nothing. Left out: that
"recent:" ends after thirty days, that the login delay is kept now and then (add `TooEarly()`), the limit of octets a
day.
"""

microsoft365: Final = Persona(
    faults=[
        NoInitialResponse(),
        Throttle(1_000, None, "Server Unavailable. 21"),
        *_logins("User successfully authenticated.", "Authentication failure: unknown user name or bad password."),
    ],
    capabilities=Capabilities(top=True, uidl=True, user=True, sasl=("PLAIN", "XOAUTH2")),
    options={
        "greeting": "The Microsoft Exchange POP3 service is ready. [bABvAGMAYQBsAGgAbwBzAHQA]",
        "mechanisms": ("PLAIN", "XOAUTH2"),
        "apop": False,
    },
    has_passwords=False,
)
"""Microsoft 365 and Outlook.com. No password is right, though PLAIN and USER are announced; XOAUTH2 takes the token
on a line of its own, and an initial response ends the connection. A token that is refused gets a challenge with JSON,
then `-ERR`, in the words for a wrong password. After 1,000 messages comes `-ERR Server Unavailable. 21`.

Known from: logs that users have published (2021 to 2025) for greeting, CAPA, and the texts; Microsoft's description
of the two lines. Judged: that there is JSON, as Google sends it and clients are made for it: in those logs there is
none (add `NoJsonChallenge()`); that 1,000 messages are too many, and that it is RETR and TOP which are refused then.
"""

# ------------------------------------------------------------------------------------------- the programs

exchange2003: Final = Persona(
    faults=[
        OkAsChallenge(),
        WrongSize(by=40),
        *_logins("User successfully logged on.", "Logon failure: unknown user name or bad password."),
    ],
    capabilities=Capabilities(top=True, user=True, uidl=True, pipelining=True, sasl=("NTLM",), expire=Expire(None)),
    options={
        "greeting": "Microsoft Exchange Server 2003 POP3 server version 6.5.7638.1 (localhost) ready.",
        "mechanisms": ("PLAIN",),
        "apop": False,
    },
)
"""Exchange Server 2003. `+OK` stands for the `+` of a challenge; sizes are estimates; of SASL, only NTLM is
announced, which the test server refuses.

Known from: a log in MailKit's issues (2016) for greeting, CAPA, `+OK` and the refusal; sizes from the pages of
fetchmail. Judged: that PLAIN is taken, unannounced, so that clients without NTLM can meet the `+OK` as well; that
sizes are 40 octets too large; the text of a login that is accepted, which is that of a later Exchange.
"""

courier: Final = Persona(
    faults=[
        LoseBehind("PASS"),
        LoseBehind("AUTH"),
        LongUids(90),
        Reword("USER", "Password required."),
        *_logins("logged in.", "Login failed.", "Authentication failed."),
        Reword("LIST", "POP3 clients that break here, they violate STD53."),
    ],
    capabilities=Capabilities(
        top=True,
        user=True,
        uidl=True,
        pipelining=True,
        sasl=("LOGIN", "PLAIN", "CRAM-MD5", "CRAM-SHA1", "CRAM-SHA256"),
        login_delay=LoginDelay(10),
    ),
    options={"greeting": "Hello there.", "mechanisms": ("LOGIN", "PLAIN", "CRAM-MD5"), "apop": False},
)
"""Courier. PIPELINING is announced, and what follows PASS or AUTH in one segment is lost; unique ids are names of
Maildir files, longer than 70 octets; refusals have no response code. LOGIN-DELAY 10 is announced without effect.

Known from: Courier 1.0.16 of Debian 12, asked on one machine (2026), but for the unique ids: that program has short
ones, older ones had names of files. Left out: sizes of messages with octets beyond ASCII, which it rewrites; five
seconds before a refusal; that two sessions may have one maildrop.
"""

dovecot: Final = Persona(
    faults=_logins("Logged in.", "[AUTH] Authentication failed."),
    capabilities=Capabilities(
        top=True,
        user=True,
        uidl=True,
        resp_codes=True,
        auth_resp_code=True,
        pipelining=True,
        sasl=("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"),
        other=("CAPA",),
    ),
    after_login=Capabilities(
        top=True, uidl=True, resp_codes=True, auth_resp_code=True, pipelining=True, other=("CAPA",)
    ),
    options={
        "greeting": "Dovecot (Debian) ready.",
        "mechanisms": ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"),
        "limits": Limits(bad_commands=5),
    },
)
"""Dovecot. CAPA announces CAPA, and after login neither USER nor SASL; after five bad commands before login it hangs
up. The rest is what the test server does, which is stricter.

Known from: Dovecot 2.3.19 of Debian 12, asked on one machine (2026), with all its mechanisms switched on, in clear as
well. Judged: nothing. Left out: DIGEST-MD5 and EXTERNAL, which it has; all that it takes and the test server refuses:
arguments of STAT, NOOP, RSET, QUIT, CAPA and STLS, several spaces before an argument, lines that end with LF, a CR
within a line before login, USER without a name, PASS that does not follow USER at once, USER in clear and PASS behind
STLS; that it hangs up before login at a line longer than its buffer of 8,192 octets; that two sessions may have one
maildrop, by default; that the size of a message without a line end at its end does not count the one which is added.
"""

cyrus: Final = Persona(
    faults=[
        LoseBehind("AUTH"),
        *(
            Refuse(f"AUTH SCRAM-SHA-{size}-PLUS", "AUTH", "authenticating: authentication failure")
            for size in ("1", "256")
        ),
        Reword("USER", "Name is a valid mailbox"),
        *_logins("Mailbox locked and ready", "[AUTH] Invalid login", "[AUTH] authenticating: authentication failure"),
    ],
    capabilities=Capabilities(
        top=True,
        user=True,
        uidl=True,
        resp_codes=True,
        auth_resp_code=True,
        pipelining=True,
        sasl=(
            "PLAIN",
            "LOGIN",
            "CRAM-MD5",
            "SCRAM-SHA-1-PLUS",
            "SCRAM-SHA-1",
            "SCRAM-SHA-256-PLUS",
            "SCRAM-SHA-256",
        ),
        login_delay=LoginDelay(0),
        expire=Expire(None),
        implementation="Cyrus POP3 3.6.1",
    ),
    after_login=Capabilities(
        top=True,
        uidl=True,
        resp_codes=True,
        auth_resp_code=True,
        pipelining=True,
        login_delay=LoginDelay(0),
        expire=Expire(None),
        implementation="Cyrus POP3 3.6.1",
    ),
    options={
        "greeting": "localhost Cyrus POP3 3.6.1 server ready",
        "mechanisms": (
            "PLAIN",
            "LOGIN",
            "CRAM-MD5",
            "SCRAM-SHA-1-PLUS",
            "SCRAM-SHA-1",
            "SCRAM-SHA-256-PLUS",
            "SCRAM-SHA-256",
        ),
    },
)
"""Cyrus. Under TLS it announces SCRAM with channel binding, and refuses it as if the password were wrong; what
follows AUTH in one segment is lost, though PIPELINING is announced.

Known from: Cyrus 3.6.1 of Debian 12, asked on one machine (2026), over TLS 1.3 as well. Judged: that the binding
fails over every version of TLS. Left out: DIGEST-MD5, which it has; that a second USER is refused; that two
sessions may have one maildrop; several spaces before an argument, lines that end with LF, PASS that does not follow
USER at once, and USER in clear with PASS behind STLS, all of which it takes; that a NUL ends a command; that `+OK` may
stand alone; that no number of bad commands makes it hang up; that after a handshake that failed it goes on in clear;
that SCRAM ends at once for a user whom it does not know.
"""

maillennium: Final = Persona(
    faults=[ShortTop(65_536), ExtraBlanks()],
    capabilities=Capabilities(top=True, uidl=True, user=True),
    options={"greeting": "Maillennium POP3/UNIBOX", "mechanisms": (), "apop": False},
)
"""Maillennium, the server of Comcast and AT&T some twenty years ago. TOP ends after 64 KB, without a word; rows of
LIST and UIDL have more blanks than they need.

Known from: reports of users for TOP, the sources of KMail (about 2005) for the blanks. Judged: CAPA, and the
greeting, which is the name in those sources.
"""

qpopper: Final = Persona(
    faults=[
        *(
            fault
            for command in ("PASS", "APOP")
            for fault in (
                Reword(command, "[AUTH] Password supplied is incorrect.", refusal="AUTH"),
                TrailingJunk(command, b"+OK Pop server at localhost signing off.\r\n", refused=True),
                CloseAfter(command, refused=True),
            )
        )
    ],
    capabilities=Capabilities(
        top=True, user=True, uidl=True, resp_codes=True, auth_resp_code=True, login_delay=LoginDelay(0)
    ),
    options={"greeting": "Qpopper (version 4.0.5) at localhost starting. ", "mechanisms": ()},
)
"""Qpopper 4. A refused PASS or APOP is answered by two lines, `-ERR` and then `+OK ... signing off`, and a hang-up;
the greeting has a timestamp.

Known from: a session in a comment of VMime's sources (2005), and the recording of another. Judged: CAPA, except that
it announces LOGIN-DELAY and response codes. Left out: that texts have the name of the user.
"""

mailpit_2024: Final = Persona(
    faults=[
        ListsAll("UIDL"),
        ListsAll("LIST"),
        Reword("PASS", "signed in"),
        Reword("PASS", "invalid password", refusal="AUTH"),
        Reword("QUIT", "goodbye"),
    ],
    capabilities=Capabilities(top=True, user=True, uidl=True, implementation="Mailpit"),
    options={"greeting": "Mailpit POP3 server", "mechanisms": (), "apop": False},
)
"""Mailpit, a server for tests of senders, before June and August 2025. `LIST 3` and `UIDL 3` are answered with the
whole listing, in many lines.

Known from: its sources of 2024 and the changes that have ended this. Left out: it shows the 100 newest messages, the
newest first; a message whose first line begins with a dot has it unstuffed; some answers of early versions are
missing.
"""
