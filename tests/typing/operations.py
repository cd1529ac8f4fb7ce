"""What `yield from` returns follows from the operation."""

from typing import assert_type

from pop3proto.procedures.operations import Now, Procedure, Random, Read, Run, Sleep, StartTls, Write
from pop3proto.sasl.channel import TlsInfo


def half(text: str, *, rounded: bool) -> int | float:
    return len(text) // 2 if rounded else len(text) / 2


def procedure() -> Procedure[bytes]:
    octets = yield from Read()
    assert_type(octets, bytes)
    assert_type((yield from Read(until=10.5)), bytes)
    assert_type((yield from Now()), float)
    assert_type((yield from Run(half, "text", rounded=True)), int | float)
    assert_type((yield from StartTls(b"+OK\r\n")), TlsInfo)
    assert_type((yield from Random(16)), bytes)
    yield from Sleep(0.5)
    yield from Sleep("a while")  # error
    yield from Random(16.0)  # error
    yield from Write(octets)
    yield from Write("text")  # error
    yield from Write(octets, until="soon")  # error
    yield from Run(half, "text")  # error
    yield from Run(half, b"text", rounded=True)  # error
    return octets


def without_from() -> Procedure[bytes]:
    octets = yield Read()
    return octets  # error


def unperformed() -> Procedure[bytes]:
    yield from Now()
    return Read()  # error
