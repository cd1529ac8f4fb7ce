"""What a server says: status lines, response codes, greetings, challenges."""

import pytest
from hypothesis import example, given, strategies as st

from pop3proto.core import replies
from pop3proto.core.commands import Stat
from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.refusals import CommandFailed
from pop3proto.core.replies import Challenge, Err, Greeting, Ok, ResponseCode, looks_like, parse_challenge, parse_reply
from tests.helpers import strategies as some

# --------------------------------------------------------------------------------------- status lines


@given(some.replies)
def test_what_is_said_is_heard(reply):
    line = reply.encode()
    assert line.endswith(b"\r\n")
    assert len(line) <= 512
    assert parse_reply(line[:-2]) == reply
    assert type(parse_reply(line[:-2])) is type(reply)


@given(some.replies, st.data())
def test_the_indicator_may_have_any_case(reply, data):
    indicator, blank, text = reply.encode()[:-2].partition(b" ")
    assert parse_reply(data.draw(some.in_any_case(indicator)) + blank + text) == reply


@given(some.replies)
def test_the_indicator_is_written_in_upper_case(reply):
    # RFC 1939 section 3.
    assert reply.encode().startswith((b"+OK", b"-ERR"))


@given(st.binary(max_size=40) | st.binary(max_size=40).map(b"+OK ".__add__))
def test_any_line_is_a_reply_or_none_or_refused(line):
    unfit = any(octet in line.partition(b" ")[2] for octet in b"\r\n\0")
    if line.partition(b" ")[0].upper() not in {b"+OK", b"-ERR"}:
        assert parse_reply(line) is None
    elif unfit:
        with pytest.raises(LocalProtocolError, match="the text of a reply must not contain CR, LF or NUL"):
            parse_reply(line)
    else:
        assert parse_reply(line).text.encode("utf-8", "surrogateescape") == line.partition(b" ")[2]


@pytest.mark.parametrize(
    "line, reply",
    [
        (b"+OK", Ok()),
        (b"-ERR", Err()),
        (b"+OK ", Ok()),
        (b"+ok", Ok()),
        (b"-err no", Err("no")),
        (b"-Err  two blanks ", Err(" two blanks ")),
        (b"+OK \ttab", Ok("\ttab")),
        (b"+OK \xc3\xa9\xff", Ok("\N{LATIN SMALL LETTER E WITH ACUTE}\udcff")),
    ],
)
def test_status_lines(line, reply):
    # RFC 1957: neither the blank nor any text need follow the indicator.
    assert parse_reply(line) == reply


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"",
            b" ",
            b"+",
            b"-",
            b"OK",
            b"ERR",
            b"+OKAY",
            b"-ERROR",
            b"+ERR",
            b"-OK",
            b"+OK\tfine",
            b"+OK\0",
            b"+OK.",
            b"+OK:",
        ),
        *(
            b" +OK",
            b"* OK ready",
            b"220 ready",
            b"+ Hola",
            b"+OK\xc2\xa0x",
            b"HTTP/1.1 400 Bad Request",
            "+O\u212a".encode(),
        ),
    ],
)
def test_what_is_no_status_line(line):
    assert parse_reply(line) is None


@pytest.mark.parametrize("kind", [Ok, Err])
@pytest.mark.parametrize("text", ["a\r\n.\r\n", "\r", "\n", "a\0b", "\r\n+OK"])
def test_a_text_cannot_split_a_reply(kind, text):
    with pytest.raises(LocalProtocolError, match="the text of a reply must not contain CR, LF or NUL"):
        kind(text)
    with pytest.raises(LocalProtocolError, match="the text of a reply must not contain CR, LF or NUL"):
        kind.coded(ResponseCode.AUTH, text)


@pytest.mark.parametrize("text", [chr(0xD800), "\udcc3\udca9"])
def test_a_text_of_surrogates_that_would_not_come_back(text):
    with pytest.raises(LocalProtocolError, match="surrogates that cannot be encoded"):
        Ok(text)


def test_a_text_may_be_missing_and_then_the_blank_is_too():
    assert Ok().encode() == b"+OK\r\n"
    assert Err().encode() == b"-ERR\r\n"
    assert Err("no").encode() == b"-ERR no\r\n"
    assert Ok(" ").encode() == b"+OK  \r\n"


def test_yes_is_not_no():
    assert Ok("x") != Err("x")
    assert Ok("x") == Ok("x")
    assert len({Ok("x"), Err("x"), Ok("x")}) == 2


# ------------------------------------------------------------------------------------- response codes


@pytest.mark.parametrize("kind", [Ok, Err])
@given(code=some.response_codes, text=some.words_for_people)
def test_a_code_and_its_text_come_apart_again(kind, code, text):
    reply = parse_reply(kind.coded(code, text).encode()[:-2])
    assert reply == kind.coded(code, text)
    assert (reply.code, reply.message) == (code, text)
    assert reply.has(code)


@given(some.texts(40))
@example("[a[a] x")
@example("[note] [AUTH] x")
@example("[oops [AUTH] x")
def test_a_text_is_its_code_and_its_message(text):
    # Nothing is lost, and a code stands at the very start or nowhere.
    reply = Err(text)
    if reply.code is None:
        assert reply.message == text
    else:
        assert text.upper().startswith(f"[{reply.code}]")
        assert text[len(f"[{reply.code}]") :].removeprefix(" ") == reply.message


@pytest.mark.parametrize(
    "text, name, message",
    [
        ("[SYS/TEMP] try later", "SYS/TEMP", "try later"),
        ("[IN-USE] Do you have another POP session running?", "IN-USE", "Do you have another POP session running?"),
        ("[in-use] locked", "IN-USE", "locked"),
        ("[LOGIN-DELAY] wait", "LOGIN-DELAY", "wait"),
        ("[AUTH/EXPIRED/X] x", "AUTH/EXPIRED/X", "x"),
        ("[AUTH]", "AUTH", ""),
        ("[AUTH] ", "AUTH", ""),
        ("[AUTH]no blank", "AUTH", "no blank"),
        ("[AUTH]  two blanks", "AUTH", " two blanks"),
        ("[AUTH] [IN-USE] two codes", "AUTH", "[IN-USE] two codes"),
        ("[REFERRAL/ann@mail.example.org:110] Referral", "REFERRAL/ANN@MAIL.EXAMPLE.ORG:110", "Referral"),
        ("[[] x", "[", "x"),
        ("[\\\x7f] x", "\\\x7f", "x"),
        ("[note] x", "NOTE", "x"),
    ],
)
def test_response_codes(text, name, message):
    # RFC 2449 sections 3 and 8. A level is printable ASCII or DEL, without "/" and "]".
    for reply in (Ok(text), Err(text)):
        assert reply.code == ResponseCode(name)
        assert str(reply.code) == name
        assert reply.message == message


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "plain",
            "[oops",
            "[] x",
            "[a b] x",
            "[/A] x",
            "[A/] x",
            "[A//B] x",
            "[/] x",
            " [AUTH] x",
            "x [AUTH]",
            "][",
        ),
        *("[\N{LATIN SMALL LETTER E WITH ACUTE}] x", "[\udcff] x", "[\t] x", "[oops [AUTH] x", "[" * 8000),
    ],
)
def test_what_is_malformed_is_text(text):
    assert Err(text).code is None
    assert Err(text).message == text
    assert not Err(text).has(ResponseCode.AUTH)


@pytest.mark.parametrize(
    "name", ["", "a b", "/A", "A/", "A//B", "a]", "a] ", "A\r\n", "\0", "\N{LATIN SMALL LETTER SHARP S}", "[A]x]"]
)
def test_what_is_no_name_of_a_code(name):
    with pytest.raises(LocalProtocolError, match="is not a valid response code"):
        ResponseCode(name)


def test_a_code_is_compared_without_case():
    assert ResponseCode("in-use") == ResponseCode.IN_USE
    assert hash(ResponseCode("in-use")) == hash(ResponseCode.IN_USE)
    assert str(ResponseCode("sys/temp")) == "SYS/TEMP"


def test_the_registered_codes():
    # RFC 2449 section 8.1, RFC 3206 sections 4 and 5, RFC 6856 section 5.
    for name in ("LOGIN-DELAY", "IN-USE", "SYS", "SYS/TEMP", "SYS/PERM", "AUTH", "UTF8"):
        assert getattr(ResponseCode, name.replace("-", "_").replace("/", "_")).name == name


def test_a_code_is_within_the_general_one():
    # RFC 2449 section 8: levels that a client does not know are ignored.
    assert ResponseCode.SYS_TEMP.levels == ("SYS", "TEMP")
    assert ResponseCode.SYS_TEMP.within(ResponseCode.SYS)
    assert ResponseCode.SYS_TEMP.within(ResponseCode.SYS_TEMP)
    assert not ResponseCode.SYS.within(ResponseCode.SYS_TEMP)
    assert not ResponseCode.SYS_TEMP.within(ResponseCode.SYS_PERM)
    assert not ResponseCode("SYSTEM").within(ResponseCode.SYS)
    assert ResponseCode("AUTH/EXPIRED/X").within(ResponseCode.AUTH)
    assert Err("[auth/expired/x] x").has(ResponseCode.AUTH)
    assert not Err("[AUTHOR] x").has(ResponseCode.AUTH)
    assert not Err("[AUTH] x").has(ResponseCode("AUTH/EXPIRED"))


def test_a_code_without_words_leaves_no_blank():
    assert Err.coded(ResponseCode.IN_USE, "").encode() == b"-ERR [IN-USE]\r\n"
    assert Err.coded(ResponseCode.IN_USE, "locked").encode() == b"-ERR [IN-USE] locked\r\n"


# ------------------------------------------------------------------------------------------ greetings

BANNER = "POP3 server ready"


@given(some.greetings)
def test_a_greeting_is_a_reply(greeting):
    assert Greeting(parse_reply(greeting.encode()[:-2])) == greeting


@given(some.texts(100).map(lambda text: text.replace("<", "(")), some.timestamps, some.texts(100))
def test_a_timestamp_is_found_behind_any_text(before, timestamp, after):
    assert Greeting(Ok(f"{before}{timestamp}{after}")).timestamp == timestamp
    assert Greeting(Err(f"{before}{timestamp}{after}")).timestamp is None


@pytest.mark.parametrize(
    "text, timestamp",
    [
        (f"{BANNER} <1896.697170952@dbc.mtview.ca.us>", "<1896.697170952@dbc.mtview.ca.us>"),  # RFC 1939 section 7
        ("<a@b>", "<a@b>"),
        ("<a@b>ready", "<a@b>"),
        ("[X] hi <a@b>", "<a@b>"),
        ("<no-at> <a@b> <c@d>", "<a@b>"),
        ("<<a@b>>", "<a@b>"),
        ("<a <b@c>", "<b@c>"),
        ("<!#$%&'*+-/=?^_`{|}~.\"(),:;[]\\@[127.0.0.1]>", "<!#$%&'*+-/=?^_`{|}~.\"(),:;[]\\@[127.0.0.1]>"),
        ("<" * 1_000_000 + "a@b>", "<a@b>"),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_timestamps(text, timestamp):
    assert Greeting(Ok(text)).timestamp == timestamp


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            BANNER,
            "<no-at>",
            "<@>",
            "<a@>",
            "<@b>",
            "<a@b@c>",
            "<a@b",
            "a@b>",
            "< a@b>",
            "<a @b>",
            "<a@b >",
            "<a@\tb>",
            ">a@b<",
        ),
        *("<\x80@x>", "<\udc80@x>", "<\N{LATIN SMALL LETTER E WITH ACUTE}@b>", "<a@b\x7f>", "<\x01@b>", "<a@b\x1f>"),
        *("<" * 1_000_000, "<a" * 500_000, "<a@b" * 250_000, "<" + "a" * 1_000_000, "<a@" + "b" * 1_000_000),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_what_offers_no_apop(text):
    # An RFC 822 msg-id and nothing else: other octets in it are how APOP's MD5 was attacked. Time is linear.
    assert Greeting(Ok(text)).timestamp is None


def test_no_search_for_a_timestamp_tries_twice():
    # What makes it linear: each part takes all it can and gives nothing back.
    assert replies._TIMESTAMP.pattern.count("++") == 2
    assert replies._TIMESTAMP.pattern.count("+") == 2 * 2


# ----------------------------------------------------------------------------------------- challenges


@given(some.challenges)
def test_a_challenge_is_heard_as_it_was_meant(challenge):
    line = challenge.encode()
    assert line.startswith(b"+ ")
    assert line.endswith(b"\r\n")
    assert parse_challenge(line[:-2]) == challenge


def test_an_empty_challenge_keeps_its_blank():
    # RFC 5034 section 4; some servers leave the blank out.
    assert Challenge().encode() == b"+ \r\n"
    assert parse_challenge(b"+ ") == parse_challenge(b"+") == Challenge()


@pytest.mark.parametrize(
    "data",
    [b"Username:", b"AA", b"=AAA", b"AAA=BBB", b"AA== ", b"A A=", b"AAAA=", b"AAAA====", b" AAAA", b"=", b"\xff"],
)
def test_what_is_no_challenge(data):
    assert parse_challenge(b"+ " + data) is None


def test_a_challenge_does_not_show_its_data():
    assert "marker" not in f"{Challenge(b'marker')} {Challenge(b'marker')!r}"


# -------------------------------------------------------------------------------------- other protocols


@pytest.mark.parametrize(
    "octets, name",
    [
        (b"* OK [CAPABILITY IMAP4rev1] Dovecot ready.", "IMAP"),
        (b"* ok", "IMAP"),
        (b"* BYE too busy", "IMAP"),
        (b"* PREAUTH hello", "IMAP"),
        (b"220 mail.example.org ESMTP", "SMTP"),
        (b"220-mail.example.org", "SMTP"),
        (b"220 ftp.example.org ESMTP", "SMTP"),
        (b"220 (vsFTPd 3.0.5)", "FTP"),
        (b"220-FileZilla Server 1.8.1\r\n220 welcome", "FTP"),
        (b"220 mail.example.org\r\n220 FTP", "SMTP"),
        (b"220 ProFTPD Server ready.", "FTP"),
        (b"220-Welcome to Pure-FTPd\r\n220 SMTP", "FTP"),
        (b"HTTP/1.1 400 Bad Request", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.6", "SSH"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "TLS"),
        (b"\x16\x03\x04", "TLS"),
    ],
)
def test_a_wrong_port_is_named(octets, name):
    remedy = "; use implicit TLS on this port" if name == "TLS" else ""
    assert looks_like(octets) == f" (this looks like {name}, not POP3{remedy})"


@pytest.mark.parametrize(
    "octets",
    [
        *(
            b"",
            b"+OK ready",
            b"-ERR",
            b"* OKAY",
            b"*OK",
            b" * OK",
            b"+OK * OK",
            b"* NO",
            b"* ",
            b"220",
            b"2200 ",
            b"221 bye",
        ),
        *(
            b"HTTP",
            b"HTTP/x",
            b"xHTTP/1.1",
            b"SSH-",
            b"\x15",
            b"\x15\x03",
            b"\x15\x03\x05",
            b"\x14\x03\x01",
            b"\x16\x02\x00",
        ),
    ],
)
def test_what_may_be_anything_is_not_named(octets):
    assert looks_like(octets) == ""


@given(st.binary())
def test_a_pop3_server_is_no_stranger(octets):
    assert looks_like(b"+OK" + octets) == looks_like(b"-ERR" + octets) == ""


@pytest.mark.parametrize(
    "text, code",
    [
        ("Mailbox locked by another session", ResponseCode.IN_USE),
        ("maildrop already in use", ResponseCode.IN_USE),
        ("mailbox is already open", ResponseCode.IN_USE),
        ("Too many logins, please wait 5 minutes", ResponseCode.LOGIN_DELAY),
        ("minimum login delay not met", ResponseCode.LOGIN_DELAY),
        ("Server busy, try again later", ResponseCode.SYS_TEMP),
        ("Server Unavailable. 21", ResponseCode.SYS_TEMP),
        ("[AUTH] mailbox locked", None),
        ("invalid password", None),
        ("blocked", None),
        ("", None),
    ],
)
def test_words_are_a_guess_where_there_is_no_code(text, code):
    assert Err(text).guessed_code == code
    assert CommandFailed(Stat(), Err(text)).guessed_code == code
