"""Connections that have come to a state, and ways to look at all of one."""

from collections import deque
from itertools import islice

from pop3proto.core.client import ClientConnection
from pop3proto.core.commands import (
    Apop,
    Auth,
    AuthList,
    Capa,
    Dele,
    Lang,
    LangList,
    List,
    ListOne,
    Noop,
    Pass,
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
)
from pop3proto.core.dots import BodyDecoder, BodyEncoder
from pop3proto.core.events import Answer, AuthCancel, AuthResponse
from pop3proto.core.lines import ReceiveBuffer
from pop3proto.core.replies import Challenge, Greeting, Ok
from pop3proto.core.server import ServerConnection
from pop3proto.core.states import State

ONE_OF_EACH = (
    *(User("ann"), Pass("tanstaaf"), Apop("ann", "0" * 32), Auth("PLAIN"), AuthList(), Stls(), Utf8()),
    *(Capa(), Lang("en"), LangList(), Quit()),
    *(Stat(), List(), ListOne(1), Uidl(), UidlOne(1), Retr(1), Top(1, 0), Dele(1), Noop(), Rset()),
)
"""One of each standard command."""

REQUESTS = (*ONE_OF_EACH, AuthResponse(b"secret"), AuthCancel())
"""One of each thing that a client may send."""

ENDLESS = 10_000
"""More events than any test has."""

_WAY = {
    State.GREETING: (),
    State.AUTHORIZATION: (),
    State.USER_GIVEN: ((User("ann"), Ok()),),
    State.SASL: ((Auth("PLAIN"), Challenge()),),
    State.TLS_HANDSHAKE: ((Stls(), Ok()),),
    State.TRANSACTION: ((User("ann"), Ok()), (Pass("tanstaaf"), Ok())),
    State.UPDATE: ((User("ann"), Ok()), (Pass("tanstaaf"), Ok()), (Quit(), None)),
    State.CLOSED: ((Quit(), Ok()),),
}


def client_in(state, **arguments):
    """A client's connection in a state; in UPDATE it has sent QUIT and waits for the answer."""
    connection = ClientConnection(**arguments)
    if state is State.GREETING:
        return connection
    connection.receive_data(b"+OK ready\r\n")
    assert connection.next_event() == Greeting(Ok("ready"))
    for command, reply in _WAY[state]:
        assert connection.send(command) == command.encode()
        if reply is not None:
            connection.receive_data(reply.encode())
            assert connection.next_event() == (reply if isinstance(reply, Challenge) else Answer(command, reply))
    assert connection.state is (State.TRANSACTION if state is State.UPDATE else state)
    return connection


def server_in(state, **arguments):
    """A server's connection in a state; nothing is due, except in UPDATE the answer to QUIT."""
    connection = ServerConnection(**arguments)
    if state is State.GREETING:
        return connection
    assert connection.send(Greeting(Ok("ready"))) == b"+OK ready\r\n"
    for command, reply in _WAY[state]:
        connection.receive_data(command.encode())
        assert connection.next_event() == command
        if reply is not None:
            assert connection.send(reply) == reply.encode()
    assert connection.state is state
    return connection


def everything(connection):
    """All that a connection keeps, as values that compare and do not change with it."""
    return {name: _value(value) for name, value in vars(connection).items()}


def _value(value):
    if isinstance(value, ReceiveBuffer | BodyDecoder | BodyEncoder | Vocabulary):
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        return {name: _value(getattr(value, name)) for name in slots}
    if isinstance(value, bytearray | deque | dict):
        return type(value)(value)
    return value


def take(connection, *chunks):
    """Feed a connection, and return its events and the signal behind them."""
    for chunk in chunks:
        connection.receive_data(chunk)
    events = list(islice(connection.events(), ENDLESS))
    assert len(events) < ENDLESS
    return [*events, connection.next_event()]


def in_pieces(octets):
    """The octets in one piece, and one at a time."""
    return [[octets], [octets[at : at + 1] for at in range(len(octets))]]
