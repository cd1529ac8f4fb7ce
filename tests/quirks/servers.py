"""What real servers do, as transcripts. The rows are those of the page about deviations."""

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.commands import (
    Auth,
    Capa,
    Dele,
    List,
    ListOne,
    Noop,
    Pass,
    Quit,
    Retr,
    Stat,
    Stls,
    Top,
    Uidl,
    UidlOne,
    User,
)
from pop3proto.core.errors import ConnectionLost, MalformedReply, RemoteProtocolError
from pop3proto.core.events import AuthCancel, AuthResponse, BadChallenge, ConnectionClosed, Farewell
from pop3proto.core.limits import Quirk
from pop3proto.core.replies import Challenge, Err, Greeting, Ok
from pop3proto.core.results import MaildropStatus
from pop3proto.core.states import State

from .transcripts import HANG_UP, Fails, Got, OfServer, Turn

EARLY = State.AUTHORIZATION
LONG = "x" * 71
TWO = b"+OK\r\n1 120\r\n2 200\r\n.\r\n"


def only(*quirks: Quirk) -> frozenset[Quirk]:
    return frozenset(quirks)


SERVERS = (
    # ------------------------------------------------------------------------------------- capabilities
    OfServer("capa-unknown", "CAPA is refused", [Turn(Capa(), b"-ERR what?\r\n", [Err("what?")])], state=EARLY),
    OfServer(
        "capa-unknown",
        "the server hangs up on CAPA",
        [Turn(Capa(), HANG_UP, [Fails(ConnectionLost, "the server closed the connection before answering CAPA")])],
        state=EARLY,
    ),
    OfServer(
        "capa-form",
        "tags in lower case and twice, blank lines",
        [
            Turn(
                Capa(),
                b"+OK\r\n\r\ntop\r\nUIDL\r\nuidl\r\n   \r\nSASL PLAIN\r\nsasl  plain LOGIN\r\n.\r\n",
                [Got(Capabilities(top=True, uidl=True, sasl=("PLAIN", "LOGIN"), other=("uidl",)))],
            )
        ],
        state=EARLY,
    ),
    OfServer(
        "capa-form",
        "other capabilities after login",
        [
            Turn(Capa(), b"+OK\r\nUSER\r\nSTLS\r\n.\r\n", [Got(Capabilities(user=True, stls=True))]),
            Turn(User("ann"), b"+OK\r\n", [Got()]),
            Turn(Pass("tanstaaf"), b"+OK\r\n", [Got()]),
            Turn(Capa(), b"+OK\r\nTOP\r\n.\r\n", [Got(Capabilities(top=True))]),
        ],
        state=EARLY,
    ),
    OfServer(
        "capa-unannounced",
        "TOP and UIDL work although they are not announced",
        [
            Turn(Capa(), b"+OK\r\n.\r\n", [Got(Capabilities())]),
            Turn(Uidl(), b"+OK\r\n1 a\r\n.\r\n", [Got({1: "a"})]),
            Turn(Top(1, 0), b"+OK\r\nA: b\r\n\r\n.\r\n", [Got(b"A: b\r\n\r\n")]),
        ],
    ),
    OfServer(
        "capa-unannounced",
        "TOP is announced and refused",
        [
            Turn(Capa(), b"+OK\r\nTOP\r\n.\r\n", [Got(Capabilities(top=True))]),
            Turn(Top(1, 0), b"-ERR not here\r\n", [Err("not here")]),
            Turn(Noop(), b"+OK\r\n", [Got()]),
        ],
    ),
    # ---------------------------------------------------------------------------------------- listings
    OfServer(
        "uidl-blanks",
        "several blanks, blanks at both ends, a blank line",
        [Turn(Uidl(), b"+OK\r\n 1   a\r\n2 b  \r\n\r\n.\r\n", [Got({1: "a", 2: "b"})])],
    ),
    OfServer(
        "uidl-blanks",
        "several blanks in the answer about one message",
        [Turn(UidlOne(3), b"+OK  3   abc \r\n", [Got("abc")])],
    ),
    OfServer(
        "uidl-prefixed",
        "+OK before each row, strictly",
        [
            Turn(
                Uidl(),
                b"+OK\r\n+OK 1 a\r\n2 b\r\n.\r\n",
                [Got({2: "b"}, unreadable=(b"+OK 1 a",))],
            )
        ],
    ),
    OfServer(
        "uidl-prefixed",
        "+OK before each row",
        [
            Turn(Uidl(), b"+OK\r\n+OK 1 a\r\n+OK 2 b\r\n.\r\n", [Quirk.UIDL_PREFIXED_ROWS, Got({1: "a", 2: "b"})]),
            Turn(Uidl(), b"+OK\r\n1 a\r\n.\r\n", [Got({1: "a"})]),
        ],
        only(Quirk.UIDL_PREFIXED_ROWS),
    ),
    OfServer(
        "uidl-id",
        "unique ids that are none, strictly",
        [
            Turn(
                Uidl(),
                f"+OK\r\n1 {LONG}\r\n2 caf\xe9\r\n3 a b\r\n4 d\r\n.\r\n".encode("latin-1"),
                [Got({4: "d"}, unreadable=(b"1 " + LONG.encode(), b"2 caf\xe9", b"3 a b"))],
            ),
            Turn(UidlOne(1), f"+OK 1 {LONG}\r\n".encode(), [Fails(MalformedReply, "has no valid row")]),
            Turn(Noop(), b"+OK\r\n", [Got()]),
        ],
    ),
    OfServer(
        "uidl-id",
        "unique ids that are none",
        [
            Turn(
                Uidl(),
                f"+OK\r\n1 {LONG}\r\n2 caf\xe9\r\n3 a b\r\n4 d\r\n.\r\n".encode("latin-1"),
                [Quirk.UIDL_ANY_UNIQUE_ID, Got({1: LONG, 2: "caf\udce9", 3: "a b", 4: "d"})],
            ),
            Turn(UidlOne(1), f"+OK 1 {LONG}\r\n".encode(), [Quirk.UIDL_ANY_UNIQUE_ID, Got(LONG)]),
            Turn(UidlOne(1), b"+OK 1 a\r\n", [Got("a")]),
        ],
        only(Quirk.UIDL_ANY_UNIQUE_ID),
    ),
    OfServer(
        "uidl-id",
        "+OK before rows with unique ids that are none",
        [
            Turn(
                Uidl(),
                f"+OK\r\n+OK 1 {LONG}\r\n.\r\n".encode(),
                [Quirk.UIDL_ANY_UNIQUE_ID, Quirk.UIDL_PREFIXED_ROWS, Got({1: LONG})],
            )
        ],
        only(Quirk.UIDL_ANY_UNIQUE_ID, Quirk.UIDL_PREFIXED_ROWS),
    ),
    OfServer(
        "uidl-missing",
        "rows without a unique id",
        [
            Turn(Uidl(), b"+OK\r\n1\r\n2 b\r\n3 \r\n.\r\n", [Got({2: "b"}, unreadable=(b"1", b"3 "))]),
            Turn(UidlOne(1), b"+OK 1\r\n", [Fails(MalformedReply, "the answer to UIDL 1 has no valid row")]),
            Turn(Noop(), b"+OK\r\n", [Got()]),
        ],
        frozenset(Quirk) - {Quirk.BARE_LF},
    ),
    OfServer(
        "uidl-shared",
        "one unique id for two messages",
        [Turn(Uidl(), b"+OK\r\n1 a\r\n2 a\r\n.\r\n", [Got({1: "a", 2: "a"})])],
    ),
    OfServer(
        "list-numbers",
        "gaps, numbers in any order, huge numbers",
        [
            Turn(List(), b"+OK\r\n7 1\r\n2 1\r\n99999999999 1\r\n.\r\n", [Got({7: 1, 2: 1, 99_999_999_999: 1})]),
            Turn(
                Uidl(),
                b"+OK\r\n99999999999 a\r\n" + b"9" * 21 + b" b\r\n.\r\n",
                [Got({99_999_999_999: "a"}, unreadable=(b"9" * 21 + b" b",))],
            ),
            Turn(Retr(99_999_999_999), b"-ERR\r\n", [Err()]),
        ],
    ),
    OfServer(
        "stat-octets",
        "octets that are no number, strictly",
        [
            Turn(Stat(), b"+OK 2 -320\r\n", [Fails(MalformedReply, "does not begin with two numbers")]),
            Turn(Stat(), b"+OK 2\r\n", [Fails(MalformedReply, "does not begin with two numbers")]),
            Turn(Stat(), b"+OK\r\n", [Fails(MalformedReply, "does not begin with two numbers")]),
            Turn(Stat(), b"+OK 2 8589934592\r\n", [Got(MaildropStatus(2, 2**33))]),
            Turn(Stat(), b"+OK 2 320 octets\r\n", [Got(MaildropStatus(2, 320))]),
        ],
    ),
    OfServer(
        "stat-octets",
        "octets that are no number",
        [
            Turn(Stat(), b"+OK 2 -320\r\n", [Quirk.STAT_WITHOUT_OCTETS, Got(MaildropStatus(2, 0))]),
            Turn(Stat(), b"+OK 2\r\n", [Quirk.STAT_WITHOUT_OCTETS, Got(MaildropStatus(2, 0))]),
            Turn(Stat(), b"+OK 2 320\r\n", [Got(MaildropStatus(2, 320))]),
            Turn(Stat(), b"+OK\r\n", [Fails(MalformedReply, "does not begin with two numbers")]),
            Turn(Stat(), b"+OK -2 320\r\n", [Fails(MalformedReply, "does not begin with two numbers")]),
        ],
        only(Quirk.STAT_WITHOUT_OCTETS),
    ),
    OfServer(
        "list-sizes",
        "sizes that are wrong",
        [
            Turn(List(), b"+OK\r\n1 0\r\n2 5\r\n.\r\n", [Got({1: 0, 2: 5})]),
            Turn(Retr(1), b"+OK 0 octets\r\nA: b\r\n\r\n.\r\n", [Got(b"A: b\r\n\r\n")]),
            Turn(Retr(2), b"+OK 5000 octets\r\nA: b\r\n\r\n.\r\n", [Got(b"A: b\r\n\r\n")]),
        ],
    ),
    OfServer(
        "reply-text",
        "text behind the numbers of a row, and text for people",
        [
            Turn(List(), b"+OK 3 messages (9 octets)\r\n1 120 octets\r\n2 200 (new)\r\n.\r\n", [Got({1: 120, 2: 200})]),
            Turn(ListOne(2), b"+OK 2 200 octets\r\n", [Got(200)]),
            Turn(Uidl(), b"+OK 1 a\r\n1 b\r\n.\r\n", [Got({1: "b"})]),
            Turn(Retr(1), b"+OK -1 octets\r\nx\r\n.\r\n", [Got(b"x\r\n")]),
        ],
    ),
    # ----------------------------------------------------------------------------------------- framing
    OfServer(
        "bare-lf",
        "LF ends no line, strictly",
        [
            Turn(Noop(), b"+OK\n", []),
            Turn((), b"\r\n", [Fails(RemoteProtocolError, "instead of an answer to NOOP")]),
        ],
    ),
    OfServer(
        "bare-lf",
        "LF ends no body, strictly",
        [
            Turn(Retr(1), b"+OK\r\na\n.\nb\r\n.\n", []),
            Turn(
                (),
                HANG_UP,
                [Fails(ConnectionLost, "in the middle of the body of RETR 1")],
            ),
        ],
    ),
    OfServer(
        "bare-lf",
        "LF ends each line",
        [
            Turn((), b"+OK ready\n", [Quirk.BARE_LF, Greeting(Ok("ready"))]),
            Turn(Capa(), b"+OK\nTOP\n.\n", [Got(Capabilities(top=True))]),
            Turn(User("ann"), b"+OK\n", [Got()]),
            Turn(Pass("x"), b"+OK\n", [Got()]),
            Turn(List(), b"+OK\n1 12\n.\n", [Got({1: 12})]),
            Turn(Retr(1), b"+OK\na\n..b\n.\n", [Got(b"a\r\n.b\r\n")]),
            Turn(Quit(), b"+OK\n", [Got()]),
        ],
        only(Quirk.BARE_LF),
        state=State.GREETING,
    ),
    OfServer(
        "bare-lf",
        "LF ends some lines of a body",
        [
            Turn(Retr(1), b"+OK\r\na\r\nb\nc\r\n.\n", [Got(b"a\r\nb\r\nc\r\n")]),
            Turn(Noop(), b"+OK\r\n", [Quirk.BARE_LF, Got()]),
            Turn(Retr(1), b"+OK\r\n\n\r\n.\r\n", [Got(b"\r\n\r\n")]),
        ],
        only(Quirk.BARE_LF),
    ),
    OfServer(
        "lone-dot",
        "the stream ends behind a lone dot",
        [
            Turn(Retr(1), b"+OK\r\nhalf\r\n.", []),
            Turn((), HANG_UP, [Fails(ConnectionLost, "after a dot without CRLF, which does not end a body")]),
        ],
    ),
    OfServer(
        "no-stuffing",
        "a dot that is not stuffed",
        [
            Turn(Retr(1), b"+OK\r\na\r\n.\r\n", [Got(b"a\r\n")]),
            Turn(
                (),
                b"rest of the message\r\n",
                [Fails(RemoteProtocolError, "the body of RETR 1 may have ended early: the server may not dot-stuff")],
            ),
        ],
    ),
    OfServer(
        "no-stuffing",
        "a dot at the start of a line that is not stuffed",
        [Turn(Retr(1), b"+OK\r\n.profile\r\n.\r\n", [Got(b"profile\r\n")])],
    ),
    OfServer(
        "stray-dot",
        "a dot behind the answer about one message, strictly",
        [Turn(ListOne(3), b"+OK 3 120\r\n.\r\n", [Got(120), Fails(RemoteProtocolError, "the server sent '.'")])],
    ),
    OfServer(
        "stray-dot",
        "a dot behind the answer about one message",
        [
            Turn(ListOne(3), b"+OK 3 120\r\n.\r\n", [Got(120), Quirk.STRAY_DOT]),
            Turn(UidlOne(3), b"+OK 3 abc\r\n", [Got("abc")]),
            Turn(Noop(), b".\r\n+OK\r\n", [Quirk.STRAY_DOT, Got()]),
            Turn(List(), TWO, [Got({1: 120, 2: 200})]),
            Turn((), b".\r\n", [Fails(RemoteProtocolError, "although no command was outstanding")]),
        ],
        only(Quirk.STRAY_DOT),
    ),
    OfServer(
        "any-octets",
        "NUL, 8-bit octets, lone CR, bare LF and a long line in a body",
        [
            Turn(
                Retr(1),
                b"+OK\r\n\0\xff\rx\ny\r\r\n" + b"long " * 200 + b"\r\n.\r\n",
                [Got(b"\0\xff\rx\ny\r\r\n" + b"long " * 200 + b"\r\n")],
            )
        ],
    ),
    # ----------------------------------------------------------------------------------------- replies
    OfServer(
        "reply-form",
        "replies without text, and in any case",
        [
            Turn(Noop(), b"+OK\r\n", [Got()]),
            Turn(Noop(), b"+ok done\r\n", [Got()]),
            Turn(Dele(1), b"-ERR\r\n", [Err()]),
            Turn(Dele(1), b"-err no\r\n", [Err("no")]),
        ],
    ),
    *(
        OfServer(
            "reply-form",
            f"{word} is no status",
            [Turn(Noop(), word.encode() + b" x\r\n", [Fails(RemoteProtocolError, "instead of an answer to NOOP")])],
        )
        for word in ("+OKAY", "-ERROR", "+ERR")
    ),
    OfServer(
        "login-hang-up",
        "-ERR to a login, and a hang-up",
        [
            Turn(User("ann"), b"+OK\r\n", [Got()]),
            Turn(Pass("wrong"), b"-ERR no\r\n", [Err("no")]),
            Turn((), HANG_UP, [ConnectionClosed()]),
        ],
        state=EARLY,
    ),
    OfServer(
        "farewell",
        "-ERR out of the blue",
        [
            Turn((), b"-ERR Disconnected for inactivity\r\n", [Farewell(Err("Disconnected for inactivity"))]),
            Turn((), HANG_UP, [ConnectionClosed()]),
        ],
    ),
    OfServer(
        "farewell",
        "something behind -ERR out of the blue",
        [
            Turn(
                (),
                b"-ERR bye\r\n+OK\r\n",
                [Farewell(Err("bye")), Fails(RemoteProtocolError, "after the end of the session")],
            )
        ],
    ),
    # -------------------------------------------------------------------------------- greeting and TLS
    *(
        OfServer("greeting", title, [Turn((), line, [Greeting(reply)])], state=State.GREETING)
        for title, line, reply in (
            ("text before the timestamp", b"+OK hi <1.2@x>\r\n", Ok("hi <1.2@x>")),
            ("several things in brackets", b"+OK <a> <1.2@x>\r\n", Ok("<a> <1.2@x>")),
            ("a greeting that refuses", b"-ERR too busy\r\n", Err("too busy")),
        )
    ),
    OfServer(
        "greeting",
        "a greeting with a blank for OK",
        [Turn((), b"+ Hola\r\n", [Fails(RemoteProtocolError, "instead of a greeting")])],
        state=State.GREETING,
    ),
    *(
        OfServer(
            "other-protocol",
            f"{name} on the port",
            [Turn((), octets + b"\r\n", [Fails(RemoteProtocolError, f"this looks like {name}, not POP3")])],
            state=State.GREETING,
        )
        for name, octets in (
            ("IMAP", b"* OK IMAP4rev1 ready"),
            ("SMTP", b"220 mail.example.org ESMTP"),
            ("HTTP", b"HTTP/1.1 400 Bad Request"),
        )
    ),
    OfServer(
        "other-protocol",
        "a TLS alert on the port",
        [
            Turn((), b"\x15\x03\x01\x00\x02\x02\x46", []),
            Turn((), HANG_UP, [Fails(ConnectionLost, "this looks like TLS, not POP3")]),
        ],
        state=State.GREETING,
    ),
    OfServer(
        "stls-injection",
        "octets behind the answer to STLS",
        [Turn(Stls(), b"+OK\r\n+OK\r\n", [Got(), Fails(RemoteProtocolError, "before the TLS handshake")])],
        state=EARLY,
    ),
    OfServer(
        "stls-injection",
        "a line behind the refusal of STLS",
        [
            Turn(
                Stls(),
                b"-ERR no\r\n+OK injected\r\n",
                [Err("no"), Fails(RemoteProtocolError, "although no command was outstanding")],
            )
        ],
        state=EARLY,
    ),
    # -------------------------------------------------------------------------------------------- SASL
    OfServer(
        "sasl-plus",
        "+ without a blank",
        [
            Turn(Auth("PLAIN"), b"+\r\n", [Challenge()]),
            Turn(AuthResponse(b"\0ann\0x"), b"+OK\r\n", [Got()]),
        ],
        state=EARLY,
    ),
    OfServer(
        "sasl-ok",
        "+OK in place of a challenge, strictly: the login is complete, and no secret follows",
        [
            Turn(Auth("PLAIN"), b"+OK go on\r\n", [Got()]),
            Turn(Noop(), b"+OK\r\n", [Got()]),
        ],
        state=EARLY,
    ),
    OfServer(
        "sasl-ok",
        "+OK in place of a challenge",
        [
            Turn(Auth("PLAIN"), b"+OK go on\r\n", [Quirk.OK_AS_CHALLENGE, Challenge()]),
            Turn(AuthResponse(b"\0ann\0x"), b"+OK\r\n", [Got()]),
            Turn(Noop(), b"+OK\r\n", [Got()]),
        ],
        only(Quirk.OK_AS_CHALLENGE),
        state=EARLY,
    ),
    OfServer(
        "sasl-ok",
        "+OK with the data of a challenge",
        [
            Turn(Auth("CRAM-MD5"), b"+OK PDEuMkB4Pg==\r\n", [Quirk.OK_AS_CHALLENGE, Challenge(b"<1.2@x>")]),
            Turn(AuthCancel(), b"-ERR\r\n", [Err()]),
            Turn(Auth("PLAIN", b"\0ann\0x"), b"+OK\r\n", [Got()]),
        ],
        only(Quirk.OK_AS_CHALLENGE),
        state=EARLY,
    ),
    OfServer(
        "sasl-text",
        "a challenge that is not base64, strictly",
        [
            Turn(Auth("PLAIN"), b"+ go on\r\n", [BadChallenge(b"go on")]),
            Turn(AuthCancel(), b"-ERR cancelled\r\n", [Err("cancelled")]),
        ],
        state=EARLY,
    ),
    OfServer(
        "sasl-text",
        "challenges that are not base64",
        [
            Turn(Auth("LOGIN"), b"+ User Name:\r\n", [Quirk.UNENCODED_CHALLENGE, Challenge()]),
            Turn(AuthResponse(b"ann"), b"+ Password:\r\n", [Quirk.UNENCODED_CHALLENGE, Challenge()]),
            Turn(AuthResponse(b"x"), b"+OK\r\n", [Got()]),
        ],
        only(Quirk.UNENCODED_CHALLENGE),
        state=EARLY,
    ),
    OfServer(
        "sasl-json",
        "a token is refused by a challenge, and -ERR follows the empty answer",
        [
            Turn(Auth("XOAUTH2"), b"+ \r\n", [Challenge()]),
            Turn(AuthResponse(b"token"), b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n", [Challenge(b'{"status":"400"}')]),
            Turn(AuthResponse(), b"-ERR [AUTH] no\r\n", [Err("[AUTH] no")]),
        ],
        state=EARLY,
    ),
    OfServer(
        "sasl-refused",
        "a mechanism is announced and refused, and USER works",
        [
            Turn(Auth("PLAIN", b"\0ann\0x"), b"-ERR no such mechanism\r\n", [Err("no such mechanism")]),
            Turn(User("ann"), b"+OK\r\n", [Got()]),
            Turn(Pass("x"), b"+OK\r\n", [Got()]),
        ],
        state=EARLY,
    ),
)
