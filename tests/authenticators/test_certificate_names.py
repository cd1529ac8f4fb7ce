"""Certificates of clients name their users."""

import logging

import pytest

from pop3proto.authenticators import CertificateNames
from pop3proto.sasl.channel import SessionInfo, TlsInfo

ANN = (("email", "ann@example.org"),)
TWO = (*ANN, ("email", "post@example.org"))
IN_FOLDER = (("commonName", "Users"), ("commonName", "ann"))  # as Active Directory has it
OLD = (("commonName", "Ann"), ("emailAddress", "old@example.org"), ("userId", "ann"))


def asked(names, field="email", authzid="", domain=""):
    session = SessionInfo(tls=TlsInfo("TLSv1.3", verified=True, certificate=b"any", names=names), domain=domain)
    return CertificateNames(field).check_certificate(b"any", authzid, session)


@pytest.mark.parametrize(
    "names, arguments, user",
    [
        (ANN, {}, "ann@example.org"),
        (ANN, {"authzid": "ann@example.org"}, "ann@example.org"),
        (ANN, {"authzid": "bob@example.org"}, "ann@example.org"),  # whether she may act for him, an `Authorizer` knows
        (TWO, {"authzid": "post@example.org"}, "post@example.org"),
        (TWO, {"authzid": "bob@example.org"}, None),
        (TWO, {}, None),
        ((*ANN, *ANN), {}, "ann@example.org"),
        ((*ANN, *OLD), {}, "ann@example.org"),
        (OLD, {}, "old@example.org"),
        (OLD, {"field": "common_name"}, "Ann"),
        (OLD, {"field": "user_id"}, "ann"),
        (OLD, {"field": "user_id", "domain": "example.net"}, "ann@example.net"),
        (ANN, {"domain": "example.net"}, "ann@example.org"),
        (ANN, {"field": "common_name"}, None),
        (
            (("commonName", "Users"), ("commonName", "ann")),
            {"field": "common_name"},
            "ann",
        ),  # as Active Directory has it
        ((("commonName", "Users"), ("commonName", "ann")), {"field": "common_name", "authzid": "Users"}, "ann"),
        ((("email", "ann"),), {}, None),
        ((), {}, None),
        ((("DNS", "ann@example.org"),), {}, None),
    ],
)
def test_the_user_is_whom_it_names(names, arguments, user):
    assert asked(names, **arguments) == user


@pytest.mark.parametrize(
    "names, authzid, why",
    [
        (TWO, "", "it names ann@example.org, post@example.org, and the client does not say which"),
        (TWO, "bob@a.org", "it names ann@example.org, post@example.org, and the client wants to be bob@a.org"),
        (
            (("email", "ann"), ("email", "b\0")),
            "",
            "its name ann is no mail address; its name cannot be used to log in",
        ),
    ],
)
def test_why_a_certificate_lets_nobody_in_is_told(caplog, names, authzid, why):
    with caplog.at_level(logging.WARNING, "pop3proto"):
        assert asked(names, authzid=authzid) is None
    [message] = caplog.messages
    assert message.startswith(f"session 0 from -: its certificate was refused: {why}")


def test_a_name_that_no_user_has_is_no_fault_beside_another_one(caplog):
    assert asked((("email", "ann"), *ANN)) == "ann@example.org"
    assert caplog.messages == []


def test_a_certificate_without_the_name_is_told(caplog):
    assert asked((("commonName", "ann"),)) is None
    assert caplog.messages == ["session 0 from -: its certificate was refused: it has no email"]


@pytest.mark.parametrize("name", ["", "ann\0@example.org", "ann\r\n", "a" * 256, "\ud800"])
def test_a_name_that_no_user_can_have(caplog, name):
    assert asked((("email", name),)) is None
    assert "its certificate was refused: its name cannot be used to log in" in caplog.text
    assert asked((("email", name), *ANN)) == "ann@example.org"


def test_a_name_that_would_become_that_of_another_user(caplog):
    """SASLprep makes letters of full width ASCII; the authority has not said that this is the same person."""
    assert asked((("email", "\uff41nn@example.org"),)) is None
    assert "is not ann@example.org, which it looks like" in caplog.text


def test_without_tls_there_is_no_name():
    assert CertificateNames("email").check_certificate(b"any", "", SessionInfo()) is None


def test_an_unknown_field():
    with pytest.raises(ValueError, match="field must be one of 'email', 'common_name', 'user_id'"):
        CertificateNames("mail")
