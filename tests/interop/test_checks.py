"""The checks at servers of others: what each of them does otherwise is in the table of the page, and nothing else."""

import itertools
import os
import re
import smtplib
import ssl
import sys
from pathlib import Path

import attrs
import pytest

from pop3proto.testing.checks import CHECKS, Target, run_checks
from tests.helpers.cyrus import IS_THERE, cyrus_serving
from tests.helpers.programs import MECHANISMS, PASSWORD, USER, Program, dovecot_serving

PAGE = (Path(__file__).parents[2] / "docs" / "checks.md").read_text("utf-8")
MAIL = [b"Subject: one\r\n\r\none\r\n.more\r\n", b"Subject: two\r\n\r\ntwo\r\n", b"Subject: three\r\n\r\nthree\r\n"]


def known(server: str) -> set[str]:
    """The checks at which a server fails, as the page says."""
    rows = re.findall(
        r"^\| `([a-z0-9-]+)` \| ([^|]*) \| [^|]+ \|$", PAGE.split("## What real servers do")[1], re.MULTILINE
    )
    return {id_ for id_, servers in rows if server in servers.split(", ")}


def failed(outcomes) -> dict[str, str]:
    return {outcome.check.id: outcome.why for outcome in outcomes if outcome.result == "failed"}


def same(found: dict[str, str], server: str) -> None:
    expected = known(server)
    assert expected
    assert {id_: why for id_, why in found.items() if id_ not in expected} == {}
    assert expected - set(found) == set()


@pytest.mark.deep
@pytest.mark.interop
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may deliver to the users of Dovecot")
def test_dovecot(require_program):
    dovecot = require_program("dovecot")
    with dovecot_serving(dovecot, MECHANISMS) as running:
        maildir = running.deliver(USER, MAIL)
        names = map("19000{:05}.M1P1.host".format, itertools.count(1))
        owner = maildir.stat()

        def deliver(message: bytes) -> None:
            written = maildir / "tmp" / next(names)
            written.write_bytes(message)
            os.chown(written, owner.st_uid, owner.st_gid)
            written.rename(maildir / "new" / written.name)

        target = Target(
            running.host,
            running.port,
            tls="starttls",
            context=ssl.create_default_context(cafile=running.ca_file),
            user=USER,
            password=PASSWORD,
            may_delete=True,
            deliver=deliver,
        )
        same(failed(run_checks(target)), "Dovecot")


@pytest.mark.cyrus
@pytest.mark.deep  # it answers each wrong password after three seconds
@pytest.mark.skipif(not IS_THERE, reason="Cyrus is not there: tools/cyrus.sh unpacks it, on Debian")
def test_cyrus():
    with cyrus_serving() as cyrus:

        def deliver(message: bytes) -> None:
            message = b"\r\n".join(message.splitlines()) + b"\r\n"  # as LMTP wants it
            with smtplib.LMTP(str(cyrus.lmtp)) as lmtp:
                lmtp.sendmail("sender@localhost", [USER], message)

        target = Target(
            cyrus.host,
            cyrus.port,
            tls="starttls",
            context=ssl.create_default_context(cafile=cyrus.ca_file),
            user=USER,
            password=PASSWORD,
            may_delete=True,
        )
        [first] = run_checks(target, [check for check in CHECKS if check.id == "login-accepted"])
        assert first.result == "passed"  # now the maildrop exists
        for message in MAIL:
            deliver(message)
        same(failed(run_checks(attrs.evolve(target, deliver=deliver))), "Cyrus")


def test_twisted(tmp_path):
    pytest.importorskip("twisted.mail", reason="Twisted is not installed")
    names = map("message{:05}".format, itertools.count(1))

    def deliver(message: bytes) -> None:
        (tmp_path / next(names)).write_bytes(message.replace(b"\r\n", b"\n"))

    for message in MAIL:
        deliver(message)
    script = Path(__file__).parents[1] / "helpers" / "twisted_pop3.py"
    program = Program(sys.executable, script, tmp_path, USER, PASSWORD)
    try:
        ready = program.wait_for(r"ready on (\d+)")
        assert ready is not None, program.said
        target = Target(
            "127.0.0.1", int(ready[1]), tls="none", user=USER, password=PASSWORD, may_delete=True, deliver=deliver
        )
        same(failed(run_checks(target)), "Twisted")
    finally:
        program.stop()
