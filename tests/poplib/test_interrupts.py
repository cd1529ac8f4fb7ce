"""What was sent and not answered, as something was raised in between, never gives its answer to the next command."""

import inspect
import io
import poplib as theirs
import sys
from contextlib import suppress

import pytest

from pop3proto import poplib as ours
from tests.helpers.dialogues import talking
from tests.poplib.test_hooks import Around

ANSWERS = {
    **{b"RETR %d" % number: b"+OK\r\nmessage %d\r\n.\r\n" % number for number in (1, 2, 3)},
    b"RETR 7": [b"+OK\r\n+OK 1 1\r\n", 0.01, b"+OK 1 1\r\n.\r\n"],
    b"DELE": b"+OK deleted\r\n",
    b"NOOP": b"+OK nothing\r\n",
    b"STAT": b"+OK 7 70\r\n",
}
CALLS = {
    "dele": lambda client: client.dele(1),
    "retr": lambda client: client.retr(1),
    "retr, in pieces": lambda client: client.retr(7),
}


class Stop(BaseException):
    """As KeyboardInterrupt, or what a handler of signals raises."""


class Injection:
    """Raises `Stop` before the line, or the instruction, of this number that the package executes in a block."""

    def __init__(self, number, *, instructions, of="pop3proto/poplib"):
        self._left = number
        self._instructions = instructions
        self._of = of
        self.raised = False

    def __call__(self, frame, event, _):
        if self._of not in frame.f_code.co_filename.replace("\\", "/"):
            return None
        frame.f_trace_opcodes = self._instructions
        if event == ("opcode" if self._instructions else "line"):
            if not self._left:
                self.raised = True
                raise Stop
            self._left -= 1
        return self

    def __enter__(self):
        inspect.currentframe().f_trace_opcodes = self._instructions  # before `settrace`, for Python 3.12
        self._before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)


def goes_wrong(call, number, *, instructions):
    """Whether the next commands are answered wrongly after an interrupt there; None: there is no such place."""
    with talking(ours.POP3, ANSWERS) as (client, _):
        injection = Injection(number, instructions=instructions)
        try:
            with injection:
                call(client)
        except Stop:
            pass
        if not injection.raised:
            return None
        for name, right in (("noop", b"+OK nothing"), ("stat", (7, 70))):
            try:
                if getattr(client, name)() != right:
                    return True
            except ours.OutOfStep:
                pass
        return False


@pytest.mark.parametrize(
    "instructions", [pytest.param(False, id="lines"), pytest.param(True, id="instructions", marks=pytest.mark.deep)]
)
@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_anywhere_shifts_no_answer(name, instructions):
    number, wrong = 0, []
    while (result := goes_wrong(CALLS[name], number, instructions=instructions)) is not None:
        wrong += [number] if result else []
        number += 1
    assert number > 40
    assert wrong == []


@pytest.mark.parametrize("call", ["retr_to", "close"])
def test_after_an_interrupt_the_client_beneath_is_not_in_use(call):
    """At each instruction that takes it, and gives it back."""
    number, raised = 0, True
    while raised:
        with talking(ours.POP3, ANSWERS | {b"PASS": b"+OK\r\n"}) as (client, _):
            client.pass_("tanstaaf")
            beneath = client.client
            injection = Injection(number, instructions=True, of="blocking/runner")
            with suppress(Stop), injection:
                client.retr_to(1, io.BytesIO()) if call == "retr_to" else beneath.close()
            for name, right in (("noop", b"+OK nothing"), ("stat", (7, 70))):
                with suppress(ours.OutOfStep):
                    assert getattr(client, name)() == right
            with suppress(ours.error_proto):
                client.quit()
        number, raised = number + 1, injection.raised
    assert number > 20


# Hooks of programs that raise.


def raising(module, hook, *, before):
    """Return a class of which a hook raises once: before it has done anything, or after it has."""

    def overriding(self, *arguments):
        armed, self.armed = self.armed, False
        if armed and before:
            raise ArithmeticError
        result = getattr(super(kind, self), hook)(*arguments)
        if armed:
            raise ArithmeticError
        return result

    kind = type("Raising", (module.POP3,), {hook: overriding, "armed": False})
    return kind


@pytest.mark.parametrize("hook", ["_getresp", "_getline", "_getlongresp"])
def test_a_hook_that_raises_before_it_has_read_deletes_nothing(hook):
    for module in (theirs, ours):
        got = []
        with talking(raising(module, hook, before=True), ANSWERS) as (client, server):
            for number in (1, 2, 3):
                client.armed = number == 1
                try:
                    got += client.retr(number)[1]
                    client.dele(number)
                except (ArithmeticError, ours.error_proto):
                    pass
            client.sock.sendall(b"QUIT\r\n")
            server.wait_for_the_end()
            heard = server.heard[:-1]
        if module is theirs:
            assert got[0] == b"message 1"
            assert b"DELE 2" in heard  # which it did not get
        else:
            assert got == []
            assert heard == [b"RETR 1"]


LATE = {**ANSWERS, b"RETR": [b"+OK\r\n", 0.05, b"+OK 5 5\r\n.\r\n"], b"RETR 1": [b"+OK\r\n", 0.05, b"+OK 5 5\r\n.\r\n"]}


@pytest.mark.parametrize("hook", ["_getresp", "_getline"])
def test_a_hook_that_raises_after_a_positive_status_leaves_a_body(hook):
    for module in (theirs, ours):
        with talking(raising(module, hook, before=False), LATE) as (client, _):
            client.armed = True
            with pytest.raises(ArithmeticError):
                client.retr(1)
            if module is theirs:
                assert client.stat() == (5, 5)
            else:
                with pytest.raises(ours.OutOfStep, match="behind the answer to RETR 1 were not read"):
                    client.stat()
                assert client._getline() == (b"+OK 5 5", 9)  # they may be read
                assert client._getline() == (b".", 3)
                assert client.stat() == (7, 70)


@pytest.mark.parametrize("hook", ["_putcmd", "_putline"])
def test_a_hook_that_raises_before_it_has_sent_ends_nothing(hook):
    with talking(raising(ours, hook, before=True), ANSWERS) as (client, _):
        client.armed = True
        with pytest.raises(ArithmeticError):
            client.retr(1)
        assert client.retr(2)[1] == [b"message 2"]
        with pytest.raises(ValueError, match="Control characters"):
            client.retr("1\r\n")
        assert client.retr(3)[1] == [b"message 3"]


@pytest.mark.parametrize("hook", ["_putcmd", "_putline"])
def test_one_that_raises_after_it_has_sent_ends_the_session(hook):
    with talking(raising(ours, hook, before=False), ANSWERS) as (client, server):
        client.armed = True
        with pytest.raises(ArithmeticError):
            client.retr(1)
        with pytest.raises(ours.OutOfStep, match="ArithmeticError"):
            client.dele(2)
        client.sock.sendall(b"QUIT\r\n")
        server.wait_for_the_end()
        assert server.heard == [b"RETR 1", b"QUIT"]


@pytest.mark.parametrize("hook", ["_getresp", "_getlongresp", "_shortcmd"])
def test_a_refusal_ends_nothing_whatever_a_hook_makes_of_it(hook):
    class Other(Exception):
        pass

    def overriding(self, *arguments):
        try:
            return getattr(super(kind, self), hook)(*arguments)
        except ours.error_proto as error:
            raise Other from error

    kind = type("Raising", (ours.POP3,), {hook: overriding})
    with talking(kind, ANSWERS) as (client, _):
        for refused in (lambda: client.retr(9), lambda: client.list(1)):
            with pytest.raises((Other, ours.CommandRefused)):
                refused()
        assert client.stat() == (7, 70)


def test_a_command_by_hand_of_which_a_getline_raises_is_not_answered_by_the_next():
    with talking(raising(ours, "_getline", before=True), ANSWERS) as (client, _):
        client._putcmd("STAT")
        client.armed = True
        with pytest.raises(ArithmeticError):
            client._getresp()
        with pytest.raises(ours.OutOfStep):
            client.noop()


class WithGetlongresp(ours.POP3):
    """Word for word as in the standard library, but that it may stop."""

    stops = False

    def _getlongresp(self):
        status = self._getresp()
        lines, octets = [], 0
        line, length = self._getline()
        while line != b".":
            if self.stops:
                raise ArithmeticError
            if line.startswith(b".."):
                line, length = line[1:], length - 1
            octets += length
            lines.append(line)
            line, length = self._getline()
        return status, lines, octets


def test_a_getlongresp_of_a_program_that_stops_leaves_a_body():
    with talking(WithGetlongresp, LATE) as (client, _):
        assert client.retr(2)[1] == [b"message 2"]
        client.stops = True
        with pytest.raises(ArithmeticError):
            client.retr(1)
        with pytest.raises(ours.OutOfStep, match="RETR 1"):
            client.stat()


def test_nor_does_what_a_message_says_pass_for_an_answer_there():
    """It takes the dot between two LFs for the end; what is behind that may not have come."""
    answers = ANSWERS | {b"RETR": [b"+OK\r\na\n.\n", 0.05, b"+OK 5 5\r\n.\r\n"], b"RETR 1": [b"+OK\na\n.\n"]}
    with talking(WithGetlongresp, answers) as (client, _):
        assert client.retr(1)[1] == [b"a"]  # LF ends lines of this server
        assert client.stat() == (7, 70)
        assert client.retr(9)[1] == [b"a"]
        with pytest.raises(ours.OutOfStep, match="RETR 9"):
            client.stat()


class WithShortcmd(ours.POP3):
    """Asks again after a timeout."""

    def _shortcmd(self, line):
        self._putcmd(line)
        for _ in range(3):
            try:
                return self._getresp()
            except TimeoutError:
                pass
        raise TimeoutError


class WithPutcmd(ours.POP3):
    """Sends by itself."""

    def _putcmd(self, line):
        self.sock.sendall(line.encode() + b"\r\n")


def test_after_a_timeout_nothing_is_read_of_which_a_part_is_lost():
    answers = ANSWERS | {b"STAT": [b"+OK 1", 0.02, b"2 3", 0.15, b"456\r\n"]}
    with talking(WithShortcmd, answers, timeout=0.1) as (client, _), pytest.raises(ours.OutOfStep, match="was read"):
        client.stat()
    answers = ANSWERS | {b"RETR": [b"+OK\r\nA\r\n", 0.02, b"B\r\n", 0.15, b"C\r\n.\r\n"]}
    with talking(ours.POP3, answers, timeout=0.1) as (client, _):
        with pytest.raises(TimeoutError):
            client.retr(9)
        for read in (client._getline, client.file.readline, client.file.read, lambda: client.file.read1(5)):
            with pytest.raises(ours.OutOfStep, match="nothing was read: an earlier failure"):
                read()
    answers = ANSWERS | {b"RETR": b"+OK\r\nhalf"}
    with talking(WithPutcmd, answers, timeout=0.1) as (client, _):
        with pytest.raises(TimeoutError):
            client.retr(9)
        with pytest.raises(ours.OutOfStep):
            client.dele(9)


def test_at_the_end_of_the_stream_a_file_reads_nothing_as_any():
    with talking(ours.POP3, ANSWERS, last=b"NOOP") as (client, _):
        client.noop()
        with pytest.raises(ours.EndOfStream):
            client._getresp()
        assert client.file.readline() == client.file.read() == b""


# Hooks of programs that are those of the standard library, word for word.


class WithGetresp(ours.POP3):
    def _getresp(self):
        line, _ = self._getline()
        if not line.startswith(b"+"):
            raise ours.error_proto(line)
        return line


class WithOldGetresp(ours.POP3):
    def _getresp(self):
        line = self.file.readline()
        if not line.startswith(b"+"):
            raise ours.error_proto(line)
        return line.rstrip()


@pytest.mark.parametrize("kind", [WithGetresp, WithOldGetresp])
def test_a_getresp_of_a_program_is_as_safe(kind):
    answers = ANSWERS | {b"NOOP": b"+OK nothing\r\n+OK stray 5\r\n"}
    with talking(kind, answers) as (client, server):
        with pytest.raises(ours.error_proto):
            client.rset()
        assert client.retr(1)[1] == [b"message 1"]
        assert client.client.state.name == "AUTHORIZATION"
        assert client.noop() == b"+OK nothing"
        server.has_said(b"stray 5\r\n")
        with pytest.raises(ours.OutOfStep, match="stray 5"):
            client.stat()


class FromElsewhere(ours.POP3):
    """Reads its lines without the file."""

    def _getline(self):
        line = b""
        while not line.endswith(b"\n"):
            line += self.sock.recv(1)
        return line[:-2], len(line)


class WithBoth(WithGetlongresp, FromElsewhere):
    pass


@pytest.mark.parametrize("kind", [FromElsewhere, WithBoth])
def test_what_is_read_from_elsewhere_was_read(kind):
    with talking(kind, ANSWERS) as (client, _):
        for number in (1, 2):
            assert client.retr(number) == (b"+OK", [b"message %d" % number], 11)
            assert client.stat() == (7, 70)
        assert client.client.state.name == "AUTHORIZATION"


def test_a_status_line_that_is_read_from_the_file_is_not_due_any_more():
    with talking(ours.POP3, ANSWERS | {b"NOOP": b"+OK nothing\r\n+OK stray 5\r\n"}) as (client, server):
        client._putcmd("STAT")
        assert client.file.readline() == b"+OK 7 70\r\n"
        assert client.client.state.name == "AUTHORIZATION"
        client.noop()
        server.has_said(b"stray 5\r\n")
        with pytest.raises(ours.OutOfStep, match="stray 5"):
            client.stat()


class HalfSent(Around):
    """A socket of which `sendall` is interrupted once it has sent a part."""

    stops = False

    def sendall(self, octets):
        if self.stops:
            self._sock.sendall(octets[:3])
            raise Stop
        self._sock.sendall(octets)


@pytest.mark.parametrize("method", ["_shortcmd", "_putcmd"])
def test_an_interrupt_within_a_command_that_is_sent_ends_the_session(method):
    for module in (theirs, ours):
        with talking(module.POP3, ANSWERS) as (client, server):
            client.noop()
            client.sock = HalfSent(client.sock)
            client.sock.stops = True
            with pytest.raises(Stop):
                getattr(client, method)("DELE 1")
            client.sock.stops = False
            with suppress(ours.error_proto):
                client.noop()
            client.sock.sendall(b"\r\nQUIT\r\n")
            server.wait_for_the_end()
            assert (b"DELNOOP" in server.heard) is (module is theirs)


def test_after_a_failure_nothing_is_sent_though_answers_are_due():
    with talking(ours.POP3, ANSWERS | {b"STAT": b"what?\r\n"}) as (client, server):
        for command in ("STAT", "NOOP"):
            client._putcmd(command)
        with pytest.raises(ours.Garbled):
            client._getresp()
        with pytest.raises(ours.OutOfStep):
            client._putcmd("DELE 1")
        client.sock.sendall(b"QUIT\r\n")
        server.wait_for_the_end()
        assert b"DELE 1" not in server.heard


def test_a_getline_of_a_program_that_raises_in_a_body_leaves_the_rest():
    with talking(raising(ours, "_getline", before=True), LATE) as (client, _):
        lines = client._getline

        def getline():
            client.armed = client.file.due == 0 and status
            status.append(True)
            return lines()

        status = []
        client._getline = getline
        with pytest.raises(ArithmeticError):
            client.retr(1)
        with pytest.raises(ours.OutOfStep):
            client.stat()
