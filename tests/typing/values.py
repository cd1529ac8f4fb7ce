"""Values are frozen, and made of what they say."""

from pop3proto import (
    STANDARD,
    BodyDecoder,
    BodyEncoder,
    ClientConnection,
    Limits,
    ListOne,
    MaildropStatus,
    Ok,
    PlainCommand,
    Quirk,
    Retr,
    ServerConnection,
    Stat,
    State,
    Top,
    User,
)


def commands() -> None:
    Retr(1)
    Retr("1")  # error
    Retr()  # error
    ListOne(b"1")  # error
    Top(1, 10)
    Top(1)  # error
    Stat(1)  # error
    User(b"ann")  # error


def nothing_is_assigned(command: Retr, status: MaildropStatus, reply: Ok, limits: Limits) -> None:
    command.number = 2  # error
    status.count = 3  # error
    reply.text = "other"  # error
    limits.reply_line = 1  # error
    command.nmuber  # error


def nothing_is_found_out_by_accident(connection: ClientConnection) -> None:
    connection.tls = True  # error
    connection.state = "CLOSED"  # error


def connections() -> None:
    ClientConnection()
    ClientConnection(limits=Limits(), quirks={Quirk.NO_PIPELINING}, tls=True)
    ServerConnection(limits=Limits(), quirks=frozenset(), tls=False)
    ClientConnection(Limits())  # error
    ClientConnection(quirks={"NO_PIPELINING"})  # error
    ClientConnection(limit=Limits())  # error


def codec() -> None:
    octets: bytes = BodyDecoder().feed(b"text\r\n")
    octets = BodyEncoder().feed(bytearray(b"text"))
    octets = BodyEncoder(bare_cr="crlf").finish()
    BodyDecoder().feed("text")  # error
    BodyEncoder(bare_cr="lf")  # error


class Ping(PlainCommand):
    verb = "XPING"
    legal_in = frozenset({State.TRANSACTION})


class Pong(PlainCommand):
    verb = b"XPONG"  # error
    legal_in = {"TRANSACTION"}  # error


def a_private_verb() -> None:
    ServerConnection(commands=STANDARD | {Ping})
    ServerConnection(commands={Ping, Stat})
    ServerConnection(commands=STANDARD | {"XPING"})  # error
    ServerConnection(commands={Ping()})  # error
