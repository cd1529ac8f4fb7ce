"""Filters: what each says is understood, and one that fails never says that a message is clean."""

import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from pop3proto._io.files import open_regular
from pop3proto.serving.delivery.clamd import Clamd as ClamdFilter
from pop3proto.serving.delivery.connection import Place, parse_place
from pop3proto.serving.delivery.filtering import Filtering, ask_filters
from pop3proto.serving.delivery.header import Envelope
from pop3proto.serving.delivery.program import ProgramFilter
from pop3proto.serving.delivery.rspamd import Rspamd
from pop3proto.serving.delivery.spamd import Spamd
from pop3proto.serving.delivery.verdicts import CLEAN, Filter, FilterFailed, JunkAction, MessageKind, Scanned, Verdict
from tests.serving.filter_servers import Clamd, Http, dripping, listening, read_until, silent

SECRET = b"Subject: secret\n\n" + b"tanstaaf\n" * 20_000
JUNK, VIRUS = MessageKind.JUNK, MessageKind.VIRUS


@pytest.fixture
def scanned(tmp_path: Path) -> Callable[[], Scanned]:
    path = tmp_path / "message"
    path.write_bytes(SECRET)
    return lambda: Scanned(open_regular(path), len(SECRET), "ann", Envelope("bob@b", "ann@a"))


def of(kind: str, where: str, timeout: float = 30) -> Filter:
    if kind == "clamd":
        return ClamdFilter(parse_place(where), timeout)
    if kind == "spamd":
        return Spamd(parse_place(where), timeout)
    return Rspamd(f"http://{where}", timeout)


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize(
    "answer,verdict",
    [
        (b"stream: OK\0", CLEAN),
        (b"stream: Eicar-Test-Signature FOUND\0", Verdict(VIRUS, "Eicar-Test-Signature")),
        (b"stream: x\x1b FOUND\0", Verdict(VIRUS, "x\\x1b")),
        (b"INSTREAM size limit exceeded. ERROR\0", None),
        (b"", None),
        (b"stream: OKAY\0", None),
        (b"OK\0", None),
    ],
)
def test_what_clamd_says(scanned: Any, tmp_path: Path, answer: bytes, verdict: Verdict | None, unix: bool) -> None:
    clamd = Clamd(answer)
    with listening(clamd, tmp_path / "socket" if unix else None) as where:
        check(of("clamd", where), scanned(), verdict)
    assert clamd.message == SECRET


@pytest.mark.parametrize(
    "answer,verdict",
    [
        (b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.0 / 5.0\r\n\r\n", CLEAN),
        (
            b"SPAMD/1.5 0 EX_OK\r\nContent-length: 2\r\nSpam: True ; 15.5 / 5.0\r\n\r\n",
            Verdict(JUNK, "score 15.5 of 5.0"),
        ),
        (b"SPAMD/1.1 0 EX_OK\r\nspam: yes ; 15.5 / 5.0\r\n\r\n", Verdict(JUNK, "score 15.5 of 5.0")),
        (b"SPAMD/1.1 0 EX_OK\r\n\r\nSpam: False ; 1.0 / 5.0\r\n", None),
        (b"SPAMD/1.0 76 Bad header line\r\n", None),
        (b"SPAMD/1.1 76 EX_PROTOCOL\r\nSpam: False ; 1.0 / 5.0\r\n\r\n", None),
        (b"Spam: False ; 1.0 / 5.0\r\n\r\n", None),
        (b"", None),
        (b"x" * 100_000, None),
    ],
)  # fmt: skip
def test_what_spamd_says(scanned: Any, answer: bytes, verdict: Verdict | None) -> None:
    seen = b""

    def talk(connection: Any) -> None:
        nonlocal seen
        seen = read_until(connection, lambda seen: seen.endswith(SECRET))
        connection.sendall(answer)

    with listening(talk) as where:
        check(of("spamd", where), scanned(), verdict)
    assert seen == b"CHECK SPAMC/1.5\r\nContent-length: %d\r\nUser: ann\r\n\r\n%b" % (len(SECRET), SECRET)


@pytest.mark.parametrize(
    "answer,verdict",
    [
        (b'{"action": "no action", "score": 0.1}', CLEAN),
        (b'{"action": "greylist"}', CLEAN),
        (b'{"action": "add header", "score": 7.5}', Verdict(JUNK, "add header, score 7.5")),
        (b'{"action": "rewrite subject", "score": 9}', Verdict(JUNK, "rewrite subject, score 9")),
        (b'{"action": "reject", "score": 99}', Verdict(JUNK, "reject, score 99")),
        (b'{"action": "soft reject"}', None),
        (b'{"action": "clean"}', None),
        (b'{"action": ["no action"]}', None),
        (b'{"error": "no"}', None),
        (b'["no action"]', None),
        (b"null", None),
        (b"not json", None),
        (b"[" * 100_000, None),
        (b"", None),
    ],
)
def test_what_rspamd_says(scanned: Any, answer: bytes, verdict: Verdict | None) -> None:
    http = Http(answer)
    with listening(http) as where:
        check(of("rspamd", where), scanned(), verdict)
    assert http.body == SECRET
    assert http.head.startswith(b"POST /checkv2 HTTP/1.1\r\n")
    assert {b"From: bob@b", b"Rcpt: ann@a", b"Deliver-To: ann"} <= {*http.head.split(b"\r\n")}


@pytest.mark.parametrize("head", [b"HTTP/1.1 500 no\r\n\r\n", b"HTTP/1.1 204 no\r\n\r\n", b"", b"what\r\n\r\n"])
def test_an_answer_that_is_no_http_is_no_verdict(scanned: Any, head: bytes) -> None:
    with listening(Http(b'{"action": "no action"}', head)) as where:
        check(of("rspamd", where), scanned(), None)


def check(filter_: Filter, message: Scanned, verdict: Verdict | None) -> None:
    with message.file:
        if verdict is not None:
            assert filter_.check(message) == verdict
            return
        with pytest.raises(FilterFailed) as caught:
            filter_.check(message)
    assert filter_.name in str(caught.value)
    assert "tanstaaf" not in str(caught.value)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=st.binary(max_size=60), kind=st.sampled_from(["clamd", "spamd", "rspamd"]))
def test_whatever_a_filter_answers_it_is_no_clean_message_by_chance(scanned: Any, answer: bytes, kind: str) -> None:
    def talk(connection: Any) -> None:
        connection.sendall(answer)
        connection.shutdown(1)
        silent(connection)

    with listening(talk) as where, (message := scanned()).file, pytest.raises(FilterFailed):
        of(kind, where).check(message)


@pytest.mark.parametrize("behaves", [silent, dripping])
@pytest.mark.parametrize("kind", ["clamd", "spamd", "rspamd"])
def test_a_filter_that_is_too_slow_gives_no_verdict(scanned: Any, kind: str, behaves: Any) -> None:
    with listening(behaves) as where, (message := scanned()).file:
        filter_ = of(kind, where, 0.2)
        with pytest.raises(FilterFailed, match=r"no verdict within 0\.2 seconds"):
            filter_.check(message)


@pytest.mark.parametrize("kind", ["clamd", "spamd", "rspamd"])
def test_a_filter_that_is_not_there_gives_no_verdict(scanned: Any, kind: str, tmp_path: Path) -> None:
    with listening(silent) as where:
        pass
    message = scanned()
    with message.file:
        with pytest.raises(FilterFailed, match="cannot be reached"):
            of(kind, where).check(message)
        if kind != "rspamd":
            with pytest.raises(FilterFailed, match="cannot be reached"):
                of(kind, str(tmp_path / "none")).check(message)


# ------------------------------------------------------------------------------------------- programs


def program(tmp_path: Path, text: str) -> tuple[str, ...]:
    path = tmp_path / "filter"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(stat.S_IRWXU)
    return (str(path), "$(touch no-shell)")


@pytest.mark.parametrize(
    "text,verdict",
    [
        ("exit 0", CLEAN),
        ("echo first >&2; echo why >&2; exit 98", Verdict(JUNK, "why")),
        ("exit 99", Verdict(VIRUS)),
        ("exit 75", None),
        ("kill -9 $$", None),
    ],
)
def test_the_status_of_a_program_is_the_verdict(
    scanned: Any, tmp_path: Path, text: str, verdict: Verdict | None
) -> None:
    seen = tmp_path / "seen"
    shown = f'cat > {seen}; echo "$POP3PROTO_USER $POP3PROTO_SENDER $POP3PROTO_RECIPIENT $1" >> {seen}; '
    check(ProgramFilter(program(tmp_path, shown + text)), scanned(), verdict)
    assert seen.read_bytes() == SECRET + b"ann bob@b ann@a $(touch no-shell)\n"


def test_a_program_may_say_it_otherwise(scanned: Any, tmp_path: Path) -> None:
    argv = program(tmp_path, "exit 9")
    check(ProgramFilter(argv, junk=frozenset({9})), scanned(), Verdict(JUNK))
    check(ProgramFilter(argv, virus=frozenset({9})), scanned(), Verdict(VIRUS))


def test_a_program_that_is_too_slow_or_not_there_gives_no_verdict(scanned: Any, tmp_path: Path) -> None:
    check(ProgramFilter((sys.executable, "-c", "import time; time.sleep(100)"), timeout=0.2), scanned(), None)
    check(ProgramFilter((str(tmp_path / "none"),)), scanned(), None)


# -------------------------------------------------------------------------------------------- together


def test_the_first_that_finds_something_decides(scanned: Any, tmp_path: Path) -> None:
    junk = program(tmp_path, "exit 98")
    with listening(Clamd(b"stream: Worm FOUND\0")) as clamd:
        assert ask_filters(Filtering(clamd=clamd, command=junk), scanned, 1) == Verdict(VIRUS, "Worm")
    with listening(Clamd(b"stream: OK\0")) as clamd, listening(Http(b'{"action": "no action"}')) as rspamd:
        filtering = Filtering(clamd=clamd, rspamd=f"http://{rspamd}", command=junk)
        assert ask_filters(filtering, scanned, 1) == Verdict(JUNK)
    assert ask_filters(Filtering(), scanned, 1) == CLEAN


def test_larger_messages_are_not_shown_to_filters(scanned: Any, tmp_path: Path) -> None:
    filtering = Filtering(command=program(tmp_path, "exit 98"), largest=100)
    assert ask_filters(filtering, scanned, 100) == Verdict(JUNK)
    assert ask_filters(filtering, scanned, 101) == CLEAN


@pytest.mark.parametrize(
    "wrong",
    [
        {"clamd": "nowhere"}, {"clamd": "host:0"}, {"spamd": "host:x"}, {"spamd": ":783"}, {"rspamd": "::1"},
        {"rspamd": "ftp://h"}, {"rspamd": "http://u@h"}, {"rspamd": "http://h:x"}, {"rspamd": "http://h/?q"},
        {"command": [""]}, {"command": ["a\0"]}, {"timeout": 0}, {"largest": 0}, {"junk": "burn"}, {"folder": "Junk"},
        {"folder": ".a/b"}, {"folder": "..x"}, {"folder": ".Trash"}, {"folder": ".a.\n"},
    ],
)  # fmt: skip
def test_a_setting_without_meaning_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Filtering(**wrong)


def test_places_of_filters() -> None:
    assert parse_place("/run/x") == Place(None, 0, "/run/x")
    assert str(parse_place("[::1]:3310")) == "[::1]:3310"
    assert parse_place("mail.example.org:3310") == Place("mail.example.org", 3310)


def test_what_is_done_is_as_it_is_set() -> None:
    filtering = Filtering(junk=JunkAction.TAG, virus=JunkAction.FOLDER)
    assert [filtering.action(each) for each in MessageKind] == [JunkAction.DELIVER, JunkAction.TAG, JunkAction.FOLDER]
    assert [Filtering().action(each) for each in MessageKind] == [
        JunkAction.DELIVER,
        JunkAction.FOLDER,
        JunkAction.REFUSE,
    ]


@pytest.mark.parametrize(
    "argv",
    [
        ("sh", "-c", "if"), ("python3", "/no/such.py"), (sys.executable, "-c", "1/0"), ("grep", "-q", "x", "/no/such"),
        ("false",), ("sh", "-c", "exit 126"), ("sh", "-c", "/no/such/program"),
    ],
)  # fmt: skip
def test_a_program_that_fails_says_neither_junk_nor_virus(scanned: Any, argv: tuple[str, ...]) -> None:
    with pytest.raises(FilterFailed, match="ended with status"):
        ask_filters(Filtering(command=argv), scanned, 1)


def test_of_much_that_a_program_says_the_end_is_kept(scanned: Any, tmp_path: Path) -> None:
    text = "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo why >&2; exit 98"
    assert ask_filters(Filtering(command=program(tmp_path, text)), scanned, 1) == Verdict(JUNK, "why")


@pytest.mark.parametrize(
    "what", [{"rspamd": "http://a..b:11333"}, {"rspamd": "http://x y/"}, {"clamd": "a..b:3310"}, {"spamd": "a..b:1"}]
)
def test_a_place_that_cannot_be_one_is_refused(what: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="named"):
        Filtering(**what)


@pytest.mark.parametrize("folder", [".pop3proto-lock", ".pop3proto-ids", ". ", ".a..b", ".a.", ".Trash"])
def test_a_folder_that_is_no_folder_for_junk_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match="a folder of a Maildir"):
        Filtering(folder=folder)
