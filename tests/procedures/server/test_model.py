"""The server against a naive model of one that is written from the RFCs: whatever is said, in whatever pieces.

The model reads whole lines and knows nothing of the code: numbers are counted, sizes added up and dots stuffed line
by line. Hypothesis lets two clients at one maildrop say anything, legal and illegal, hang up and come back, while the
store fails now and then. Every reply, the state, the lock and what is left in the maildrop must be the model's.
"""

import base64
import re

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pop3proto.core.limits import Limits
from pop3proto.core.server import ServerConnection
from pop3proto.procedures.maildrop import Refused, Unavailable
from pop3proto.procedures.server.deadlines import Deadlines
from pop3proto.sasl.mechanism import MechanismError
from pop3proto.sasl.saslprep import prepare
from tests.helpers.depth import deep
from tests.helpers.drivers import FakeStore, Serving
from tests.helpers.strategies import chunkings, messages, near_commands

BAD_COMMANDS = 5
BAD_AFTER_LOGIN = 8
PATIENT = Deadlines(login=100_000)  # failed logins make the next ones wait, and the model knows no time
LOGIN_ATTEMPTS = 4
OK, ERR = "+OK", "-ERR"
NUMBER = re.compile(rb"[0-9]{1,20}")
BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
VERBS = set(b"USER PASS AUTH APOP UTF8 LANG CAPA QUIT STAT LIST UIDL RETR TOP DELE NOOP RSET".split())
CAPABILITIES = {
    *(b"TOP", b"UIDL", b"USER", b"SASL PLAIN LOGIN", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING"),
    b"IMPLEMENTATION pop3proto",
}

# ----------------------------------------------------------------------------------------------- the model


def wire_lines(message):
    """The lines of a message without their ends: each ends with CRLF or LF; the last need not end at all."""
    lines, line = [], bytearray()
    for octet in message:
        if octet == ord("\n"):
            if line.endswith(b"\r"):
                line.pop()
            lines.append(bytes(line))
            line.clear()
        else:
            line.append(octet)
    return lines + ([bytes(line)] if line else [])


def size(message):
    return sum(len(line) + 2 for line in wire_lines(message))


def body(lines):
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"


def prepared(octets):
    """A name or password as it is compared; empty if it can be none. (RFC 4013 has tests of its own.)"""
    try:
        return prepare(octets.decode(), stored=False)
    except (UnicodeDecodeError, MechanismError):
        return ""


class Mailbox:
    """What is in the store, who has it open, and what goes wrong with it."""

    def __init__(self, mail):
        self.mail = dict(enumerate(mail, 1))
        self.owner = None
        self.closed = False
        self.unreadable = set()
        self.commit_fails = False


class Model:
    """One session. `hear` takes a line and returns (status, response code, text or None, body or None)."""

    def __init__(self, mailbox):
        self.mailbox = mailbox
        self.state = "AUTHORIZATION"
        self.user = None
        self.hear_data = None
        self.bad = self.failed = 0

    def hear(self, line):
        if self.state == "SASL":
            return self.hear_response(line)
        if len(line) + 2 > (12_288 if line[:5].upper() == b"AUTH " else 255) or set(line) & set(b"\0\r\n"):
            return self.refuse()
        verb, _, rest = line.partition(b" ")
        verb = verb.upper()
        if verb != b"PASS":
            rest = rest.rstrip(b" ")
        if verb not in VERBS:
            return self.refuse()
        before = self.bad
        answer = getattr(self, f"hear_{verb.decode().lower()}")(rest)
        self.bad = 0 if self.bad == before else self.bad
        return answer

    @property
    def early(self):
        """Whether nobody is logged in, and no exchange under way."""
        return self.state in ("AUTHORIZATION", "USER_GIVEN")

    def refuse(self):
        """It is no command, or not one for this state: RFC 1939 section 3. PASS follows USER at once: section 7."""
        self.bad += 1
        most = BAD_AFTER_LOGIN if self.state == "TRANSACTION" else BAD_COMMANDS
        if self.state in ("USER_GIVEN", "SASL"):
            self.state = "AUTHORIZATION"
        if self.bad >= most:
            self.hang_up()
        return (ERR, None, None, None)

    def hang_up(self):
        self.state = "CLOSED"
        if self.mailbox.owner is self:
            self.mailbox.owner = None

    # AUTHORIZATION

    def hear_user(self, rest):
        if not self.early or not rest or rest.startswith(b" "):
            return self.refuse()
        self.user, self.state = rest, "USER_GIVEN"
        return (OK, None, None, None)

    def hear_pass(self, rest):
        if self.state != "USER_GIVEN" or not rest:
            return self.refuse()
        return self.log_in(self.user, rest)

    def hear_auth(self, rest):
        mechanism, blank, response = rest.partition(b" ")
        named = re.fullmatch(rb"[A-Za-z0-9_-]{1,20}", mechanism)
        encoded = response == b"=" or (response and BASE64.fullmatch(response))
        if not self.early or (rest and not named) or (blank and not encoded):
            return self.refuse()
        if not rest:
            return (OK, None, None, b"PLAIN\r\nLOGIN\r\n.\r\n")
        self.state = "AUTHORIZATION"  # a name from USER is forgotten
        match (mechanism.upper(), blank):
            case (b"PLAIN", b" "):
                return self.plain(b"" if response == b"=" else base64.b64decode(response))
            case (b"PLAIN", b""):
                return self.challenge(b"", self.plain)
            case (b"LOGIN", b""):
                return self.challenge(b"Username:", self.login)
            case (b"LOGIN", b" "):  # it takes no initial response
                return self.fail(None)
        return (ERR, None, None, None)

    def challenge(self, data, hear_data):
        self.state, self.hear_data = "SASL", hear_data
        return ("+", None, base64.b64encode(data), None)

    def hear_response(self, line):
        if len(line) + 2 > 12_288:
            self.bad = BAD_COMMANDS
        if line == b"*":
            self.state = "AUTHORIZATION"
            return (ERR, None, None, None)
        if not BASE64.fullmatch(line) or self.bad >= BAD_COMMANDS:
            return self.refuse()
        return self.hear_data(base64.b64decode(line))

    def login(self, user):
        self.state = "AUTHORIZATION"
        if not prepared(user):
            return self.fail(None)
        return self.challenge(b"Password:", lambda password: self.log_in(user, password))

    def plain(self, message):
        self.state = "AUTHORIZATION"
        parts = message.split(b"\0")
        if len(parts) != 3 or (parts[0] and not prepared(parts[0])):
            return self.fail(None)
        return self.log_in(parts[1], parts[2], parts[0])

    def log_in(self, user, password, other=b""):
        """What makes no sense is refused; of what is wrong the client is told so (RFC 3206 section 5)."""
        self.state = "AUTHORIZATION"
        if not prepared(user) or password != password.decode("utf-8", "ignore").encode():
            return self.fail(None)
        if (prepared(user), prepared(password)) != ("ann", "tanstaaf") or prepared(other) not in ("", "ann"):
            return self.fail("AUTH")
        if self.mailbox.closed:
            return (ERR, "SYS/TEMP", None, None)
        if self.mailbox.owner is not None:
            return (ERR, "IN-USE", None, None)
        self.mailbox.owner = self
        self.state = "TRANSACTION"
        self.serials = list(self.mailbox.mail)
        self.messages = dict(enumerate(self.mailbox.mail.values(), 1))
        self.deleted, self.retrieved = set(), set()
        return (OK, None, None, None)

    def fail(self, code):
        """Both what is wrong and what makes no sense counts."""
        self.failed += 1
        if self.failed >= LOGIN_ATTEMPTS:
            self.hang_up()
        return (ERR, code, None, None)

    def hear_apop(self, rest):
        name, _, digest = rest.rpartition(b" ")
        right = name == name.strip(b" ") and name and re.fullmatch(rb"[0-9A-Fa-f]{32}", digest)
        return self.not_here(self.early, well_formed=right, forgets=True)

    def hear_utf8(self, rest):
        return self.not_here(self.early, well_formed=not rest, forgets=True)

    def hear_lang(self, rest):
        well_formed = not rest or re.fullmatch(rb"\*|[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*", rest)
        return self.not_here(self.early or self.state == "TRANSACTION", well_formed=well_formed)

    def not_here(self, legal, *, well_formed, forgets=False):
        """A command that this server knows, and does not do."""
        if not well_formed or not legal:
            return self.refuse()
        if forgets:
            self.state = "AUTHORIZATION"
        return (ERR, None, None, None)

    # Both.

    def hear_capa(self, rest):
        if rest or not (self.early or self.state == "TRANSACTION"):
            return self.refuse()
        return (OK, None, None, CAPABILITIES)

    def hear_quit(self, rest):
        if rest:
            return self.refuse()
        failed = False
        if self.state == "TRANSACTION":
            failed = self.mailbox.commit_fails
            for number in self.deleted if not failed else ():
                del self.mailbox.mail[self.serials[number - 1]]
        self.hang_up()
        return (ERR if failed else OK, "SYS/PERM" if failed else None, None, None)

    # TRANSACTION

    def left(self):
        return {number: message for number, message in self.messages.items() if number not in self.deleted}

    def number(self, octets):
        return int(octets) if NUMBER.fullmatch(octets) and int(octets) else None

    def about(self, rest, answer):
        """Refuse a number that is none, and one of no message; else answer."""
        number = self.number(rest)
        if self.state != "TRANSACTION" or number is None:
            return self.refuse()
        return answer(number) if number in self.left() else (ERR, None, None, None)

    def hear_stat(self, rest):
        if rest or self.state != "TRANSACTION":
            return self.refuse()
        sizes = [size(message) for message in self.left().values()]
        return (OK, None, b"%d %d" % (len(sizes), sum(sizes)), None)

    def hear_list(self, rest):
        return self.listing(rest, lambda number: b"%d %d" % (number, size(self.messages[number])))

    def hear_uidl(self, rest):
        return self.listing(rest, lambda number: b"%d id.%d" % (number, self.serials[number - 1]))

    def listing(self, rest, row):
        if rest:
            return self.about(rest, lambda number: (OK, None, row(number), None))
        if self.state != "TRANSACTION":
            return self.refuse()
        return (OK, None, None, body(map(row, self.left())))

    def hear_retr(self, rest):
        def retrieve(number):
            if number in self.mailbox.unreadable:
                return (ERR, "SYS/TEMP", None, None)
            self.retrieved.add(number)
            return (OK, None, None, body(wire_lines(self.messages[number])))

        return self.about(rest, retrieve)

    def hear_top(self, rest):
        rest, _, count = rest.partition(b" ")

        def top(number):
            if number in self.mailbox.unreadable:
                return (ERR, "SYS/TEMP", None, None)
            lines = wire_lines(self.messages[number])
            header = lines.index(b"") + 1 if b"" in lines else len(lines)
            return (OK, None, None, body(lines[: header + int(count)]))

        # However many lines: the whole message is all there is (RFC 1939 section 7).
        return self.about(rest, top) if re.fullmatch(rb"[0-9]+", count) else self.refuse()

    def hear_dele(self, rest):
        def delete(number):
            self.deleted.add(number)
            return (OK, None, None, None)

        return self.about(rest, delete)

    def hear_noop(self, rest):
        return self.refuse() if rest or self.state != "TRANSACTION" else (OK, None, None, None)

    def hear_rset(self, rest):
        if rest or self.state != "TRANSACTION":
            return self.refuse()
        self.deleted.clear()
        self.retrieved.clear()
        return (OK, None, None, None)


# --------------------------------------------------------------------------------------------- the machine

small = st.integers(0, 5).map(lambda number: b"%d" % number) | st.sampled_from(
    [b"", b"007", b"-1", b"+1", b"1abc", b"9" * 20, b"9" * 21, b"9223372036854775808", b"1 2", b"\xd9\xa1"]
)
numbered = st.builds(b"%b %b".__mod__, st.tuples(st.sampled_from([b"LIST", b"UIDL", b"RETR", b"DELE"]), small))
tops = st.builds(b"TOP %b %b".__mod__, st.tuples(small, small))
plain_messages = st.builds(
    b"%b\0%b\0%b".__mod__,
    st.tuples(
        st.sampled_from([b"", b"", b"ann", b"bob"]),
        st.sampled_from([b"ann", b"ann", b"", b"bob", b"an\rn", b"\xff"]),
        st.sampled_from(
            [b"tanstaaf", b"tanstaaf", b"", b"wrong", b"a\0b", b"tans\ttaaf", b"\xff", b"tans\xc2\xadtaaf"]
        ),
    ),
)
encoded = plain_messages.map(base64.b64encode) | st.sampled_from(
    [b"", b"=", b"*", b"AAA", b"AA=A", b"====", b"AAAA===="]
)
names_and_passwords = st.sampled_from(
    [b"YW5u", b"YW5u", b"dGFuc3RhYWY=", b"dGFuc3RhYWY=", b"", b"QUIT", b"*", b"YW4J", b"/w=="]
)
auths = st.one_of(
    encoded.map(b"AUTH PLAIN ".__add__),
    encoded.map(b"auth plain\r\n".__add__),
    st.lists(names_and_passwords, max_size=2).map(lambda said: b"\r\n".join([b"AUTH LOGIN", *said])),
    st.sampled_from(
        [
            b"AUTH",
            b"AUTH ",
            b"AUTH LOGIN =",
            b"AUTH LOGIN YW5u",
            b"AUTH X",
            b"AUTH X AAAA",
            b"AUTH " + b"X" * 21,
            b"AUTH PLAIN " + b"A" * 300,
        ]
    ),
)
logins = st.sampled_from([b"ann", b"ann ", b"ann", b"bob", b" ann", b""]).flatmap(
    lambda name: st.sampled_from([b"tanstaaf", b"tanstaaf", b"wrong", b"tanstaaf ", b""]).map(
        lambda password: b"USER %b\r\nPASS %b" % (name, password)
    )
)
plain_verbs = st.sampled_from(
    [
        *(b"STAT", b"LIST", b"UIDL", b"RSET", b"NOOP", b"CAPA", b"noop ", b"Stat  ", b"QUIT x", b"CAPA x", b"NOOP\t"),
        *(b"USER ann", b"PASS tanstaaf", b"LANG", b"LANG en", b"LANG -", b"UTF8"),
        *(b"APOP ann " + b"0" * 32, b"APOP ann x"),
    ]
)
# Octets behind STLS end the session (RFC 2595), so that the cut would matter: test_server has that.
rubbish = (
    near_commands | st.sampled_from([b"x" * 300, b"PASS " + b"x" * 300, b"GET / HTTP/1.1", b"", b"\r", b"\0"])
).filter(lambda octets: b"STLS" not in octets.upper())
LOGIN_PLAIN = b"AUTH PLAIN " + base64.b64encode(b"\0ann\0tanstaaf")
LOGIN_FOR_ANOTHER = b"AUTH PLAIN " + base64.b64encode(b"bob\0ann\0tanstaaf")
present = st.integers(1, 3).map(lambda number: b"%d" % number)
sensible = st.one_of(
    st.builds(b"%b %b".__mod__, st.tuples(st.sampled_from([b"DELE", b"DELE", b"RETR", b"LIST", b"UIDL"]), present)),
    st.builds(b"TOP %b %b".__mod__, st.tuples(present, st.sampled_from([b"0", b"1", b"9"]))),
    st.sampled_from([b"STAT", b"RSET", b"LIST", b"UIDL", b"NOOP", b"CAPA"]),
)
in_session = st.one_of(numbered, numbered, numbered, tops, plain_verbs)
lines = st.one_of(in_session, in_session, auths, logins, rubbish)
sessions = st.integers(0, 1)


class Wire:
    """One client: what it has typed and not sent yet, its server, and the model of that."""

    def __init__(self, store, mailbox):
        limits = Limits(bad_commands=BAD_COMMANDS, bad_commands_after_login=BAD_AFTER_LOGIN)
        connection = ServerConnection(limits=limits)
        self.serving = Serving(store, connection=connection, login_attempts=LOGIN_ATTEMPTS, deadlines=PATIENT).greeted()
        self.model = Model(mailbox)
        self.typed = b""
        self._line = b""

    def deliver(self, chunks):
        """Send chunks; after each, the replies must be those that the model gives to the lines that are complete."""
        for chunk in chunks:
            replies = self.serving.ask(chunk)
            *complete, self._line = (self._line + chunk).split(b"\n")
            for line in complete:
                if self.model.state != "CLOSED":
                    whole = line.endswith(b"\r")
                    expected = self.model.hear(line[:-1]) if whole else self.model.refuse()
                    replies = self.check(line, expected, replies)
            assert replies == b"", "more than was asked for"
            self.check_state()

    def check(self, line, expected, replies):
        status, code, text, content = expected
        reply, crlf, replies = replies.partition(b"\r\n")
        assert crlf, f"no answer to {line!r}"
        word, _, said = reply.partition(b" ")
        assert word.decode() == status, (line, reply)
        match = re.match(rb"\[([^]]*)\]", said)
        assert (match[1].decode() if match else None) == code, (line, reply)
        if text is not None:
            assert said == text, (line, reply)
        if isinstance(content, set):
            block, end, replies = replies.partition(b"\r\n.\r\n")
            assert end, (line, block)
            assert sorted(block.split(b"\r\n")) == sorted(content)
        elif content is not None:
            assert replies.startswith(content), (line, replies)
            replies = replies[len(content) :]
        return replies

    def check_state(self):
        assert self.serving.connection.state.name == self.model.state
        assert self.serving.actor.finished == (self.model.state == "CLOSED")


class Server(RuleBasedStateMachine):
    @initialize(mail=st.lists(messages | messages.map(b"A: b\n\n".__add__), max_size=4))
    def begin(self, mail):
        self.store = FakeStore(*mail)
        self.mailbox = Mailbox(mail)
        self.wires = [Wire(self.store, self.mailbox) for _ in range(2)]
        self.sent = len(mail)

    def settle(self, wire):
        """What a session that has ended did to the store."""
        if wire.model.state == "CLOSED":
            assert wire.serving.actor.outcome() is None

    @rule(which=sessions, script=st.lists(sensible, min_size=1, max_size=6), data=st.data())
    def go_about_it(self, which, script, data):
        """What a client does that has nothing else in mind: come, log in, look, delete, and think again."""
        wire = self.wires[which]
        if wire.model.state == "CLOSED":
            wire = self.wires[which] = Wire(self.store, self.mailbox)
        if wire.model.state != "TRANSACTION":
            script = [
                data.draw(st.sampled_from([b"USER ann\r\nPASS tanstaaf", LOGIN_PLAIN, LOGIN_FOR_ANOTHER])),
                *script,
            ]
        octets = b"".join(line + b"\r\n" for line in script)
        wire.deliver(data.draw(chunkings(wire.typed + octets)))
        wire.typed = b""
        self.settle(wire)

    @rule(which=sessions, line=lines)
    def type(self, which, line):
        self.wires[which].typed += line + b"\r\n"

    @rule(which=sessions)
    def log_in(self, which):
        self.wires[which].typed += b"USER ann\r\nPASS tanstaaf\r\n"

    @rule(which=sessions, script=st.lists(in_session, min_size=2, max_size=6))
    def type_more(self, which, script):
        self.wires[which].typed += b"".join(line + b"\r\n" for line in script)

    @rule(which=sessions, data=st.data(), back=st.integers(0, 3))
    def send(self, which, data, back):
        """Send what was typed, but for the last few octets, perhaps: half a line, half a CRLF."""
        wire = self.wires[which]
        cut = max(len(wire.typed) - back, 0)
        now, wire.typed = wire.typed[:cut], wire.typed[cut:]
        wire.deliver(data.draw(chunkings(now)))
        self.settle(wire)

    @rule(which=sessions, data=st.data())
    def quit(self, which, data):
        wire = self.wires[which]
        typed, wire.typed = wire.typed + b"QUIT\r\n", b""
        in_transaction = len(self.store.commits)
        wire.deliver(data.draw(chunkings(typed)))
        self.settle(wire)
        if len(self.store.commits) > in_transaction:
            assert self.store.commits[-1] == (wire.model.deleted, wire.model.retrieved)

    @rule(which=sessions)
    def hang_up(self, which):
        wire = self.wires[which]
        wire.serving.actor.receive(b"")
        wire.model.hang_up()
        assert wire.serving.actor.take() == b""
        wire.check_state()
        self.settle(wire)

    @rule(which=sessions)
    def come_back(self, which):
        if self.wires[which].model.state == "CLOSED":
            self.wires[which] = Wire(self.store, self.mailbox)

    @rule(message=messages)
    @precondition(lambda self: self.sent < 6)
    def a_message_arrives(self, message):
        """A session that has the maildrop open does not see it (RFC 1939 section 4)."""
        self.sent += 1
        self.store.contents[self.sent] = self.mailbox.mail[self.sent] = message

    @rule(closed=st.booleans())
    def the_store_is_closed(self, closed):
        self.mailbox.closed = closed
        self.store.failures.pop("open", None)
        if closed:
            self.store.failures["open"] = Unavailable("closed for an hour")

    @rule(number=st.integers(1, 4), unreadable=st.booleans(), late=st.booleans())
    def a_message_is_unreadable(self, number, unreadable, late):
        self.mailbox.unreadable.discard(number)
        self.store.breaks_at.pop(number, None)
        self.store.failures.pop(f"open {number}", None)
        if unreadable:
            self.mailbox.unreadable.add(number)
            if late:
                self.store.breaks_at[number] = 0
            else:
                self.store.failures[f"open {number}"] = OSError("permission denied")

    @rule(fails=st.booleans())
    def the_store_does_not_commit(self, fails):
        self.mailbox.commit_fails = fails
        self.store.failures.pop("commit", None)
        if fails:
            self.store.failures["commit"] = Refused("[SYS/PERM] the disk is read-only")

    @invariant()
    def the_store_is_as_the_model_says(self):
        if not hasattr(self, "store"):
            return
        assert self.store.contents == self.mailbox.mail
        assert self.store.locked == (self.mailbox.owner is not None)
        assert sum(count == 0 for count in self.store.closings) == self.store.locked
        assert max(self.store.closings, default=0) <= 1
        assert all(source.closings for source in self.store.sources)

    def teardown(self):
        for wire in getattr(self, "wires", ()):
            wire.serving.actor.receive(b"")
            wire.model.hang_up()
        self.the_store_is_as_the_model_says()


TestServer = Server.TestCase
TestServer.settings = settings(max_examples=deep(200, 25), stateful_step_count=40)


# ------------------------------------------------------------------------------------- the model, looked at


def test_the_model_counts_and_stuffs_as_the_rfc_does():
    assert size(b"") == 0
    assert size(b"a") == size(b"a\n") == size(b"a\r\n") == 3
    assert size(b"a\r") == 4
    assert size(b"\n\n") == 4
    assert body(wire_lines(b".a\n..\nb\r")) == b"..a\r\n...\r\nb\r\r\n.\r\n"
    assert body([]) == b".\r\n"
