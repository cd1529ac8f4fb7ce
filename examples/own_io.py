"""POP3 over the pipes of another program: all it takes is a driver, thirty lines, that performs procedures.

A procedure is a generator that yields operations, and `perform` performs them; a GUI toolkit or another event loop
would do the same from its callbacks. Here a program leads to the server, and the header of each message is printed:

POP3_PASSWORD=tanstaaf python own_io.py ann openssl s_client -quiet -verify_return_error -connect pop.example.org:995
"""

import argparse
import os
import secrets
import select
import time
from getpass import getpass
from subprocess import PIPE, Popen
from typing import IO, TypeVar, cast

from pop3proto import ClientConnection, ConnectionLost, Pop3Error, TimedOut, Top, Uidl
from pop3proto.procedures import (
    Look,
    Now,
    Operation,
    Procedure,
    Random,
    Read,
    Run,
    Session,
    Write,
    call,
    establish,
    login,
    quit_session,
)
from pop3proto.sasl import Password

T = TypeVar("T")


def perform(procedure: Procedure[T], reader: IO[bytes], writer: IO[bytes]) -> T:
    """Run a procedure to its end. It is never left half-way: it is told of errors, and may have something to do yet."""
    result: object = None
    error: BaseException | None = None
    try:
        while True:
            operation = procedure.send(result) if error is None else procedure.throw(error)
            try:
                result, error = do(operation, reader, writer), None
            except BrokenPipeError:
                error = ConnectionLost("the program reads no more")
            except BaseException as raised:
                error = raised
    except StopIteration as end:
        return cast("T", end.value)


def do(operation: Operation[object], reader: IO[bytes], writer: IO[bytes]) -> object:
    """Perform one operation."""
    match operation:
        case Read(until):
            if not select.select([reader], [], [], until and max(until - time.monotonic(), 0))[0]:
                raise TimedOut("the server said nothing in time")
            return os.read(reader.fileno(), 65_536)
        case Look():
            return os.read(reader.fileno(), 65_536) if select.select([reader], [], [], 0)[0] else None
        case Write(octets):
            return writer.write(octets)
        case Now():
            return time.monotonic()
        case Random(count):
            return secrets.token_bytes(count)
        case Run():
            return operation.call()
        case _:  # Sleep is for servers, and StartTls the program's business
            raise ConnectionLost(f"{type(operation).__name__} is not to be had here")


def show(session: Session, user: str, password: str) -> Procedure[None]:
    """Print the header of each message: a procedure of one's own, made of those of the library."""
    yield from establish(session, "none")
    yield from login(session, Password(user, password))
    for number in (yield from call(session, Uidl())):
        header = yield from call(session, Top(number, 0))
        print(f"--- {number}\n{header.decode(errors='replace')}", end="")
    yield from quit_session(session)


def main() -> None:
    """Read the arguments, start the program, and show what there is."""
    parser = argparse.ArgumentParser(description="Show headers through the pipes of a program.")
    parser.add_argument("user")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    password = os.environ.pop("POP3_PASSWORD", None) or getpass()  # the program need not know it
    # Nobody but the program knows whether the way is safe; whoever names it here says that it is.
    session = Session(ClientConnection(), cleartext="always", timeout=60)
    with Popen(arguments.program, stdin=PIPE, stdout=PIPE, bufsize=0) as program:  # nothing waits in this process
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            perform(show(session, arguments.user, password), program.stdout, program.stdin)
        except Pop3Error as error:
            raise SystemExit(str(error)) from error
        finally:
            program.kill()


if __name__ == "__main__":
    main()
