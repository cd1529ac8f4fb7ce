"""What the probe finds at Debian's Dovecot."""

import itertools
import ssl

import pytest

from pop3proto.sasl.credentials import Password
from pop3proto.testing.probing import Report, Severity, probe
from tests.helpers.programs import PASSWORD, dovecot_serving

pytestmark = pytest.mark.interop

GOOD = [b"Subject: %d\n\n.dot\none\ntwo\n" % number for number in range(1, 6)]
NO_LAST_LINE_END = b"Subject: 6\n\nno end"

new_user = map("probed{}".format, itertools.count(1)).__next__


@pytest.fixture(scope="module")
def dovecot(require_program):
    with dovecot_serving(require_program("dovecot"), ("plain", "login", "cram-md5")) as dovecot:
        yield dovecot


def probed(dovecot, messages, **options) -> Report:
    user = new_user()
    dovecot.deliver(user, messages)
    context = ssl.create_default_context(cafile=dovecot.ca_file)
    return probe(dovecot.host, context=context, credentials=Password(user, PASSWORD), **options)


@pytest.mark.deep
@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_nothing_is_wrong(dovecot, tls):
    port = dovecot.tls_port if tls == "implicit" else dovecot.port
    report = probed(dovecot, GOOD, port=port, tls=tls)
    assert [finding for finding in report.findings if finding.severity > Severity.NOTE] == []
    assert report.status == 0
    [known] = report.ports
    assert known.implementation.name == "Dovecot"
    assert known.tls.trusted
    assert known.secure.mechanisms == {"PLAIN": "works", "LOGIN": "works", "CRAM-MD5": "works"}
    mailbox = report.mailbox
    assert len(mailbox.sampled) == len(mailbox.unique_ids) == 5
    assert mailbox.pipelining
    assert mailbox.lock == "shared"
    assert report.quirks == frozenset()


@pytest.mark.deep
def test_a_size_is_two_octets_too_small(dovecot):
    """Dovecot adds a line end to a message that has none at its end, and does not count it."""
    report = probed(dovecot, [*GOOD, NO_LAST_LINE_END], port=dovecot.tls_port)
    [finding] = [finding for finding in report.findings if finding.severity > Severity.NOTE]
    assert finding.id == "size-wrong"
    size = len(NO_LAST_LINE_END) + 2  # the line end of its header has a CR, too
    assert finding.evidence == f"6: LIST {size}, RETR {size + 2}"


@pytest.mark.deep
def test_a_port_begins_otherwise_than_expected(dovecot):
    assert probe(dovecot.host, dovecot.tls_port, tls="starttls").findings[0].id == "tls-where-clear"
    assert probe(dovecot.host, dovecot.port, tls="implicit").findings[0].id == "clear-where-tls"
