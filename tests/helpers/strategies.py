"""What hypothesis draws from: commands, replies, results, messages, and ways to cut octets.

Every value is valid, fits the default limits and may cross the wire: what one connection sends, the other receives
as an equal value. The exceptions say so: `messages`, of which a server makes CRLF lines first (see `bodies`), and
`near_commands`, of which most are no commands.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pop3proto.core.capabilities import Capabilities, Expire, LoginDelay
from pop3proto.core.commands import (
    Apop,
    Auth,
    AuthList,
    Capa,
    Command,
    Dele,
    Lang,
    LangList,
    List,
    ListOne,
    Noop,
    Pass,
    PlainCommand,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    UidlOne,
    User,
    Utf8,
)
from pop3proto.core.events import AuthResponse
from pop3proto.core.replies import Challenge, Err, Greeting, Ok, ResponseCode
from pop3proto.core.results import Language, MaildropStatus, ScanListing, UniqueId, UniqueIdListing

# ----------------------------------------------------------------------------------------------- text

COMMAND_LINE = 255  # octets with CRLF, RFC 2449 section 4
REPLY_LINE = 512  # likewise
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


def octets_of(text: str) -> bytes:
    """The octets that stand for a text on the wire."""
    return text.encode("utf-8", "surrogateescape")


def _as_text(octets: bytes) -> str:
    return octets.translate(None, b"\r\n\0").decode("utf-8", "surrogateescape")


def texts(max_octets: int, *, min_octets: int = 0) -> SearchStrategy[str]:
    """Text that can stand on a line: ASCII, UTF-8, and octets that are neither; blanks anywhere."""
    in_ascii = st.text(VISIBLE + " ", max_size=max_octets)
    in_utf8 = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=max_octets // 4)
    in_octets = st.binary(max_size=max_octets).map(_as_text)
    return st.one_of(in_ascii, in_utf8, in_octets).filter(lambda text: len(octets_of(text)) >= min_octets)


def names(max_octets: int) -> SearchStrategy[str]:
    """User names: text that is not empty and has no blank at either end."""
    examples = st.sampled_from(["mrose", "john doe", "j\N{LATIN SMALL LETTER O WITH DIAERESIS}rg"])
    return examples | texts(max_octets).map(lambda text: text.strip(" ")).filter(bool)


def in_any_case(octets: bytes) -> SearchStrategy[bytes]:
    """The same ASCII letters, each in upper or lower case."""
    cases = st.lists(st.booleans(), min_size=len(octets), max_size=len(octets))
    return cases.map(
        lambda upper: b"".join(
            (octets[at : at + 1].upper() if up else octets[at : at + 1].lower()) for at, up in enumerate(upper)
        )
    )


words_for_people: SearchStrategy[str] = texts(300)
"""Text behind `+OK` or `-ERR`; by chance it looks like a response code, or like anything else."""

# ------------------------------------------------------------------------------------------- commands

numbers: SearchStrategy[int] = st.one_of(st.integers(1, 9), st.integers(1, 10**20 - 1), st.just(10**20 - 1))
"""Message numbers."""

counts: SearchStrategy[int] = st.one_of(st.integers(0, 9), st.integers(0, 10**20 - 1), st.just(10**20 - 1))
"""Octets, lines, messages, seconds, days."""

mechanisms: SearchStrategy[str] = st.one_of(
    st.sampled_from(["PLAIN", "SCRAM-SHA-256", "XOAUTH2"]), st.text("ABXYZ0189-_", min_size=1, max_size=20)
)
"""Names of SASL mechanisms, upper case."""

language_tags: SearchStrategy[str] = st.lists(st.text("abzABZ", min_size=1, max_size=8), min_size=1, max_size=4).map(
    "-".join
)
"""`en`, `i-default`, `sr-Latn-CS` and the like."""

digests: SearchStrategy[str] = st.text("0123456789abcdef", min_size=32, max_size=32)
"""What APOP carries."""


def _auths(mechanism: str) -> SearchStrategy[Auth]:
    room = COMMAND_LINE - len(f"AUTH {mechanism} \r\n")
    responses = st.one_of(st.none(), st.just(b""), st.binary(max_size=room // 4 * 3))
    return st.builds(Auth, st.just(mechanism), responses)


commands_of: Mapping[type[Command[object]], SearchStrategy[Command[object]]] = {
    User: st.builds(User, names(COMMAND_LINE - len("USER \r\n"))),
    Pass: st.builds(Pass, texts(COMMAND_LINE - len("PASS \r\n"), min_octets=1)),
    Apop: st.builds(Apop, names(COMMAND_LINE - len("APOP  \r\n") - 32), digests),
    Auth: mechanisms.flatmap(_auths),
    AuthList: st.just(AuthList()),
    Stls: st.just(Stls()),
    Utf8: st.just(Utf8()),
    Capa: st.just(Capa()),
    Lang: st.builds(Lang, st.just("*") | language_tags),
    LangList: st.just(LangList()),
    Quit: st.just(Quit()),
    Stat: st.just(Stat()),
    List: st.just(List()),
    ListOne: st.builds(ListOne, numbers),
    Uidl: st.just(Uidl()),
    UidlOne: st.builds(UidlOne, numbers),
    Retr: st.builds(Retr, numbers),
    Top: st.builds(Top, numbers, counts),
    Dele: st.builds(Dele, numbers),
    Noop: st.just(Noop()),
    Rset: st.just(Rset()),
}
"""For each class of the standard commands, any of its values whose line has at most 255 octets."""

commands: SearchStrategy[Command[object]] = st.one_of(*commands_of.values())
"""Any standard command with any arguments."""

_verbs = st.sampled_from(sorted({command.verb.encode() for command in commands_of}))
_arguments = st.one_of(
    st.binary(max_size=30),
    st.lists(st.text("0123456789+-_. =A\N{ARABIC-INDIC DIGIT ONE}"), max_size=3).map(" ".join).map(str.encode),
)
near_commands: SearchStrategy[bytes] = st.one_of(
    st.binary(max_size=300),
    st.builds(
        b"".join,
        st.tuples(_verbs.flatmap(in_any_case), st.sampled_from([b"", b" ", b"  ", b"\t"]), _arguments),
    ),
)
"""Lines without CRLF at the end: commands, things that look like commands, and rubbish. Any octet may be in them."""

# -------------------------------------------------------------------------------------------- replies

_levels = st.text([*sorted(set(VISIBLE) - set("/]")), "\x7f"], min_size=1, max_size=8)
response_codes: SearchStrategy[ResponseCode] = st.one_of(
    st.sampled_from(["LOGIN-DELAY", "IN-USE", "SYS/TEMP", "SYS/PERM", "AUTH", "UTF8"]),
    st.lists(_levels, min_size=1, max_size=4).map("/".join),
).map(ResponseCode)
"""Registered ones, and any that the grammar allows."""

ok_replies: SearchStrategy[Ok] = st.builds(Ok, words_for_people) | st.builds(Ok.coded, response_codes, words_for_people)
err_replies: SearchStrategy[Err] = st.builds(Err, words_for_people) | st.builds(
    Err.coded, response_codes, words_for_people
)
replies: SearchStrategy[Ok | Err] = ok_replies | err_replies
"""Status lines of at most 512 octets."""

_dot_atoms = st.text(sorted(set(VISIBLE) - set("<>@")), min_size=1, max_size=20)
timestamps: SearchStrategy[str] = st.builds("<{}@{}>".format, _dot_atoms, _dot_atoms)
"""What a server that offers APOP has in its greeting."""


def _as_it_is_read(text: str) -> str:
    """Neighbouring octets may be a character, once what was between them is gone."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


_greeting_texts = texts(150).map(lambda text: _as_it_is_read(text.replace("<", "")))
greetings: SearchStrategy[Greeting] = st.one_of(
    st.builds(Greeting, st.one_of(st.builds(Ok, _greeting_texts), st.builds(Err, _greeting_texts))),
    st.tuples(_greeting_texts, timestamps, _greeting_texts).map("".join).map(_as_it_is_read).map(Ok).map(Greeting),
)
"""Greetings that a server may send: no `<` but that of a timestamp (RFC 2449 section 3), which only `+OK` has."""

challenges: SearchStrategy[Challenge] = st.builds(Challenge, st.binary(max_size=300))
auth_responses: SearchStrategy[AuthResponse] = st.builds(AuthResponse, st.binary(max_size=300))

# ------------------------------------------------------------------------------------------- messages

_morsels = st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"a", b"\0", b"\xff"])
messages: SearchStrategy[bytes] = st.one_of(
    st.lists(_morsels).map(b"".join),
    st.binary(max_size=200),
)
"""Messages as a maildrop holds them: any octets, rich in dots and in line ends of every kind."""

bodies: SearchStrategy[bytes] = st.lists(
    st.one_of(
        st.sampled_from([b"", b".", b"..", b".a", b". ", b"Subject: x", b"\r", b"\0", b"\xff"]),
        st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"").removesuffix(b"\r")),
    )
).map(lambda lines: b"".join(line.rstrip(b"\r") + b"\r\n" for line in lines))
"""Messages as they arrive: CRLF lines that hold no LF; lone CR within a line."""


def chunkings(octets: bytes) -> SearchStrategy[list[bytes]]:
    """Ways to cut octets: in one piece, in pieces of one octet, and at any places. No piece is empty."""

    def cut(places: set[int]) -> list[bytes]:
        borders = [0, *sorted(places), len(octets)]
        return [octets[start:end] for start, end in pairwise(borders)]

    if not octets:
        return st.just([])
    everywhere = set(range(1, len(octets)))
    if not everywhere:
        return st.just([octets])
    somewhere = st.sets(st.sampled_from(sorted(everywhere)), max_size=20)
    return st.one_of(st.just(set[int]()), st.just(everywhere), somewhere).map(cut)


# -------------------------------------------------------------------------------------------- results

unique_ids: SearchStrategy[UniqueId] = st.builds(UniqueId, st.text(VISIBLE, min_size=1, max_size=70))
scan_listings: SearchStrategy[ScanListing] = st.builds(ScanListing, st.dictionaries(numbers, counts, max_size=8))
unique_id_listings: SearchStrategy[UniqueIdListing] = st.builds(
    UniqueIdListing, st.dictionaries(numbers, unique_ids, max_size=8)
)
maildrop_statuses: SearchStrategy[MaildropStatus] = st.builds(MaildropStatus, counts, counts)
languages: SearchStrategy[Language] = st.builds(
    Language,
    language_tags | texts(40).map(lambda text: _as_text(octets_of(text).replace(b" ", b""))).filter(bool),
    texts(80).map(lambda text: text.strip(" ")),
)

_registered = {
    *("TOP", "USER", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "STLS", "LANG"),
    *("SASL", "UTF8", "LOGIN-DELAY", "EXPIRE", "IMPLEMENTATION"),
}
_tags = st.text([*sorted(set(VISIBLE) - {"."}), "\x7f"], min_size=1, max_size=20)
_private_capabilities = st.builds(
    lambda tag, rest: f"{tag} {rest}" if rest else tag,
    _tags.filter(lambda tag: tag.upper() not in _registered),
    texts(100),
)


@st.composite
def _capabilities(draw: st.DrawFn) -> Capabilities:
    utf8 = draw(st.booleans())
    flags = ("top", "user", "uidl", "resp_codes", "auth_resp_code", "pipelining", "stls", "lang")
    return Capabilities(
        **{flag: draw(st.booleans()) for flag in flags},
        sasl=tuple(draw(st.lists(mechanisms, max_size=5, unique=True))),
        utf8=utf8,
        utf8_user=utf8 and draw(st.booleans()),
        login_delay=draw(st.none() | st.builds(LoginDelay, counts, st.booleans())),
        expire=draw(st.none() | st.builds(Expire, st.none() | counts, st.booleans())),
        implementation=draw(st.none() | names(200)),
        other=tuple(draw(st.lists(_private_capabilities, max_size=4))),
    )


capabilities: SearchStrategy[Capabilities] = _capabilities()
"""All that a server may announce."""

_RESULTS: Mapping[type[Command[object]], SearchStrategy[Any]] = {
    AuthList: st.lists(mechanisms, max_size=5).map(tuple),
    Capa: capabilities,
    Lang: st.none() | language_tags,
    LangList: st.lists(languages, max_size=4).map(tuple),
    Stat: maildrop_statuses,
    List: scan_listings,
    ListOne: counts,
    Uidl: unique_id_listings,
    UidlOne: unique_ids,
    Retr: bodies,
    Top: bodies,
}


def results_of(command: Command[object]) -> SearchStrategy[Any]:
    """Any result of a command: what its `answer` takes, and its `parse` gives back."""
    return st.none() if isinstance(command, PlainCommand) else _RESULTS[type(command)]


def answers_to(command: Command[Any]) -> SearchStrategy[tuple[Ok, bytes]]:
    """Any positive answer to a command: what `answer` makes of a result, with words for people where they may be."""
    answer: Callable[..., tuple[Ok, bytes]] = command.answer  # type: ignore[attr-defined] # every command has one
    if isinstance(command, Stat | ListOne | UidlOne):  # nothing follows what the reply says
        return results_of(command).map(answer)
    if isinstance(command, Lang):  # words without a tag before them may look like one
        return st.builds(answer, results_of(command)) | st.builds(answer, language_tags, words_for_people)
    return st.builds(answer, results_of(command), words_for_people)
