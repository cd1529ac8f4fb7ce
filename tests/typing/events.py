"""`next_event()` is narrowed by `is` and by `match`, and a `match` that forgets something fails."""

from typing import assert_never, assert_type

from pop3proto import (
    NEED_DATA,
    PAUSED,
    Answer,
    AuthCancel,
    AuthResponse,
    BadChallenge,
    BadCommand,
    BodyChunk,
    BodyEnd,
    Challenge,
    ClientConnection,
    ClientEvent,
    Command,
    ConnectionClosed,
    Err,
    Farewell,
    Greeting,
    Ok,
    Retr,
    ServerConnection,
    ServerEvent,
    Signal,
    Tolerated,
)


def narrows_by_is(connection: ClientConnection) -> ClientEvent:
    event = connection.next_event()
    assert_type(event, ClientEvent | Signal)
    while event is NEED_DATA:
        connection.receive_data(b"+OK\r\n")
        event = connection.next_event()
    if event is PAUSED:
        raise RuntimeError
    assert_type(event, ClientEvent)
    return event


def narrows_on_the_server(connection: ServerConnection) -> ServerEvent:
    event = connection.next_event()
    if event is NEED_DATA or event is PAUSED:
        raise RuntimeError
    assert_type(event, ServerEvent)
    return event


def narrows_by_half(connection: ClientConnection) -> ClientEvent:
    event = connection.next_event()
    if event is NEED_DATA:
        raise RuntimeError
    return event  # error


def does_not_narrow(connection: ClientConnection) -> bytes:
    return connection.next_event().data  # error


def client(connection: ClientConnection) -> str:
    match connection.next_event():
        case Signal.NEED_DATA | Signal.PAUSED:
            return "waiting"
        case Greeting(reply=reply) | Farewell(reply=reply):
            return reply.text
        case Answer(command=command, reply=Ok(text=text)):
            assert_type(command, Command[object])
            return text
        case Answer(reply=Err() as reply):
            return reply.text
        case Answer():
            return "neither"
        case Challenge(data=data) | BodyChunk(data=data):
            assert_type(data, bytes)
            return data.decode()
        case BadChallenge(octets=octets):
            assert_type(octets, bytes)
            return "not base64"
        case BodyEnd() | ConnectionClosed():
            return "end"
        case Tolerated(quirk=quirk):
            return quirk.value
        case _ as unreachable:
            assert_never(unreachable)


def client_forgets_paused(connection: ClientConnection) -> str:
    match connection.next_event():
        case Signal.NEED_DATA:
            return "waiting"
        case Greeting() | Farewell() | Answer() | Challenge() | BadChallenge():
            return "line"
        case BodyChunk() | BodyEnd() | ConnectionClosed():
            return "end"
        case _ as forgotten:
            assert_never(forgotten)  # error


def client_forgets_farewell(connection: ClientConnection) -> str:
    match connection.next_event():
        case Signal.NEED_DATA | Signal.PAUSED:
            return "waiting"
        case Greeting() | Answer() | Challenge() | BadChallenge():
            return "line"
        case BodyChunk() | BodyEnd() | ConnectionClosed():
            return "end"
        case _ as forgotten:
            assert_never(forgotten)  # error


def client_reads_all_that_there_is(connection: ClientConnection) -> None:
    for event in connection.events():
        assert_type(event, ClientEvent)


def server(connection: ServerConnection) -> str:
    match connection.next_event():
        case Signal.NEED_DATA | Signal.PAUSED:
            return "waiting"
        case Retr(number=number):
            assert_type(number, int)
            return "a message"
        case Command():
            return "another command"
        case AuthResponse(data=data):
            assert_type(data, bytes)
            return "a response"
        case AuthCancel():
            return "a response"
        case BadCommand(reply=reply):
            assert_type(reply, Err)
            return reply.text
        case ConnectionClosed():
            return "end"
        case Tolerated(quirk=quirk):
            return quirk.value
        case _ as unreachable:
            assert_never(unreachable)


def server_forgets_bad_commands(connection: ServerConnection) -> str:
    match connection.next_event():
        case Signal.NEED_DATA | Signal.PAUSED:
            return "waiting"
        case Command() | AuthResponse() | AuthCancel() | ConnectionClosed():
            return "something"
        case _ as forgotten:
            assert_never(forgotten)  # error


def an_answer_is_yes_or_no(answer: Answer) -> str:
    match answer.reply:
        case Ok():
            return "yes"
        case Err():
            return "no"
        case _ as unreachable:
            assert_never(unreachable)


def what_a_client_sends(connection: ClientConnection) -> None:
    assert_type(connection.send(Retr(1)), bytes)
    connection.send(AuthResponse(b""))
    connection.send(AuthCancel())
    connection.send(Ok("a reply"))  # error
    connection.send(b"RETR 1\r\n")  # error
    connection.send(Retr)  # error


def what_a_server_sends(connection: ServerConnection) -> None:
    assert_type(connection.send(Ok("ready")), bytes)
    connection.send(Greeting(Ok("ready")))
    connection.send(Challenge(b""))
    connection.send(BodyChunk(b"text"))
    connection.send(BodyEnd())
    connection.send(Retr(1))  # error
    connection.send("+OK")  # error


def what_comes_in(connection: ClientConnection) -> None:
    connection.receive_data(bytearray(b"+OK"))
    connection.receive_data(memoryview(b"+OK"))
    connection.receive_data("+OK")  # error
