"""What a server says that it can do."""

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto.core.capabilities import Capabilities, Expire, LoginDelay
from pop3proto.core.errors import LocalProtocolError
from tests.helpers import strategies as some

NOTHING = Capabilities()


def read(*lines: str | bytes) -> Capabilities:
    """What a client makes of these lines."""
    return Capabilities.parse(b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in lines))


def announced(capabilities: Capabilities) -> list[str]:
    """The names of the fields that say something."""
    return [
        name for name, value in attrs.asdict(capabilities, recurse=False).items() if value != getattr(NOTHING, name)
    ]


# ----------------------------------------------------------------------------------------------- laws


@given(some.capabilities)
def test_what_is_announced_is_read(capabilities):
    body = capabilities.encode()
    assert Capabilities.parse(body) == capabilities
    assert all(len(line) <= 512 and not line.startswith(b".") for line in body.splitlines(keepends=True))


@given(some.capabilities, st.randoms())
def test_order_means_nothing_but_to_the_mechanisms_and_private_tags(capabilities, random):
    # RFC 2449 section 3.
    lines = capabilities.encode().split(b"\r\n")[:-1]
    private = lines[len(lines) - len(capabilities.other) :]
    registered = lines[: len(lines) - len(capabilities.other)]
    random.shuffle(registered)
    assert read(*private, *registered) == capabilities


@given(some.capabilities.map(lambda these: attrs.evolve(these, implementation=None, other=())), st.data())
def test_case_and_runs_of_blanks_mean_nothing(capabilities, data):
    # RFC 2449 section 5. Blank lines and blanks at the ends are what some servers send.
    lines = []
    for line in capabilities.encode().split(b"\r\n"):
        blanks = b" " * data.draw(st.integers(1, 3))
        lines.append(data.draw(st.sampled_from([b"", b" "])) + data.draw(some.in_any_case(line)).replace(b" ", blanks))
        lines.append(b" " * data.draw(st.integers(0, 2)))
    assert read(*lines) == capabilities


@given(
    st.binary(max_size=100)
    | st.lists(st.sampled_from(["SASL", "UTF8", "USER", "EXPIRE", "NEVER", "0", "\r\n", "x"]))
    .map(" ".join)
    .map(str.encode)
)
def test_any_octets_are_capabilities(body):
    capabilities = Capabilities.parse(body)
    try:
        again = capabilities.encode()
    except LocalProtocolError:
        return
    assert Capabilities.parse(again) == capabilities


# --------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    "line, values",
    [
        ("TOP", {"top": True}),
        ("USER", {"user": True}),
        ("UIDL", {"uidl": True}),
        ("RESP-CODES", {"resp_codes": True}),
        ("AUTH-RESP-CODE", {"auth_resp_code": True}),
        ("PIPELINING", {"pipelining": True}),
        ("STLS", {"stls": True}),
        ("LANG", {"lang": True}),
        ("UTF8", {"utf8": True}),
        ("UTF8 USER", {"utf8": True, "utf8_user": True}),
        ("SASL PLAIN DIGEST-MD5 GSSAPI ANONYMOUS", {"sasl": ("PLAIN", "DIGEST-MD5", "GSSAPI", "ANONYMOUS")}),
        ("LOGIN-DELAY 900", {"login_delay": LoginDelay(900)}),
        ("LOGIN-DELAY 900 USER", {"login_delay": LoginDelay(900, per_user=True)}),
        ("LOGIN-DELAY 0", {"login_delay": LoginDelay(0)}),
        ("EXPIRE 5 USER", {"expire": Expire(5, per_user=True)}),
        ("EXPIRE 30", {"expire": Expire(30)}),
        ("EXPIRE 0", {"expire": Expire(0)}),
        ("EXPIRE NEVER", {"expire": Expire(None)}),
        ("EXPIRE NEVER USER", {"expire": Expire(None, per_user=True)}),
        ("IMPLEMENTATION Shlemazle-Plotz-v302", {"implementation": "Shlemazle-Plotz-v302"}),
        ("IMPLEMENTATION BlurdyBlurp POP3 server", {"implementation": "BlurdyBlurp POP3 server"}),  # RFC 5034 section 3
        ("X-GOOGLE-RICO", {"other": ("X-GOOGLE-RICO",)}),
        ("CAPA", {"other": ("CAPA",)}),
        ("X-TAG with  Parameters ", {"other": ("X-TAG with  Parameters ",)}),
    ],
)
def test_each_capability(line, values):
    # RFC 2449 section 6, and the registry that it opened.
    assert read(line) == Capabilities(**values)
    assert Capabilities(**values).encode() == line.encode() + b"\r\n"
    assert announced(read(line)) == list(values)


@pytest.mark.parametrize(
    "line, values",
    [
        ("sasl plain Login", {"sasl": ("PLAIN", "LOGIN")}),
        ("utf8 user", {"utf8": True, "utf8_user": True}),
        ("expire never user", {"expire": Expire(None, per_user=True)}),
        ("LOGIN-DELAY 0900  user ", {"login_delay": LoginDelay(900, per_user=True)}),
        (" TOP ", {"top": True}),
        ("implementation   Two  Words ", {"implementation": "Two  Words"}),
        (b"IMPLEMENTATION \xc3\xa9\xff", {"implementation": "\N{LATIN SMALL LETTER E WITH ACUTE}\udcff"}),
    ],
)
def test_each_capability_as_some_write_it(line, values):
    assert read(line) == Capabilities(**values)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "TOP 1",
            "USER x",
            "UTF8 x",
            "UTF8 USER x",
            "STLS now",
            "SASL",
            "IMPLEMENTATION",
            "LOGIN-DELAY",
            "LOGIN-DELAY x",
        ),
        *("LOGIN-DELAY -1", "LOGIN-DELAY 9 x", "LOGIN-DELAY 9 USER x", "LOGIN-DELAY NEVER", "LOGIN-DELAY " + "1" * 21),
        *(
            "EXPIRE",
            "EXPIRE x",
            "EXPIRE -1",
            "EXPIRE 5 x",
            "EXPIRE 5 USER x",
            "EXPIRE 1_0",
            "EXPIRE " + "1" * 21,
            "TOP\tx",
        ),
        *(
            "EXPIRE \N{ARABIC-INDIC DIGIT ONE}",
            "LOGIN-DELAY \N{ARABIC-INDIC DIGIT ONE}",
            "U\N{LATIN SMALL LETTER DOTLESS I}DL",
        ),
        *("STL\N{LATIN SMALL LETTER LONG S}", "UTF8 U\N{LATIN SMALL LETTER LONG S}ER", "X\0Y", "a\nTOP", "."),
    ],
)
def test_what_is_malformed_is_kept_as_it_came(line):
    assert read(line, "TOP") == Capabilities(top=True, other=(line,))


@pytest.mark.parametrize("line", [b"EXPIRE \xff", b"LOGIN-DELAY \xff", b"\xff", b"SASL \xff"])
def test_octets_that_are_no_utf8_are_kept(line):
    assert read(line) == Capabilities(other=(line.decode("utf-8", "surrogateescape"),))


def test_of_a_tag_that_comes_twice_the_first_line_counts():
    lines = ["EXPIRE 5", "EXPIRE 6", "TOP", "top", "UTF8 USER", "UTF8", "IMPLEMENTATION a", "IMPLEMENTATION a"]
    assert read(*lines) == Capabilities(
        top=True,
        expire=Expire(5),
        utf8=True,
        utf8_user=True,
        implementation="a",
        other=("EXPIRE 6", "top", "UTF8", "IMPLEMENTATION a"),
    )
    assert read("UTF8", "UTF8 USER") == Capabilities(utf8=True, other=("UTF8 USER",))


def test_mechanisms_are_gathered():
    assert read("SASL PLAIN LOGIN", "SASL login PLAIN XOAUTH2 xoauth2").sasl == ("PLAIN", "LOGIN", "XOAUTH2")


def test_a_mechanism_that_is_none_hides_no_other():
    line = "SASL PLAIN ECDSA-NIST256P-CHALLENGE x.y LOGIN"
    capabilities = read(line)
    assert capabilities == Capabilities(sasl=("PLAIN", "LOGIN"), other=(line,))
    assert Capabilities.parse(capabilities.encode()) == capabilities


def test_a_tag_is_asked_for_in_any_case():
    capabilities = read("top", "sasl PLAIN", "X-Private one", " X-Odd", "EXPIRE 5", "TOP 1")
    for tag in ("TOP", "Top", "SASL", "x-private", "X-ODD", "expire"):
        assert tag in capabilities
    for tag in ("", "UIDL", "X-PRIVATE one", "PLAIN", "ONE", "5", "\N{LATIN SMALL LETTER LONG S}asl"):
        assert tag not in capabilities
    assert "TOP" not in NOTHING


def test_nothing_is_announced_by_nothing():
    assert NOTHING.encode() == b""
    assert read() == read("", "  ") == NOTHING
    assert announced(NOTHING) == []


def test_lines_for_people():
    assert read("uidl", "X-A b", "TOP", "sasl plain").lines() == ["TOP", "UIDL", "SASL PLAIN", "X-A b"]


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "capabilities",
    [
        Capabilities(sasl=("plain",)),
        Capabilities(sasl=("PLAIN LOGIN",)),
        Capabilities(sasl=("PLAIN", "PLAIN")),
        Capabilities(sasl=("",)),
        Capabilities(sasl=("A" * 21,)),
        Capabilities(utf8_user=True),
        Capabilities(implementation=""),
        Capabilities(implementation=" "),
        Capabilities(implementation="a "),
        Capabilities(implementation=" a"),
        Capabilities(other=("TOP",)),
        Capabilities(top=True, other=("uidl",)),
        Capabilities(other=("SASL PLAIN",)),
        Capabilities(other=("EXPIRE 5",)),
        Capabilities(login_delay=LoginDelay(True)),
    ],
    ids=str,
)
def test_what_would_be_read_as_something_else(capabilities):
    with pytest.raises(
        LocalProtocolError, match="these capabilities are not valid: a client would parse other values from them"
    ):
        capabilities.encode()


@pytest.mark.parametrize(
    "line", ["", " ", " X", ".", ".X", "X.Y", "X.Y z", "\tX", "X\ty", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\udcff"]
)
def test_a_line_begins_with_a_tag(line):
    # RFC 2449 section 3: a tag has no dot in it, so that no capability needs to be stuffed.
    with pytest.raises(LocalProtocolError, match="does not begin with a tag"):
        Capabilities(other=(line,)).encode()


@pytest.mark.parametrize("text", ["a\r\nb", "a\r", "a\n.", "a\0"])
def test_a_line_holds_no_line_end(text):
    for capabilities in (
        Capabilities(other=(f"X {text}",)),
        Capabilities(implementation=text),
        Capabilities(sasl=(text,)),
    ):
        with pytest.raises(LocalProtocolError, match="a capability line must not contain CR, LF or NUL"):
            capabilities.encode()


def test_a_line_has_a_limit():
    # RFC 2449 section 3: 512 octets, CRLF included.
    room = 512 - len("IMPLEMENTATION \r\n")
    accent = "\N{LATIN SMALL LETTER E WITH ACUTE}"
    for text in ("a" * (room - 1), "a" * room, accent * (room // 2)):
        assert Capabilities.parse(Capabilities(implementation=text).encode()).implementation == text
    for text in ("a" * (room + 1), accent * (room // 2 + 1)):
        with pytest.raises(LocalProtocolError, match="a capability line is longer than 512 octets"):
            Capabilities(implementation=text).encode()


@pytest.mark.parametrize("number", [-1, 10**20])
def test_numbers_have_bounds(number):
    with pytest.raises(LocalProtocolError, match="a login delay must be at least 0"):
        LoginDelay(number)
    with pytest.raises(LocalProtocolError, match="the number of days of EXPIRE must be at least 0"):
        Expire(number)
