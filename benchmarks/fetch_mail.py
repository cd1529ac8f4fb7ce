"""The mail that is fetched: with a header, without which fetchmail takes nothing."""

from __future__ import annotations

from typing import Final

from .scripted_server import message

_HEADER: Final = """\
Received: from mail.example.org (mail.example.org [192.0.2.25])
\tby mx.example.com with ESMTPS id %d
\tfor <ann@example.com>; Sat, 28 Nov 2026 09:00:00 +0000
Date: Sat, 28 Nov 2026 08:59:58 +0000
From: Nikolaus <nikolaus@example.org>
To: ann@example.com
Subject: Regarding the message of Monday
Message-ID: <%d@mail.example.org>

"""


def mail(count: int, octets: int) -> list[bytes]:
    """Return messages with LF at the end of each line, as they are stored; large ones are one and the same."""
    body = message(octets).replace(b"\r\n", b"\n")
    if octets >= 1 << 20:
        return [_header(1) + body] * count
    return [_header(number) + body for number in range(1, count + 1)]


def _header(number: int) -> bytes:
    return (_HEADER % (number, number)).encode("ascii")
