"""`pop3proto fetch`: what a URL may say."""

import pytest

from pop3proto.cli import main
from pop3proto.fetching.accounts.url import Address


@pytest.mark.parametrize(
    "url, account",
    [
        ("pops://ann@pop.example.org", Address("implicit", "ann", "pop.example.org", 995)),
        ("POP://ann@POP.Example.org", Address("starttls", "ann", "pop.example.org", 110)),
        ("pop://ann@127.0.0.1:1110", Address("starttls", "ann", "127.0.0.1", 1110)),
        ("pops://ann@pop.example.org/", Address("implicit", "ann", "pop.example.org", 995)),
        ("pops://ann@pop.example.org:1/", Address("implicit", "ann", "pop.example.org", 1)),
        ("pops://ann%40example.org@pop.example.org", Address("implicit", "ann@example.org", "pop.example.org", 995)),
        ("pops://%C3%A4nn;AUTH=*@[2001:DB8::1]:9995", Address("implicit", "änn", "2001:db8::1", 9995)),
        ("pops://ann@[fe80::1%25eth0]", Address("implicit", "ann", "fe80::1%eth0", 995)),
        ("pops://a%3Ab%3b@h", Address("implicit", "a:b;", "h", 995)),
        ("pop://rg;AUTH=+APOP@mail.example.org:8110", Address("starttls", "rg", "mail.example.org", 8110, "APOP")),
        ("pops://ann;Auth=%2Bapop@h", Address("implicit", "ann", "h", 995, "APOP")),
        ("pops://ann;auth=scram-sha-256@h", Address("implicit", "ann", "h", 995, "SCRAM-SHA-256")),
        ("pops://ann;auth=%2A@h", Address("implicit", "ann", "h", 995)),
    ],
)
def test_urls(url, account):
    assert Address.of_url(url) == account


def test_the_key_of_an_account_is_one_word():
    assert Address("implicit", "a b@ä", "fe80::1%eth0", 1).key == "a%20b%40%C3%A4@fe80::1%25eth0:1"
    assert Address("starttls", "a b@ä", "fe80::1%eth0", 1, "PLAIN").key == "a%20b%40%C3%A4@fe80::1%25eth0:1"


@pytest.mark.parametrize(
    "url, why",
    [
        ("pops://ann:S3cret@pop.example.org", "a password does not belong in a URL"),
        ("pops://ann:S3/cr@et@pop.example.org", "a password does not belong in a URL"),
        ("pops://ann:@pop.example.org", "a password does not belong in a URL"),
        ("pops://ann:S3cret;AUTH=*@h", "a password does not belong in a URL"),
        ("imap://ann:S3cret@h", "must begin with pops://"),
        ("pops://pop.example.org", "has no user name"),
        ("pops://@h", "has no user name"),
        ("pops://ann@h/inbox", "nothing may follow the host"),
        ("pops://ann@h?x", "nothing may follow the host"),
        ("pops://ann@h#x", "nothing may follow the host"),
        ("pops://ann@h//", "nothing may follow the host"),
        ("pops://ann;AUTH=S3cret@h", ";AUTH= takes one of *, +APOP, SCRAM-SHA-512-PLUS, "),
        ("pops://ann;AUTH=@h", "PLAIN, LOGIN, OAUTHBEARER, XOAUTH2, EXTERNAL\n"),
        ("pops://ann;AUTH=APOP@h", "the login method in the URL is not supported"),
        (
            "pops://ann;AUTH=EXTERNAL@h",
            "EXTERNAL needs a client certificate: name its file by certificate (--certificate ",
        ),
        ("pops://ann;AUTH=ANONYMOUS@h", "the login method in the URL is not supported"),
        ("pops://ann;AUTH=PLAIN;AUTH=LOGIN@h", "the login method in the URL is not supported"),
        ("pops://ann;PLAIN@h", "the login method in the URL is not supported"),
        ("pops://ann;S3@h", "the login method in the URL is not supported"),
        ("pops://ann;@h", "the login method in the URL is not supported"),
        ("pops://ann@h:0", "the port"),
        ("pops://ann@h:65536", "the port"),
        ("pops://ann@h:", "the port in the URL must be a number from 1 to 65535"),
        ("pops://ann@h:S3cret", "the port in the URL must be a number from 1 to 65535"),
        ("pops://ann@h:123456", "the port in the URL must be a number from 1 to 65535"),
        ("pops://ann@[::1]:pop3", "the port in the URL must be a number from 1 to 65535"),
        ("pops://ann@h:110:1", "does not have the form"),
        ("pops://ann@", "the URL has no host"),
        ("pops://ann@:110", "the URL has no host"),
        ("pops://ann@[::1", "does not have the form"),
        ("pops://ann@[::S3cret]", "not an IPv6 address"),
        ("pops://ann%@h", "without two hexadecimal digits"),
        ("pops://ann%0d%0a@h", "not a valid user name"),
        ("pops://%ff@h", "not a valid user name"),
        ("pops://an\nn@h", "does not have the form"),
    ],
)
def test_a_url_that_is_refused_is_never_repeated(url, why, target, capsys):
    assert main(["fetch", url, str(target)]) == 2
    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1
    assert "S3" not in error
    assert not target.exists()
