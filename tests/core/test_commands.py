"""The commands: how they are written and read, where they are legal, what their answers do and mean.

It covers `commands`, `command`, `authorization` and `transaction` alone.
"""

import re
from typing import Self

import attrs
import pytest
from hypothesis import given, strategies as st
from typing_extensions import override

from pop3proto.core.capabilities import Capabilities
from pop3proto.core.commands import (
    STANDARD,
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
    Vocabulary,
    vocabulary_of,
)
from pop3proto.core.errors import LocalProtocolError, MalformedReply
from pop3proto.core.limits import Limits, Quirk
from pop3proto.core.refusals import CommandFailed, LoginFailed, RefusedLogin
from pop3proto.core.replies import Err, Ok
from pop3proto.core.results import Language, MaildropStatus, ScanListing, UniqueId, UniqueIdListing
from pop3proto.core.session_state import transitions
from pop3proto.core.states import Fact, State
from tests.helpers import strategies as some
from tests.helpers.sessions import ONE_OF_EACH

SECRET = "S3cretMarker"
DIGEST = "c4c9334bac560ecc979e58001b3e22fb"  # RFC 1939 section 7
VOCABULARY = Vocabulary()

every_class = pytest.mark.parametrize("command_class", sorted(STANDARD, key=lambda command: command.__name__))


def read(line: bytes | str) -> Command[object]:
    """What a server makes of a line."""
    return VOCABULARY.parse(line if isinstance(line, bytes) else line.encode())


def refusal(line: bytes | str) -> str:
    """Why a line is no command."""
    with pytest.raises(LocalProtocolError) as caught:
        read(line)
    return str(caught.value)


def outcome(line: bytes) -> Command[object] | LocalProtocolError:
    """What a server makes of any line; whatever else is raised fails the test."""
    try:
        return read(line)
    except LocalProtocolError as error:
        return error


# ----------------------------------------------------------------------------------------------- laws


def test_every_standard_command_has_its_strategies():
    assert set(some.commands_of) == STANDARD


@every_class
@given(data=st.data())
def test_what_is_sent_is_read_as_an_equal_command(command_class, data):
    command = data.draw(some.commands_of[command_class])
    line = command.encode()
    assert line.endswith(b"\r\n")
    assert len(line) <= 255
    assert read(line[:-2]) == command
    assert type(read(line[:-2])) is command_class
    assert hash(read(line[:-2])) == hash(command)


@pytest.mark.deep(keep=8)
@every_class
@given(data=st.data())
def test_what_is_answered_means_what_was_meant(command_class, data):
    command = data.draw(some.commands_of[command_class])
    result = data.draw(some.results_of(command))
    reply, body = command.answer(result)
    assert type(reply) is Ok
    assert command.parse(reply, body) == result
    assert command.multi_line or body == b""


@pytest.mark.deep(keep=8)
@every_class
@given(data=st.data())
def test_words_for_people_change_nothing_of_what_an_answer_means(command_class, data):
    command = data.draw(some.commands_of[command_class])
    reply, body = data.draw(some.answers_to(command))
    assert command.answer(*given_back(command, reply, body)) == (reply, body)


def given_back(command, reply, body):
    """The arguments for `answer` that say the same again."""
    result = command.parse(reply, body)
    if isinstance(command, Stat | ListOne | UidlOne):
        return (result,)
    if isinstance(command, Lang):
        return result, reply.text if result is None else reply.text[len(result) + 1 :]
    return result, reply.text


@given(some.near_commands)
def test_any_octets_are_a_command_or_refused_in_a_short_sentence(line):
    match outcome(line):
        case LocalProtocolError() as error:
            assert re.fullmatch(r"[ -~]{1,450}", str(error))
        case command:
            assert read(command.encode()[:-2]) == command


@given(some.near_commands, st.integers(0, 300), st.booleans())
def test_a_refusal_does_not_echo_the_line(line, place, at_the_end):
    marker = b"Zx9marker"
    line = line + marker if at_the_end else line[:place] + marker + line[place:]
    if isinstance(error := outcome(line), LocalProtocolError):
        assert marker.decode().lower() not in repr(error).lower()


rough_text = st.text(
    st.characters() | st.sampled_from(" \r\n\0\N{LATIN SMALL LETTER SHARP S}\ud800\udcc3\udca9\udc80"), max_size=40
)
rough_numbers = st.integers() | st.integers(-1, 1) | st.sampled_from([10**20 - 1, 10**20])


@pytest.mark.parametrize(
    "command_class, arguments",
    [
        (User, st.tuples(rough_text)),
        (Pass, st.tuples(rough_text)),
        (Apop, st.tuples(rough_text, rough_text | st.just(DIGEST) | st.just(DIGEST.upper()))),
        (Auth, st.tuples(rough_text | st.text("ABZabz09-_."), st.none() | st.binary())),
        (Lang, st.tuples(rough_text | st.text("AZaz09-*"))),
        (ListOne, st.tuples(rough_numbers)),
        (UidlOne, st.tuples(rough_numbers)),
        (Retr, st.tuples(rough_numbers)),
        (Dele, st.tuples(rough_numbers)),
        (Top, st.tuples(rough_numbers, rough_numbers)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@given(data=st.data())
def test_what_a_constructor_accepts_can_be_sent(command_class, arguments, data):
    drawn = data.draw(arguments)
    try:
        command = command_class(*drawn)
    except LocalProtocolError:
        return
    line = command.encode()
    assert re.fullmatch(rb"[^\r\n\0]+\r\n", line)
    assert read(line[:-2]) == command


@pytest.mark.deep(keep=8)
@every_class
@given(data=st.data())
def test_a_verb_may_have_any_case(command_class, data):
    # RFC 1939 section 3.
    command = data.draw(some.commands_of[command_class])
    verb, blank, rest = command.encode()[:-2].partition(b" ")
    assert read(data.draw(some.in_any_case(verb)) + blank + rest) == command


@every_class
@given(data=st.data(), blanks=st.integers(1, 5))
def test_blanks_at_the_end_mean_nothing_except_in_a_password(command_class, data, blanks):
    command = data.draw(some.commands_of[command_class])
    line = command.encode()[:-2] + b" " * blanks
    expected = Pass(command.password + " " * blanks) if isinstance(command, Pass) else command
    assert read(line) == expected


# ---------------------------------------------------------------------------------------------- lines


@pytest.mark.parametrize(
    "command, line",
    [
        (User("mrose"), b"USER mrose"),
        (Pass("secret"), b"PASS secret"),
        (Apop("mrose", DIGEST), b"APOP mrose c4c9334bac560ecc979e58001b3e22fb"),
        (Auth("PLAIN"), b"AUTH PLAIN"),
        (Auth("PLAIN", b"\0tim\0tanstaaf"), b"AUTH PLAIN AHRpbQB0YW5zdGFhZg=="),
        (Auth("EXTERNAL", b""), b"AUTH EXTERNAL ="),
        (AuthList(), b"AUTH"),
        (Stls(), b"STLS"),
        (Utf8(), b"UTF8"),
        (Capa(), b"CAPA"),
        (Lang("*"), b"LANG *"),
        (Lang("sr-Latn"), b"LANG sr-Latn"),
        (LangList(), b"LANG"),
        (Quit(), b"QUIT"),
        (Stat(), b"STAT"),
        (List(), b"LIST"),
        (ListOne(2), b"LIST 2"),
        (Uidl(), b"UIDL"),
        (UidlOne(2), b"UIDL 2"),
        (Retr(10**20 - 1), b"RETR 99999999999999999999"),
        (Top(1, 0), b"TOP 1 0"),
        (Dele(1), b"DELE 1"),
        (Noop(), b"NOOP"),
        (Rset(), b"RSET"),
    ],
    ids=str,
)
def test_the_line_of_a_command(command, line):
    assert command.encode() == line + b"\r\n"
    if not isinstance(command, Pass | Apop | Auth):
        assert str(command) == line.decode()


@pytest.mark.parametrize(
    "command, text",
    [
        (Pass("secret"), "PASS ***"),
        (Apop("mrose", DIGEST), "APOP mrose ***"),
        (Auth("PLAIN"), "AUTH PLAIN"),
        (Auth("PLAIN", b"secret"), "AUTH PLAIN ***"),
        (Auth("EXTERNAL", b""), "AUTH EXTERNAL ***"),
    ],
)
def test_what_people_see_of_a_login(command, text):
    assert str(command) == text


@pytest.mark.parametrize(
    "line", ["", " ", "  STAT", "\tSTAT", "STA", "STATS", "STAT\t", "XYZZ", "LAST", "RPOP a", "+OK"]
)
def test_what_begins_with_no_verb_is_unknown(line):
    # RFC 1939 section 3. Verbs and blanks are US-ASCII: nothing else is folded into them or stripped.
    assert refusal(line) == "unknown command"


def test_letters_that_are_not_ascii_are_no_verbs():
    assert refusal("L\N{LATIN SMALL LETTER DOTLESS I}ST") == "unknown command"
    assert refusal("li\N{LATIN SMALL LETTER LONG S}t") == "unknown command"


@pytest.mark.parametrize("octet", ["\r", "\n", "\0"])
@pytest.mark.parametrize(
    "line", ["NO{}OP", "STAT{}", "{}STAT", "USER a{}b", "PASS a{}b", "PASS {}", "AUTH PLAIN AA=={}"]
)
def test_cr_lf_and_nul_are_in_no_command(line, octet):
    # RFC 2449 section 3: a parameter holds visible octets.
    assert refusal(line.format(octet)) == "a command must not contain CR, LF or NUL"


@pytest.mark.parametrize("verb", ["STAT", "QUIT", "NOOP", "RSET", "CAPA", "STLS", "UTF8"])
def test_a_verb_without_arguments_takes_none(verb):
    # RFC 1939 section 5; a server must not do anything then.
    assert refusal(f"{verb} x") == f"{verb} takes no arguments"
    assert refusal(f"{verb}  1") == f"{verb} takes no arguments"


@pytest.mark.parametrize("verb", ["USER", "PASS", "APOP", "RETR", "DELE", "TOP"])
def test_a_verb_with_arguments_needs_them(verb):
    assert refusal(verb) == f"{verb} needs an argument"
    assert refusal(f"{verb} ") == f"{verb} needs an argument"


# -------------------------------------------------------------------------------------------- numbers

BAD_NUMBERS = [
    *("-1", "+1", "1a", "a", "1.0", "1_0", "0x1", "1e3", "1,0", " 1", "1 2", "1\t", "\t1", "1\x0b", "-0"),
    *("\N{ARABIC-INDIC DIGIT ONE}", "\N{FULLWIDTH DIGIT ONE}", "\N{SUPERSCRIPT TWO}", "1\N{ARABIC-INDIC DIGIT ONE}"),
    "",
]
LONG_NUMBERS = ["1" * 21, "0" * 20 + "1", "9" * 200]


@pytest.mark.parametrize(
    "line",
    [
        *(
            f"{verb} {number}"
            for verb in ("LIST", "UIDL", "RETR", "DELE")
            for number in BAD_NUMBERS[:-1] + LONG_NUMBERS
        ),
        *(f"TOP {number} 1" for number in BAD_NUMBERS + LONG_NUMBERS),
        *(f"TOP 1 {number}" for number in BAD_NUMBERS),
    ],
)
def test_what_is_no_number(line):
    # RFC 1939 section 5. Python's int() takes more for a number than POP3 does.
    assert refusal(line) == f"{line.partition(' ')[0]} needs a number"


@pytest.mark.parametrize("line", ["LIST 0", "UIDL 0", "RETR 0", "DELE 000", "TOP 0 1"])
def test_messages_are_counted_from_one(line):
    assert refusal(line) == "a message number must be at least 1 and have at most 20 digits"


@pytest.mark.parametrize("text", ["7", "007", "0" * 19 + "7"])
def test_leading_zeros_are_read_and_never_written(text):
    assert read(f"RETR {text}") == Retr(7)
    assert read(f"TOP {text} {text}") == Top(7, 7)
    assert read(f"TOP 1 {text}").encode() == b"TOP 1 7\r\n"


@pytest.mark.parametrize("digits, lines", [("0" * 30, 0), ("0" * 30 + "7", 7), ("1" * 21, int("1" * 20))])
def test_more_lines_than_any_message_has_are_all_of_it(digits, lines):
    # RFC 1939 section 7: if it has fewer, the whole message is sent.
    assert read(f"TOP 1 {digits}") == Top(1, lines)


@pytest.mark.parametrize("line", ["TOP 1", "TOP 1 ", "TOP 1  2", "TOP 1 2 3", "TOP 1 x"])
def test_top_needs_two_numbers(line):
    # RFC 1939 section 7.
    assert refusal(line) == "TOP needs a number"


def test_numbers_at_their_bounds():
    assert ListOne(1).number == 1
    assert ListOne(10**20 - 1).number == 10**20 - 1
    assert Top(1, 0).lines == 0
    assert Top(1, 10**20 - 1).lines == 10**20 - 1
    for make in (ListOne, UidlOne, Retr, Dele, lambda number: Top(number, 0)):
        for number in (0, -1, 10**20):
            with pytest.raises(LocalProtocolError, match="a message number must be at least 1"):
                make(number)
    for lines in (-1, 10**20):
        with pytest.raises(LocalProtocolError, match="a number of lines must be at least 0"):
            Top(1, lines)


@pytest.mark.parametrize("number", ["1", 1.0, None, b"1"])
def test_a_number_is_an_integer(number):
    with pytest.raises(TypeError):
        Retr(number)


# ---------------------------------------------------------------------------------------------- login


@pytest.mark.parametrize(
    "line, password",
    [
        ("PASS secret", "secret"),
        ("PASS my secret ", "my secret "),
        ("PASS   both  ends  ", "  both  ends  "),
        ("PASS  ", " "),
        ("pass \t", "\t"),
        (b"PASS \xc3\xa9\xff", "\N{LATIN SMALL LETTER E WITH ACUTE}\udcff"),
        ("PASS =", "="),
    ],
)
def test_all_behind_the_first_blank_is_the_password(line, password):
    # RFC 1939 section 7, PASS.
    assert read(line) == Pass(password)


def test_names_may_have_blanks_inside_and_nowhere_else():
    assert read("USER john doe") == User("john doe")
    assert read("USER mrose  ") == User("mrose")
    assert refusal("USER  mrose") == "a user name must not be empty, or begin or end with a space"
    for name in ("", " ", " a", "a "):
        with pytest.raises(LocalProtocolError, match="a user name must not be empty, or begin"):
            User(name)
        with pytest.raises(LocalProtocolError, match="a user name must not be empty, or begin"):
            Apop(name, DIGEST)


def test_an_empty_password_cannot_be_sent():
    with pytest.raises(LocalProtocolError, match="a password must not be empty"):
        Pass("")


@pytest.mark.parametrize("octet", ["\r", "\n", "\0", "\r\nDELE 1"])
@pytest.mark.parametrize("make", [User, Pass, lambda name: Apop(name, DIGEST)], ids=["USER", "PASS", "APOP"])
def test_no_argument_can_carry_a_second_command(make, octet):
    with pytest.raises(LocalProtocolError, match="must not contain CR, LF or NUL"):
        make(f"a{octet}")


@pytest.mark.parametrize("surrogates", [chr(0xD800), "\udcc3\udca9"])
@pytest.mark.parametrize("make", [User, Pass, lambda name: Apop(name, DIGEST)], ids=["USER", "PASS", "APOP"])
def test_surrogates_that_would_not_come_back_are_refused(make, surrogates):
    with pytest.raises(LocalProtocolError, match="surrogates that cannot be encoded"):
        make(surrogates)


def test_apop_is_split_at_the_last_blank():
    assert read(f"APOP john doe {DIGEST}") == Apop("john doe", DIGEST)
    assert read(f"apop mrose {DIGEST.upper()}") == Apop("mrose", DIGEST)
    assert Apop("mrose", DIGEST.upper()).encode() == f"APOP mrose {DIGEST}\r\n".encode()


@pytest.mark.parametrize(
    "digest", ["", DIGEST[:-1], DIGEST + "0", "g" + DIGEST[1:], "\N{FULLWIDTH DIGIT ONE}" + DIGEST[1:]]
)
def test_a_digest_has_32_hexadecimal_digits(digest):
    # RFC 1939 section 7, APOP.
    with pytest.raises(LocalProtocolError, match="an APOP digest must be 32 hexadecimal digits"):
        Apop("mrose", digest)


@pytest.mark.parametrize("line", ["APOP mrose", f"APOP {DIGEST}", f"APOP  {DIGEST}", f"APOP mrose {DIGEST} x"])
def test_apop_needs_a_name_and_a_digest(line):
    assert refusal(line).startswith(("a user name must not be empty", "an APOP digest must"))


@pytest.mark.parametrize(
    "line, command",
    [
        ("AUTH", AuthList()),
        ("AUTH ", AuthList()),
        ("auth   ", AuthList()),
        ("AUTH PLAIN", Auth("PLAIN")),
        ("AUTH PLAIN ", Auth("PLAIN")),
        ("AUTH plain =", Auth("PLAIN", b"")),
        ("AUTH Scram-Sha-256 AAAA", Auth("SCRAM-SHA-256", b"\0\0\0")),
        ("AUTH PLAIN AB==", Auth("PLAIN", b"\0")),  # RFC 4648 section 3.5: bits left over may be refused, or not
        ("AUTH PLAIN AA== ", Auth("PLAIN", b"\0")),  # the blank ends the line, not the base64
        ("AUTH " + "A" * 20, Auth("A" * 20)),
        ("AUTH X_1-2", Auth("X_1-2")),
    ],
)
def test_forms_of_auth(line, command):
    # RFC 5034 section 4: "=" is an empty initial response, which is not the same as none.
    assert read(line) == command


@pytest.mark.parametrize(
    "encoded",
    [
        *("=AAA", "AAA=BBB", "AA", "A A=", "A===", "AAA", "AA=", "AAA==", "AAAA=", "AAAA==", "AAAA====", "==", "===="),
        *(
            "AA==AA==",
            "AA-_",
            "AA==\t",
            "\tAA==",
            " AA==",
            "= =",
            "AAAA AAAA",
            "\N{FULLWIDTH LATIN CAPITAL LETTER A}AAA",
            "*",
        ),
    ],
)
def test_what_is_no_base64(encoded):
    # RFC 5034 section 4 and RFC 4648 section 4: nothing outside the alphabet, "=" at the end only, whole groups.
    assert refusal(f"AUTH PLAIN {encoded}") == "the initial response of AUTH is not valid base64"


@pytest.mark.parametrize(
    "name", ["A" * 21, "A.B", "A+", "\N{LATIN SMALL LETTER SHARP S}", "PLA\N{LATIN SMALL LETTER DOTLESS I}N"]
)
def test_what_names_no_mechanism(name):
    # RFC 4422 section 3.1.
    sentence = "a mechanism name must be 1 to 20 upper-case letters, digits, hyphens or underscores"
    assert refusal(f"AUTH {name}") == sentence
    assert refusal(f"AUTH {name} =") == sentence
    with pytest.raises(LocalProtocolError, match=sentence):
        Auth(name)
    with pytest.raises(LocalProtocolError, match=sentence):
        AuthList().answer(("PLAIN", name))


def test_an_initial_response_is_not_nothing():
    # A vocabulary takes blanks at the end away; without it, nothing is not the same as "=" or none.
    with pytest.raises(LocalProtocolError, match="the initial response of AUTH is not valid base64"):
        Auth.from_arguments(b"PLAIN ")


def test_no_mechanism_has_no_name():
    with pytest.raises(LocalProtocolError):
        Auth("")


@pytest.mark.parametrize("language", ["*", "en", "i-default", "sr-Latn-CS", "a" * 8, "en-" + "1" * 8])
def test_a_language_is_asked_for_by_a_range(language):
    # RFC 6856 section 3.2, RFC 4647 section 2.1.
    assert read(f"LANG {language}") == Lang(language)


@pytest.mark.parametrize(
    "language", ["", "en_GB", "e1", "**", "*-CH", "en-", "-en", "a" * 9, "en-" + "1" * 9, "en de", "\xe9"]
)
def test_what_is_no_language_range(language):
    with pytest.raises(LocalProtocolError, match="LANG needs a language range"):
        Lang(language)
    if language:
        assert refusal(f"LANG {language}") == "LANG needs a language range such as 'de' or '*'"


def test_lang_alone_asks_for_the_list():
    assert read("LANG") == read("lang  ") == LangList()


# -------------------------------------------------------------------------------------------- answers

GOOD_ANSWERS = [
    (Stat(), "2 320", b"", MaildropStatus(2, 320)),
    (Stat(), "0 0", b"", MaildropStatus(0, 0)),
    (Stat(), "2 320 extra stuff", b"", MaildropStatus(2, 320)),
    (Stat(), "1 99999999999999999999", b"", MaildropStatus(1, 10**20 - 1)),
    (Stat(), "02 0320", b"", MaildropStatus(2, 320)),
    (List(), "2 messages (320 octets)", b"1 120\r\n2 200\r\n", ScanListing({1: 120, 2: 200})),
    (List(), "", b"", ScanListing({})),
    (ListOne(2), "2 200", b"", 200),
    (ListOne(2), "2 5000000000 octets, or so", b"", 5_000_000_000),
    (ListOne(2), " 002  200 ", b"", 200),
    (Uidl(), "", b"1 whqtswO00WBw418f9t5JxYwZ\r\n", UniqueIdListing({1: UniqueId("whqtswO00WBw418f9t5JxYwZ")})),
    (UidlOne(2), "2 QhdPYR:00WBw1Ph7x7", b"", "QhdPYR:00WBw1Ph7x7"),
    (Retr(1), "120 octets", b"a\r\n", b"a\r\n"),
    (Top(1, 0), "", b"", b""),
    (Dele(1), "whatever 1 2 3", b"", None),
    (Capa(), "Capability list follows", b"TOP\r\n", Capabilities(top=True)),
    (AuthList(), "", b"plain\r\n\r\n CRAM-MD5 \r\nno.mechanism\r\n\xc3\x9f\r\n", ("PLAIN", "CRAM-MD5")),
    (AuthList(), "", b"", ()),
    (Lang("es"), "es Idioma cambiado", b"", "es"),
    (Lang("es"), "es", b"", "es"),
    (Lang("es"), "", b"", None),
    (Lang("es"), "Idioma cambiado:", b"", "Idioma"),  # no client can tell that this is no tag
    (Lang("es"), "[X] es", b"", None),
    (
        LangList(),
        "Language listing follows:",
        b"en English\r\nen-boont English Boontling dialect\r\nde\r\n it   italiano \r\n\r\n",
        (
            Language("en", "English"),
            Language("en-boont", "English Boontling dialect"),
            Language("de"),
            Language("it", "italiano"),
        ),
    ),
]


@pytest.mark.parametrize("command, text, body, result", GOOD_ANSWERS)
def test_what_a_positive_answer_means(command, text, body, result):
    assert command.parse(Ok(text), body) == result


@pytest.mark.parametrize(
    "text",
    [
        *("", "2", "2 ", "a b", "-1 3", "2 -1", "+2 320", "2  320", " 2 320", "2\t320", "2 3_0", "2,320", "(2 320)"),
        *("2 320octets", "1" * 21 + " 1", "1 " + "1" * 21, "\N{ARABIC-INDIC DIGIT TWO} 320", "2 \udcb2"),
    ],
)
def test_what_is_no_drop_listing(text):
    # RFC 1939 section 5, STAT: one blank between the numbers.
    with pytest.raises(MalformedReply, match="the answer to STAT does not begin with two numbers: "):
        Stat().parse(Ok(text))


@pytest.mark.parametrize("text", ["", "2", "200", "3 200", "2 -1", "2 x", "2 200octets", "0 200", "2 " + "1" * 21])
def test_what_says_nothing_of_the_size_of_the_message(text):
    with pytest.raises(MalformedReply, match="the answer to LIST 2 has no valid row for that message: "):
        ListOne(2).parse(Ok(text))


@pytest.mark.parametrize(
    "text", ["", "2", "3 abc", "2 abc def", "2 " + "a" * 71, "2 a\N{LATIN SMALL LETTER E WITH ACUTE}"]
)
def test_what_says_nothing_of_the_unique_id_of_the_message(text):
    # RFC 1939 section 7, UIDL: nothing follows the unique id.
    with pytest.raises(MalformedReply, match="the answer to UIDL 2 has no valid row for that message: "):
        UidlOne(2).parse(Ok(text))


def test_a_reply_that_makes_no_sense_is_quoted_shortly():
    with pytest.raises(MalformedReply) as caught:
        Stat().parse(Ok("x" * 8000))
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("body", [b"en English\r\nde\0\r\n", b"en a\rb\r\n", b"en a\nde b\r\n"])
def test_what_is_no_list_of_languages(body):
    with pytest.raises(MalformedReply, match="the answer to LANG is not a list of languages: "):
        LangList().parse(Ok(), body)


@pytest.mark.parametrize("command, row", [(List(), b"%d 1\r\n"), (Uidl(), b"%d a\r\n")], ids=str)
@pytest.mark.parametrize("strict", [True, False])
def test_a_listing_has_a_limit(command, row, strict):
    body = b"".join(row % number for number in range(1, 4)).replace(b" ", b" " if strict else b"  ")
    for entries in (3, 4):
        assert list(command.parse(Ok(), body, limits=Limits(listing_entries=entries))) == [1, 2, 3]
    with pytest.raises(MalformedReply, match="the listing has more than 2 rows"):
        command.parse(Ok(), body, limits=Limits(listing_entries=2))


@pytest.mark.parametrize(
    "command, result, answer",
    [
        (Stat(), MaildropStatus(2, 320), (Ok("2 320"), b"")),
        (Stat(), MaildropStatus(True, 0), (Ok("1 0"), b"")),
        (ListOne(2), 200, (Ok("2 200"), b"")),
        (UidlOne(2), UniqueId("QhdPYR:00WBw1Ph7x7"), (Ok("2 QhdPYR:00WBw1Ph7x7"), b"")),
        (List(), ScanListing({1: 120, 2: 200}), (Ok(), b"1 120\r\n2 200\r\n")),
        (Uidl(), UniqueIdListing({2: UniqueId("a")}), (Ok(), b"2 a\r\n")),
        (AuthList(), ("PLAIN", "CRAM-MD5"), (Ok(), b"PLAIN\r\nCRAM-MD5\r\n")),
        (Lang("*"), "es", (Ok("es"), b"")),
        (Lang("*"), None, (Ok(), b"")),
        (LangList(), (Language("en", "English"), Language("de")), (Ok(), b"en English\r\nde\r\n")),
        (Retr(1), b"anything\nat all", (Ok(), b"anything\nat all")),
        (Top(1, 1), b".", (Ok(), b".")),
        (Noop(), None, (Ok(), b"")),
    ],
)
def test_what_a_server_answers(command, result, answer):
    assert command.answer(result) == answer


@pytest.mark.parametrize(
    "command, result",
    [
        *((ListOne(1), size) for size in (-1, 10**20)),
        *((UidlOne(1), UniqueId(text)) for text in ("", "a b", "a" * 71, "\x7f", "\xe9", "\udce9", "a\r\n1 b")),
        (AuthList(), ("plain",)),
        (AuthList(), ("PLAIN\r\nX",)),
        *((Lang("es"), tag) for tag in ("", "es MX", "e_s", "\xe9", "es\r\n")),
        (Capa(), Capabilities(other=(".",))),
        (List(), ScanListing({0: 1})),
        (Uidl(), UniqueIdListing({1: UniqueId("a\r\n2 b")})),
    ],
)
def test_what_would_not_be_read_as_it_is_meant_is_not_answered(command, result):
    with pytest.raises(LocalProtocolError):
        command.answer(result)


def test_words_that_look_like_a_language_tag_are_not_said_without_one():
    with pytest.raises(LocalProtocolError, match="'Done' would be parsed as another language than None"):
        Lang("es").answer(None, "Done")
    assert Lang("es").answer(None, "(done)") == (Ok("(done)"), b"")
    assert Lang("es").answer("es", "Idioma cambiado") == (Ok("es Idioma cambiado"), b"")


# -------------------------------------------------------------------------------------------- secrets

MARKED = [
    Pass(SECRET),
    Apop("mrose", SECRET.encode().hex().ljust(32, "0")[:32]),
    Auth("PLAIN", SECRET.encode()),
]
FORMS = [SECRET, SECRET.encode().hex()[:20], "UzNjcmV0TWFya2Vy"]


def hides(shown: str) -> bool:
    return not any(form.lower() in shown.lower() for form in FORMS)


@pytest.mark.parametrize("command", MARKED, ids=["PASS", "APOP", "AUTH"])
def test_secrets_are_in_the_octets_and_in_no_text(command):
    assert not hides(command.encode().decode())
    errors = [CommandFailed(command, Err("no")), LoginFailed([RefusedLogin(command, Err("no"))])]
    for thing in (command, *errors, [command], {command: command}):
        assert hides(f"{thing} {thing!r}")


@pytest.mark.parametrize(
    "line",
    [
        f"PASS {SECRET}\r",
        f"APOP mrose {SECRET}",
        f"AUTH PLAIN {SECRET}!",
        f"AUTH {SECRET}{SECRET}",
        f"{SECRET} a",
        f"STAT {SECRET}",
    ],
)
def test_secrets_are_not_in_refusals(line):
    with pytest.raises(LocalProtocolError) as caught:
        read(line)
    assert hides(f"{caught.value} {caught.value!r}")


@pytest.mark.parametrize(
    "make", [lambda: Pass(f"{SECRET}\n"), lambda: Apop("mrose", SECRET), lambda: Pass(f"{SECRET}\ud800")]
)
def test_secrets_are_not_in_the_errors_of_constructors(make):
    with pytest.raises(LocalProtocolError) as caught:
        make()
    assert hides(f"{caught.value} {caught.value!r}")


# --------------------------------------------------------------------------------------------- tables

A, U, T = State.AUTHORIZATION, State.USER_GIVEN, State.TRANSACTION
AFTER_LOGIN = ["Stat", "List", "ListOne", "Uidl", "UidlOne", "Retr", "Top", "Dele", "Noop", "Rset"]
BY_HAND = {
    # RFC 1939 section 4 and 7: a login. A second USER replaces the first; a PASS that failed needs another USER.
    (A, "User"): (U, A),
    (U, "User"): (U, A),
    (U, "Pass"): (T, A),
    (A, "Apop"): (T, A),
    # RFC 5034 section 4.
    (A, "Auth"): (T, A),
    (A, "AuthList"): (A, A),
    # RFC 2595 section 4.
    (A, "Stls"): (State.TLS_HANDSHAKE, A),
    # RFC 6856 sections 2 and 3.
    (A, "Utf8"): (A, A),
    (A, "Lang"): (A, A),
    (T, "Lang"): (T, T),
    (A, "LangList"): (A, A),
    (T, "LangList"): (T, T),
    # RFC 2449 section 5.
    (A, "Capa"): (A, A),
    (T, "Capa"): (T, T),
    # RFC 1939 sections 4, 6 and 7 (USER: PASS or QUIT may follow).
    (A, "Quit"): (State.CLOSED, State.CLOSED),
    (U, "Quit"): (State.CLOSED, State.CLOSED),
    (T, "Quit"): (State.CLOSED, State.CLOSED),
    # RFC 1939 sections 5 and 7.
    **{(T, name): (T, T) for name in AFTER_LOGIN},
}


def test_the_table_of_states_is_that_of_the_rfcs():
    table = {
        (*where, reply): there for where, both in BY_HAND.items() for reply, there in zip((Ok, Err), both, strict=True)
    }
    assert transitions(STANDARD) == table


@pytest.mark.parametrize(
    "declaration, names",
    [
        ("multi_line", {"Capa", "LangList", "AuthList", "List", "Uidl", "Retr", "Top"}),
        ("barrier", {"Pass", "Apop", "Auth", "AuthList", "Stls", "Utf8", "Lang", "LangList", "Quit"}),
        ("challenged", {"Auth"}),
        ("trailing_blanks", {"Pass"}),
        (
            "takes_arguments",
            {"User", "Pass", "Apop", "Auth", "Lang", "ListOne", "UidlOne", "Retr", "Top", "Dele"},
        ),
        ("on_receipt", {"Quit"}),
        ("establishes", {"Utf8"}),
        ("excluded_by", {"Stls"}),
    ],
)
def test_what_commands_declare(declaration, names):
    assert {command.__name__ for command in STANDARD if getattr(command, declaration)} == names


def test_what_is_special_about_three_commands():
    assert Quit.on_receipt is State.UPDATE
    assert Utf8.establishes is Fact.UTF8
    assert Stls.excluded_by == {Fact.TLS, Fact.UTF8}  # RFC 2595 section 4, RFC 6856 section 2.1


# ------------------------------------------------------------------------------------- private verbs


@attrs.frozen
class XtndXmit(PlainCommand):
    """A verb of Berkeley's old server, by which clients sent mail."""

    verb = "XTND"
    takes_arguments = True
    legal_in = frozenset({State.TRANSACTION})

    @classmethod
    @override
    def from_arguments(cls, arguments: bytes) -> Self:
        if arguments.upper() != b"XMIT":
            raise LocalProtocolError("XTND takes XMIT")
        return cls()

    @override
    def encode(self) -> bytes:
        return b"XTND XMIT\r\n"


@attrs.frozen
class OtherStat(Stat):
    """Claims the form of STAT."""


def test_a_private_verb_is_a_class_more():
    vocabulary = Vocabulary(STANDARD | {XtndXmit})
    assert vocabulary.parse(b"xtnd xmit") == XtndXmit()
    assert vocabulary.parse(b"STAT") == Stat()
    assert transitions({XtndXmit}) == {(T, "XtndXmit", Ok): T, (T, "XtndXmit", Err): T}
    with pytest.raises(LocalProtocolError, match="XTND takes XMIT"):
        vocabulary.parse(b"XTND x")
    with pytest.raises(LocalProtocolError, match="XTND needs an argument"):
        vocabulary.parse(b"XTND")
    assert refusal("XTND XMIT") == "unknown command"


def test_connections_share_a_vocabulary():
    ours = STANDARD | {XtndXmit}
    assert vocabulary_of(ours) is vocabulary_of(STANDARD | {XtndXmit}) is not vocabulary_of(STANDARD)
    assert vocabulary_of(ours).parse(b"XTND XMIT") == XtndXmit()


def test_a_vocabulary_may_be_smaller_than_the_standard():
    vocabulary = Vocabulary({ListOne})
    assert vocabulary.parse(b"LIST 1") == ListOne(1)
    with pytest.raises(LocalProtocolError, match="LIST needs an argument"):
        vocabulary.parse(b"LIST")
    with pytest.raises(LocalProtocolError, match="unknown command"):
        vocabulary.parse(b"STAT")
    with pytest.raises(LocalProtocolError, match="LIST takes no arguments"):
        Vocabulary({List}).parse(b"LIST 1")


def test_two_classes_cannot_claim_one_form():
    with pytest.raises(LocalProtocolError, match="two command classes have the verb STAT"):
        Vocabulary(STANDARD | {OtherStat})
    assert type(Vocabulary(STANDARD - {Stat} | {OtherStat}).parse(b"STAT")) is OtherStat


class WithoutStates(PlainCommand):
    verb = "XNOP"


class LowerCase(PlainCommand):
    verb = "xnop"
    legal_in = frozenset({State.TRANSACTION})


@pytest.mark.parametrize("command", [WithoutStates, LowerCase])
def test_a_private_verb_that_lacks_a_declaration_is_refused_at_once(command):
    with pytest.raises(LocalProtocolError, match=f"^command class {command.__name__} must set legal_in, and verb"):
        Vocabulary({command})


@pytest.mark.parametrize("command, row", [(Capa(), b"X\r\n"), (LangList(), b"en\r\n"), (AuthList(), b"PLAIN\r\n")])
def test_every_listing_has_a_limit(command, row):
    limits = Limits(text_lines=3)
    for count in (2, 3):
        command.parse(Ok(), row * count, limits=limits)
    with pytest.raises(MalformedReply, match=r"^the listing has more than 3 rows$"):
        command.parse(Ok(), row * 4, limits=limits)


@pytest.mark.parametrize("command", ONE_OF_EACH, ids=str)
def test_what_a_client_holds_of_an_answer_has_a_limit(command):
    limits = Limits(body=1_000, text_octets=10)
    assert command.body_limit(limits) == (10 if isinstance(command, Capa | LangList | AuthList) else 1_000)


@pytest.mark.parametrize(
    "command, hidden",
    [
        (Pass("marker"), Pass("***")),
        (Apop("ann", "c4c9334bac560ecc979e58001b3e22fb"), Apop("ann", "0" * 32)),
        (Auth("PLAIN", b"\0ann\0marker"), Auth("PLAIN", b"")),
        (Auth("PLAIN"), Auth("PLAIN")),
        (User("ann"), User("ann")),
        (Retr(1), Retr(1)),
    ],
)
def test_a_command_without_its_secret(command, hidden):
    assert command.redacted() == hidden


@pytest.mark.parametrize("text", ["2", "2 ", "2 -320", "2 x"])
def test_a_drop_listing_may_lack_its_octets(text):
    assert Stat().parse(Ok(text), quirks={Quirk.STAT_WITHOUT_OCTETS}) == MaildropStatus(2, 0)
