"""`POP3`, method by method: what the standard library's returns and raises, and where ours is meant to differ."""

import contextlib
import errno
import gc
import hashlib
import pickle
import poplib as theirs
import socket
import sys
import threading
import warnings

import pytest

from pop3proto import Pop3Error, RemoteProtocolError, ResponseCode, UncertainUpdate, poplib as ours
from pop3proto.testing import PASSWORD, pop3_server
from pop3proto.testing.faults import Cut, Reset, Stall
from tests.helpers.dialogues import Dialogue, over, talking

BODY = b"+OK 2 lines\r\n..stuffed\r\n.once\r\n\r\n\xff\xfe\r\n.\r\n"
ANSWERS = {
    b"USER": b"+OK\r\n",
    b"PASS": b"+OK 2 messages\r\n",
    b"APOP": b"+OK 2 messages\r\n",
    b"RPOP": b"+OK\r\n",
    b"STAT": b"+OK 2 320 and more\r\n",
    b"LIST": b"+OK 2 messages\r\n1 120\r\n2 200\r\n.\r\n",
    b"LIST 1": b"+OK 1 120\r\n",
    b"LIST 9": b"-ERR no such message\r\n",
    b"UIDL": b"+OK\r\n1 a\r\n2 b\r\n.\r\n",
    b"UIDL 2": b"+OK 2 b\r\n",
    b"RETR": BODY,
    b"TOP": BODY,
    b"DELE": b"+OK deleted\r\n",
    b"NOOP": b"+ok\r\n",
    b"RSET": b"+OK\r\n",
    b"UTF8": b"-ERR what?\r\n",
    b"CAPA": b"+OK\r\nTOP\r\nEXPIRE 0 USER\r\nSASL PLAIN SCRAM-SHA-256\r\n.\r\n",
}
GREETING = b"+OK ready <1896.697170952@dbc.mtview.ca.us>\r\n"

CALLS = {
    "getwelcome": lambda client: client.getwelcome(),
    "user": lambda client: client.user("ann"),
    "pass_": lambda client: client.pass_("tanstaaf"),
    "apop": lambda client: client.apop("mrose", "tanstaaf"),
    "rpop": lambda client: client.rpop("ann"),
    "stat": lambda client: client.stat(),
    "list": lambda client: client.list(),
    "list of one": lambda client: client.list(1),
    "list of none": lambda client: client.list("9"),
    "uidl": lambda client: client.uidl(),
    "uidl of one": lambda client: client.uidl("2"),
    "retr": lambda client: client.retr(1),
    "top": lambda client: client.top(1, 0),
    "dele": lambda client: client.dele(1),
    "noop": lambda client: client.noop(),
    "rset": lambda client: client.rset(),
    "utf8": lambda client: client.utf8(),
    "capa": lambda client: client.capa(),
    "stls": lambda client: client.stls(),
    "quit": lambda client: client.quit(),
}


def outcome(module, call):
    """What a call returns or raises, and what the server heard."""
    with talking(module.POP3, ANSWERS, GREETING) as (client, server):
        try:
            result = call(client)
        except module.error_proto as error:
            result = "raised", error.args, str(error)
        return result, server.heard


@pytest.mark.parametrize("name", CALLS)
def test_a_method_does_what_that_of_the_standard_library_does(name):
    assert outcome(ours, CALLS[name]) == outcome(theirs, CALLS[name])


class Shown(int):
    """A number with words of its own: those of `str` count, as in the standard library."""

    def __str__(self):
        return "1"

    def __format__(self, spec):
        return "formatted"


ARGUMENTS = [1, "1", b"1", 1.0, 1.5, True, None, "", " 1", "1 ", [1], Shown(7), 10**30, -1, "é"]
WITH_ARGUMENTS = {
    "user": 1,
    "pass_": 1,
    "rpop": 1,
    "list": 1,
    "uidl": 1,
    "retr": 1,
    "top": 2,
    "dele": 1,
}


@pytest.mark.parametrize("name", WITH_ARGUMENTS)
def test_whatever_the_arguments_the_same_is_sent(name):
    def calls(client):
        for argument in ARGUMENTS:
            with contextlib.suppress(theirs.error_proto):
                getattr(client, name)(*[argument] * WITH_ARGUMENTS[name])

    answers = {verb: answer for verb, answer in ANSWERS.items() if b" " not in verb}
    heard = []
    for module in (theirs, ours):
        # The answer to LIST without an argument is of many lines, and refused here.
        with talking(module.POP3, {**answers, b"LIST": b"-ERR no\r\n", b"UIDL": b"-ERR no\r\n"}) as (client, server):
            calls(client)
            heard.append(server.heard)
    assert heard[0] == heard[1]
    assert len(heard[0]) == len(ARGUMENTS)


@pytest.mark.parametrize("rows", [b"TOP\r\nSASL A\r\nTOP x\r\nUSER\r\nsasl B\r\n", b"Z\r\nA\r\nM 1 2  3\r\n", b""])
def test_capabilities_come_in_the_order_of_the_server_and_the_last_of_a_name_counts(rows):
    found = []
    for module in (theirs, ours):
        with talking(module.POP3, {b"CAPA": b"+OK\r\n" + rows + b".\r\n"}) as (client, _):
            found.append([*client.capa().items()])
    assert found[0] == found[1]


def test_its_repr_and_its_errors_show_no_secret():
    with talking(ours.POP3, ANSWERS) as (client, _):
        client.user("ann")
        client.pass_("tanstaaf")
        client._putcmd("PASS s3cr3t")
        shown = [repr(client), str(client), repr(client.file), *map(repr, vars(client).values())]
        assert not [each for each in shown if "tanstaaf" in each or "s3cr3t" in each]


@pytest.mark.parametrize("timeout", [0, 0.0, False])
@pytest.mark.parametrize("kind", ["POP3", "POP3_SSL"])
def test_a_timeout_of_nothing_is_a_mistake(kind, timeout):
    messages = []
    for module in (theirs, ours):
        with pytest.raises(ValueError, match="timeout") as caught:
            getattr(module, kind)("localhost", 1, timeout=timeout)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_apop_without_a_timestamp_sends_nothing():
    for module in (theirs, ours):
        with talking(module.POP3, ANSWERS) as (client, server):
            with pytest.raises(module.error_proto) as caught:
                client.apop("ann", "tanstaaf")
            assert caught.value.args == ("-ERR APOP not supported by server",)
            assert client.noop()
            assert server.heard == [b"NOOP"]


def test_after_an_error_quit_is_said_if_the_place_is_known():
    for module in (theirs, ours):
        with talking(module.POP3, ANSWERS) as (client, server):
            with pytest.raises(module.error_proto):
                client.list(9)
            assert client.quit() == b"+OK bye"
            assert server.heard == [b"LIST 9", b"QUIT"]
            client.close()
            client.close()


def test_every_public_name_of_the_standard_library_is_there():
    for module, kind in (("POP3", None), ("POP3_SSL", None), ("POP3", "POP3"), ("POP3_SSL", "POP3_SSL")):
        public = [name for name in dir(getattr(theirs, module)) if not name.startswith("__")]
        assert kind is None or [name for name in public if not hasattr(getattr(ours, kind), name)] == []
    names = ["CR", "LF", "CRLF", "POP3_PORT", "POP3_SSL_PORT", "HAVE_SSL", "error_proto", "_MAXLINE", "socket", "ssl"]
    assert {name: getattr(ours, name) for name in names} == {name: getattr(theirs, name) for name in names}
    assert set(theirs.__all__) <= set(ours.__all__)
    assert issubclass(ours.POP3, theirs.POP3)
    assert issubclass(ours.POP3_SSL, theirs.POP3_SSL)
    assert issubclass(ours.POP3_SSL, ours.POP3)


def test_a_refusal_is_the_error_of_the_standard_library_with_its_code():
    with talking(ours.POP3, {b"PASS": b"-ERR [IN-USE] locked\r\n"}) as (client, _):
        with pytest.raises(theirs.error_proto) as caught:
            client.pass_("tanstaaf")
        assert caught.value.args == (b"-ERR [IN-USE] locked",)
        assert str(caught.value) == str(theirs.error_proto(b"-ERR [IN-USE] locked"))
        assert isinstance(caught.value, ours.CommandRefused)
        assert caught.value.code == ResponseCode.IN_USE
        assert caught.value.reply.message == "locked"
        again = pickle.loads(pickle.dumps(caught.value))
        assert (again.args, again.code) == (caught.value.args, ResponseCode.IN_USE)


@pytest.mark.parametrize(
    "error",
    [
        ours.EndOfStream("-ERR EOF"),
        ours.UncertainQuit("-ERR EOF"),
        ours.QuitTimedOut("timed out"),
        ours.SessionEnded(b"-ERR idle"),
        ours.OutOfStep("why"),
        ours.Garbled(b"what"),
        ours.Malformed("why"),
        ours.LoginRefused(b"-ERR no"),
    ],
)
def test_each_error_is_one_of_both_kinds(error):
    assert isinstance(error, theirs.error_proto)
    assert isinstance(error, Pop3Error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args, str(again)) == (type(error), error.args, str(error))


@pytest.mark.parametrize("line", [b"*\r\n", b"hello\r\n", b".\r\n", b"\r\n"])
def test_what_is_no_status_line_ends_the_session(line):
    with talking(ours.POP3, {b"STAT": line}) as (client, server):
        with pytest.raises(ours.error_proto) as caught:
            client.stat()
        assert isinstance(caught.value, RemoteProtocolError)
        assert caught.value.args == (line[:-2],)
        with pytest.raises(ours.OutOfStep):
            client.dele(1)
        assert server.heard == [b"STAT"]


@pytest.mark.parametrize("greeting", [b"-ERR too busy\r\n", b"", b"220 smtp\r\n"])
def test_a_connection_is_closed_if_the_greeting_is_none(greeting):
    with Dialogue(greeting=greeting, last=b"").running() as server:
        if not greeting:
            server._server.shutdown(socket.SHUT_WR)
        with pytest.raises(ours.error_proto) as caught:
            over(ours.POP3, server.client)
        assert caught.value.args == ((greeting[:-2] if greeting else "-ERR EOF"),)
        server.wait_for_the_end()


@pytest.mark.parametrize("answer", [b"+OK\r\n", b"+OK 2\r\n", b"+OK two many\r\n"])
def test_an_answer_to_stat_without_numbers_is_an_error(answer):
    with talking(ours.POP3, {b"STAT": answer}) as (client, _), pytest.raises(ours.error_proto, match="Invalid STAT"):
        client.stat()


def test_capabilities_that_follow_no_grammar_are_no_error():
    rows = b"+OK\r\n\r\nTOP\r\n  \r\nIMPLEMENTATION K\xc3\xb6ln \xff\r\nstls\r\n.\r\n"
    with talking(ours.POP3, {b"CAPA": rows}) as (client, _):
        assert client.capa() == {"TOP": [], "IMPLEMENTATION": ["Köln", "\udcff"], "stls": []}


def test_a_lost_connection_is_not_a_server_without_capa():
    with talking(ours.POP3, {b"CAPA": b""}, last=b"CAPA") as (client, _):
        with pytest.raises(ours.EndOfStream) as caught:
            client.capa()
        assert caught.value.args == ("-ERR EOF",)
        assert isinstance(caught.value, ConnectionError)


def test_lines_may_end_with_lf_alone_if_the_status_line_does():
    answers = {b"RETR": b"+OK\n..one\ntwo\r\n\n.\n", b"STAT": b"+OK 1 9\n", b"CAPA": b"+OK\nTOP\n.\r\n"}
    for module in (theirs, ours):
        with talking(module.POP3, answers, b"+OK\n") as (client, _):
            assert client.retr(1) == (b"+OK", [b".one", b"two", b""], 11)
            assert client.stat() == (1, 9)
            assert client.capa() == {"TOP": []}


def test_octets_that_are_no_text_are_octets_as_ever():
    answers = {b"DELE": b"+OK \xe9\xff\r\n", b"RETR": b"-ERR [SYS/TEMP] \xe9\xff\r\n"}
    with talking(ours.POP3, answers, b"+OK \xff\r\n") as (client, _):
        assert client.getwelcome() == b"+OK \xff"
        assert client.dele(1) == b"+OK \xe9\xff"
        with pytest.raises(ours.CommandRefused) as caught:
            client.retr(1)
        assert caught.value.args == (b"-ERR [SYS/TEMP] \xe9\xff",)
        assert caught.value.code == ResponseCode.SYS_TEMP
        assert client.client.greeting.reply.text == "\udcff"


def test_the_timestamp_of_a_greeting_is_found_in_linear_time():
    with talking(ours.POP3, ANSWERS) as (client, server):
        for welcome in (
            b"+OK" + b"<" * 1_000_000,
            b"+OK " + b"<a" * 500_000,
            b"+OK <" + b"a" * 1_000_000,
            b"+OK <a b>",
        ):
            client.welcome = welcome
            with pytest.raises(ours.error_proto, match="-ERR APOP not supported"):
                client.apop("ann", "tanstaaf")
        client.welcome = b"+OK <no such> but <a@b>"
        client.apop("ann", "tanstaaf")
        digest = hashlib.md5(b"<a@b>tanstaaf").hexdigest()
        assert server.heard == [f"APOP ann {digest}".encode()]


@pytest.mark.parametrize("character", ["\r\n", "\n", "\r", "\0", "\t", "\x7f"])
def test_a_control_character_is_refused_and_nothing_is_sent(character):
    with talking(ours.POP3, ANSWERS) as (client, server):
        for call in (client.user, client.pass_, client.retr, client.dele, client._shortcmd):
            with pytest.raises(ValueError, match="Control characters not allowed in commands") as caught:
                call(f"1{character}DELE 2")
            assert isinstance(caught.value, ours.ForbiddenCharacter)
        assert client.stat() == (2, 320)
        assert server.heard == [b"STAT"]


def test_the_encoding_is_that_of_the_object():
    with talking(ours.POP3, ANSWERS) as (client, server):
        client.user("é")
        client.encoding = "latin-1"
        client.user("é")
        with pytest.raises(UnicodeEncodeError):
            client.user("€")
        client.noop()
        assert server.heard == ["USER é".encode(), b"USER \xe9", b"NOOP"]


def test_audit_events_are_those_of_the_standard_library():
    events = []

    def hook(name, arguments):
        if name.startswith("poplib.") and events is not None:
            events.append((name, arguments[1:]))

    sys.addaudithook(hook)
    with talking(ours.POP3, ANSWERS) as (client, _):
        client.stat()
    assert events == [("poplib.connect", ("pop.example.org", 110)), ("poplib.putline", (b"STAT",))]
    events = None


# The end.


def test_quit_closes_whatever_the_answer():
    for answer, error in (
        (b"+OK\r\n", None),
        (b"-ERR not all was removed\r\n", ours.CommandRefused),
        (b"", ours.EndOfStream),
        (b"what\r\n", ours.Garbled),
    ):
        with talking(ours.POP3, {b"QUIT": answer}) as (client, _):
            if error is None:
                assert client.quit() == b"+OK"
            else:
                with pytest.raises(error):
                    client.quit()
            assert client.sock is client.file is None
            client.close()
            with pytest.raises(ours.OutOfStep, match="closed"):
                client.noop()


def test_without_an_answer_to_quit_nobody_knows_what_was_removed():
    with talking(ours.POP3, {**ANSWERS, b"QUIT": b""}) as (client, _):
        client.user("ann")
        client.pass_("tanstaaf")
        with pytest.raises(ours.UncertainQuit):
            client.quit()


@pytest.mark.parametrize("logged_in", [True, False])
@pytest.mark.parametrize(
    "fault, kind",
    [
        (Cut(after="QUIT"), ours.EndOfStream),
        (Cut(after="QUIT", octets=2), ours.EndOfStream),
        (Reset(after="QUIT"), OSError),
        (Reset(after="QUIT", octets=2), OSError),
        (Stall(after="QUIT"), TimeoutError),
        (Stall(after="QUIT", octets=2), TimeoutError),
    ],
    ids=str,
)
def test_whatever_comes_of_quit_but_an_answer_nobody_knows_what_was_removed(fault, kind, logged_in):
    """Before login nothing can have been: the error is that of the connection."""
    with pop3_server({"ann": []}, faults=[fault]) as server:
        client = ours.POP3(server.host, server.port, timeout=10)
        if logged_in:
            client.user("ann")
            client.pass_(PASSWORD)
        client.sock.settimeout(0.05 if kind is TimeoutError else 10)
        with pytest.raises(kind) as caught:
            client.quit()
    assert isinstance(caught.value, ours.UncertainQuit) is logged_in
    assert isinstance(caught.value, UncertainUpdate) is logged_in
    assert client.sock is client.file is None
    if logged_in:
        assert isinstance(caught.value, theirs.error_proto)
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_quit_that_was_sent_in_part_is_uncertain_too():
    class Full:
        def __init__(self, sock):
            self._sock = sock

        def __getattr__(self, name):
            return getattr(self._sock, name)

        def sendall(self, octets):
            raise TimeoutError("timed out")

    with talking(ours.POP3, ANSWERS) as (client, _):
        client.user("ann")
        client.pass_("tanstaaf")
        client.sock = Full(client.sock)
        with pytest.raises(ours.UncertainQuit) as caught:
            client.quit()
        assert isinstance(caught.value, TimeoutError)


def test_quit_is_certain_if_it_was_not_sent():
    """What the client beneath has left of a message does not come to its end: QUIT was never said."""
    answers = {**ANSWERS, b"RETR": b"+OK\r\nhalf\r\n"}
    with talking(ours.POP3, answers, timeout=0.05) as (client, server):
        client.user("ann")
        client.pass_("tanstaaf")
        with client.client.retr(1):
            pass
        with pytest.raises(TimeoutError) as caught:
            client.quit()
        assert not isinstance(caught.value, UncertainUpdate)
        assert client.sock is None
        assert b"QUIT" not in server.heard


def test_a_farewell_is_no_answer_to_the_next_command():
    farewell = b"-ERR [SYS/TEMP] idle for too long\r\n"
    calls = [CALLS["stat"], CALLS["retr"], CALLS["capa"], CALLS["quit"], lambda client: client.client.capa()]
    for call in calls:
        with talking(ours.POP3, {**ANSWERS, b"NOOP": b"+OK\r\n" + farewell}, last=b"NOOP") as (client, server):
            client.user("ann")
            client.pass_("tanstaaf")
            client.noop()
            server.wait_for_the_end()
            with pytest.raises(ours.SessionEnded) as caught:
                call(client)
            error = caught.value
            assert isinstance(error, ours.EndOfStream)
            assert not isinstance(error, ours.CommandRefused | UncertainUpdate)
            assert error.args == (farewell[:-2],)
            assert (error.code, error.sent) == (ResponseCode.SYS_TEMP, False)
            assert "nothing was sent" in str(error)
            assert pickle.loads(pickle.dumps(error)).args == error.args
            assert server.heard[-1] == b"NOOP"


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_farewell_that_comes_in_pieces_is_one(cut):
    farewell = b"-ERR idle\r\n"
    with talking(ours.POP3, ANSWERS) as (client, server):
        client.noop()
        server._server.sendall(farewell[:cut])
        timer = threading.Timer(0.02, server._server.sendall, [farewell[cut:]])
        timer.start()
        try:
            with pytest.raises(ours.SessionEnded) as caught:
                client.stat()
        finally:
            timer.join(5)
        assert caught.value.args == (b"-ERR idle",)


def test_if_the_server_has_hung_up_before_nothing_is_uncertain():
    with talking(ours.POP3, ANSWERS, last=b"PASS") as (client, server):
        client.user("ann")
        client.pass_("tanstaaf")
        server.wait_for_the_end()
        with pytest.raises(ours.EndOfStream) as caught:
            client.quit()
        assert not isinstance(caught.value, ours.UncertainQuit)


def test_quit_on_a_session_that_is_over_closes_and_says_so():
    with talking(ours.POP3, {b"RETR": b"+OK\r\nhalf"}, timeout=0.05) as (client, server):
        with pytest.raises(TimeoutError):
            client.retr(1)
        with pytest.raises(ours.OutOfStep):
            client.quit()
        assert client.sock is None
        server.wait_for_the_end()
        assert server.heard == [b"RETR 1"]


def test_close_may_be_called_at_any_time():
    with talking(ours.POP3) as (client, server):
        server._server.close()
        client.close()
        client.close()
    bare = ours.POP3.__new__(ours.POP3)
    bare.close()
    with talking(ours.POP3) as (client, _):
        client.sock.close()
        client.close()


def test_a_block_ends_with_quit_and_one_that_fails_does_not():
    with Dialogue().running() as server:
        with over(ours.POP3, server.client):
            pass
        server.wait_for_the_end()
        assert server.heard == [b"QUIT"]
    with Dialogue().running() as server:
        with pytest.raises(KeyError), over(ours.POP3, server.client) as client:
            raise KeyError
        server.wait_for_the_end()
        assert (server.heard, client.sock) == ([], None)
    with talking(ours.POP3) as (client, server):
        with client:
            client.quit()
        assert server.heard == [b"QUIT"]


def test_nothing_is_left_open(recwarn):
    with pop3_server({"ann": []}) as server:
        client = ours.POP3(server.host, server.port)
        client.user("ann")
        client.pass_(PASSWORD)
        client.quit()
        del client
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            gc.collect()
        assert not [each for each in caught if issubclass(each.category, ResourceWarning)]


# Timeouts.


def test_the_timeout_is_what_was_said():
    with pop3_server({"ann": []}) as server:

        def timeout(**options):
            with ours.POP3(server.host, server.port, **options) as client:
                return client.sock.gettimeout()

        assert timeout() == ours.TIMEOUT == 60
        assert timeout(timeout=None) is None
        assert timeout(timeout=7) == 7
        with pytest.raises(ValueError, match="timeout=0"):
            timeout(timeout=0)
        socket.setdefaulttimeout(33)
        try:
            assert timeout() == 33
        finally:
            socket.setdefaulttimeout(None)


def test_a_subclass_hears_of_the_timeout_in_seconds():
    heard = []

    class Client(ours.POP3):
        def _create_socket(self, timeout):
            heard.append(timeout)
            raise OSError(errno.ECONNREFUSED, "no")

    for options in ({}, {"timeout": None}, {"timeout": 3}):
        with pytest.raises(OSError, match="no"):
            Client("pop.example.org", **options)
    assert heard == [60, None, 3]


def test_the_timeout_may_be_changed_on_the_socket():
    with talking(ours.POP3, {b"STAT": 5.0}) as (client, _):
        client.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.stat()
        assert client.sock.gettimeout() == 0.05


def test_after_a_timeout_nothing_is_sent():
    """Its answer may still come, and pass for that to another command."""
    with talking(ours.POP3, {b"STAT": [5.0, b"+OK 1 1\r\n"]}, timeout=0.05) as (client, server):
        with pytest.raises(TimeoutError):
            client.stat()
        with pytest.raises(ours.OutOfStep, match="nothing was sent: an earlier failure, TimeoutError: timed out"):
            client.noop()
        with pytest.raises(ours.OutOfStep, match="there is no client"):
            client.client  # noqa: B018 - it is a property
        assert server.heard == [b"STAT"]


# The trace.


def test_the_trace_is_that_of_the_standard_library(capsys):
    traces = []
    for module in (theirs, ours):
        with talking(module.POP3, ANSWERS) as (client, _):
            client.set_debuglevel(1)
            client.stat()
            client.set_debuglevel(2)
            client.user("ann")
            client.retr(1)
            client.set_debuglevel(0)
            client.noop()
        traces.append(capsys.readouterr().out)
    assert traces[0] == traces[1]
    assert "*get* b'..stuffed\\r\\n'" in traces[1]


def test_a_positive_answer_is_as_it_came_and_masked_in_the_trace_alone(capsys):
    with talking(ours.POP3, {b"PASS": b"+OK ann has 2 messages\r\n"}) as (client, _):
        client.set_debuglevel(2)
        assert client.pass_("ann") == b"+OK ann has 2 messages"
    assert "ann" not in capsys.readouterr().out


def test_no_trace_and_no_error_holds_a_secret(capsys):
    secret = "s3cr3t"
    answers = {
        b"USER": b"+OK\r\n",
        b"PASS": b"-ERR s3cr3t is wrong\r\n",
        b"APOP": b"-ERR no\r\n",
        b"AUTH": b"+ \r\n",
        b"s3cr3t": b"-ERR no s3cr3t\r\n",
        b"STAT": b"+OK 1 1\r\n",
    }
    with talking(ours.POP3, answers, GREETING) as (client, _):
        client.set_debuglevel(2)
        errors = []
        for call in (
            lambda: client.pass_(secret),
            lambda: client._shortcmd(f"AUTH PLAIN {secret}") and client._shortcmd(secret),
            lambda: client._shortcmd("auth plain") and client._shortcmd(secret),
            lambda: client._shortcmd(f"pass {secret}"),
        ):
            with pytest.raises(ours.error_proto) as caught:
                call()
            errors.append(repr(caught.value))
        assert client.stat() == (1, 1)
        with pytest.raises(ours.error_proto):
            client.apop("ann", secret)
    printed = capsys.readouterr().out
    assert secret not in printed + "".join(errors)
    assert "*cmd* 'STAT'" in printed
    assert "*cmd* 'APOP ann ***'" in printed
