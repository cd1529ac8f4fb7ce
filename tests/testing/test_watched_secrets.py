"""What a watched client sends to log in: it is told apart from commands, and never shown."""

import base64

import pytest
from hypothesis import given, settings, strategies as st

from pop3proto.testing import ClientRule, Offence, OffencesFound, pop3_in_memory
from pop3proto.testing.faults import OkAsChallenge, Refuse
from tests.helpers.depth import deep

LOGIN = (b"USER ann\r\n", b"PASS tanstaaf\r\n")
SECRET = base64.b64encode(b"\0ann\0tanstaaf")
WRONG = base64.b64encode(b"\0ann\0wrong")
LOGIN_USER, LOGIN_PASSWORD = base64.b64encode(b"ann"), base64.b64encode(b"tanstaaf")
QUIT = b"QUIT\r\n"
STAT = b"STAT\r\n"


def watched(*pieces: bytes, **options: object) -> list[Offence]:
    """What a client has done that says these pieces, each behind the answer to the one before."""
    server = pop3_in_memory({"ann": [b"Subject: one\n\none\n"]}, watch=True, **options)  # type: ignore[arg-type]
    with server.session() as session:
        for piece in pieces:
            session.hear(piece)
            session.take()
    offences = list(server.sessions[0].offences)
    if offences:
        with pytest.raises(OffencesFound) as caught:
            server.check()
        for word in (b"tanstaaf", SECRET, WRONG, LOGIN_PASSWORD):
            assert word.decode() not in str(caught.value) + repr(caught.value.offences)
    return offences


A_LINE = f"a line of {len(SECRET)} octets"


@pytest.mark.parametrize(
    "pieces, expected",
    [
        ((b"PASS tanstaaf\r\n",), [(ClientRule.ILLEGAL, "'PASS ***'")]),
        ((b"APOP ann tanstaaf\r\n",), [(ClientRule.MALFORMED, "'APOP ***'")]),
        ((b"tanstaaf\r\n",), [(ClientRule.MALFORMED, "a line of 8 octets")]),
        ((b"PASSS tanstaaf\r\n",), [(ClientRule.MALFORMED, "a line of 14 octets")]),
        ((b" PASS tanstaaf\r\n",), [(ClientRule.MALFORMED, "a line of 14 octets")]),
        ((LOGIN[0], b"tanstaaf\r\n"), [(ClientRule.MALFORMED, "a line of 8 octets")]),
        ((b"USER tanstaaf\n",), [(ClientRule.BARE_LF, "'USER ***'")]),
        ((b"AUTH tanstaaf\n",), [(ClientRule.BARE_LF, "'AUTH ***'")]),
        ((b"STAT tanstaaf\r\n",), [(ClientRule.MALFORMED, "'STAT ***'")]),
        ((b"RETR 123\r\n",), [(ClientRule.ILLEGAL, "'RETR 123'")]),
        ((b"RETR tanstaaf\r\n",), [(ClientRule.MALFORMED, "'RETR ***'")]),
        ((b"PASS 123\r\n",), [(ClientRule.ILLEGAL, "'PASS ***'")]),
        (
            (b"auth plain " + SECRET + b"\r\n", QUIT),
            [(ClientRule.LOWER_CASE, "'auth plain ***'"), (ClientRule.UNANNOUNCED_RESPONSE, "'auth plain ***'")],
        ),
        ((b"AUTH PLAIN\r\n", SECRET + b"\n", QUIT), [(ClientRule.BARE_LF, A_LINE)]),
        ((b"AUTH PLAIN\r\n" + SECRET + b"\r\n", STAT, QUIT), [(ClientRule.BEHIND_LOGIN, A_LINE)]),
        (
            (b"AUTH PLAIN\r\n" + SECRET + b"\n",),
            [(ClientRule.BEHIND_LOGIN, A_LINE), (ClientRule.BARE_LF, A_LINE)],
        ),
        ((b"AUTH PLAIN\r\n", b"STAT\n"), [(ClientRule.BARE_LF, "a line of 4 octets")]),
        (
            (b"CAPA\r\n", b"AUTH PLAIN " + SECRET + b"\r\nSTAT\r\n", QUIT),
            [(ClientRule.BEHIND_LOGIN, "a line of 4 octets")],
        ),
        (
            (b"AUTH NTLM\r\n" + SECRET + b"\r\n", b"AUTH PLAIN\r\n", SECRET + b"\r\n", STAT, QUIT),
            [(ClientRule.BEHIND_LOGIN, A_LINE)],  # the second exchange is as it should be
        ),
        ((b"AUTH NTLM\r\n", SECRET + b"\r\n"), [(ClientRule.MALFORMED, A_LINE)]),
        ((b"AUTH PLAIN\r\n", b"*\r\n", SECRET + b"\r\n"), [(ClientRule.MALFORMED, A_LINE)]),
    ],
)
def test_secrets_are_not_shown(pieces, expected):
    assert [(offence.rule, offence.what) for offence in watched(*pieces)] == expected


@pytest.mark.parametrize("options", [{}, {"faults": [OkAsChallenge()]}, {"persona": "exchange2003"}], ids=str)
@pytest.mark.parametrize(
    "pieces",
    [
        (b"AUTH PLAIN\r\n", SECRET + b"\r\n", STAT, QUIT),
        (b"AUTH PLAIN\r\n", WRONG + b"\r\n"),  # not logged in: no QUIT is needed
        (b"AUTH PLAIN\r\n", WRONG + b"\r\n", *LOGIN, STAT, QUIT),
        (b"AUTH PLAIN\r\n", b"*\r\n", *LOGIN, STAT, QUIT),
        (b"AUTH PLAIN\r\n", b"\r\n", *LOGIN, STAT, QUIT),
        (b"AUTH PLAIN\r\n", WRONG + b"\r\n", b"AUTH PLAIN\r\n", SECRET + b"\r\n", STAT, QUIT),
        (b"CAPA\r\n", b"AUTH PLAIN " + SECRET + b"\r\n", STAT, QUIT),
        (b"AUTH LOGIN\r\n", LOGIN_USER + b"\r\n", LOGIN_PASSWORD + b"\r\n", STAT, QUIT),
    ],
)
def test_an_exchange_is_no_offence(pieces, options):
    if b"LOGIN" in pieces[0]:
        options = {**options, "mechanisms": ["LOGIN"]}
    assert watched(*pieces, **options) == []


@pytest.mark.parametrize("faults", [[], [OkAsChallenge()]], ids=str)
def test_what_follows_an_exchange_is_judged(faults):
    offences = watched(b"AUTH PLAIN\r\n", SECRET + b"\r\n", b"XYZZ\r\n", b"retr 1\r\n", faults=faults)
    assert [offence.rule for offence in offences] == [ClientRule.MALFORMED, ClientRule.LOWER_CASE, ClientRule.NO_QUIT]


@pytest.mark.parametrize("faults", [[], [OkAsChallenge()]], ids=str)
def test_behind_a_response_that_does_not_wait(faults):
    offences = watched(b"AUTH PLAIN\r\n" + SECRET + b"\r\n", b"stat\r\n", QUIT, faults=faults)
    assert offences == [Offence(ClientRule.BEHIND_LOGIN, A_LINE), Offence(ClientRule.LOWER_CASE, "'stat'")]


@pytest.mark.parametrize("faults", [[], [OkAsChallenge()]], ids=str)
def test_two_responses_that_do_not_wait(faults):
    name, password = LOGIN_USER + b"\r\n", LOGIN_PASSWORD + b"\r\n"
    options = {"faults": faults, "mechanisms": ["LOGIN"]}
    offences = watched(b"AUTH LOGIN\r\n" + name + password, b"stat\r\n", QUIT, **options)
    assert [offence.rule for offence in offences] == [ClientRule.BEHIND_LOGIN] * 2 + [ClientRule.LOWER_CASE]
    offences = watched(b"AUTH LOGIN\r\n" + name, password, b"stat\r\n", QUIT, **options)
    assert [offence.rule for offence in offences] == [ClientRule.BEHIND_LOGIN, ClientRule.LOWER_CASE]


def test_a_response_to_auth_that_was_refused():
    offences = watched(b"AUTH PLAIN\r\n", SECRET + b"\r\n", QUIT, faults=[Refuse("AUTH")])
    assert offences == [Offence(ClientRule.MALFORMED, A_LINE)]


LINES = [
    *(b"USER ann", b"PASS tanstaaf", b"CAPA", b"STAT", b"RETR 1", b"TOP 1 9", b"DELE 1", b"RSET", b"QUIT", b"*", b""),
    *(b"AUTH", b"AUTH PLAIN", b"AUTH LOGIN", b"AUTH PLAIN " + SECRET, SECRET, WRONG, LOGIN_USER, LOGIN_PASSWORD),
    *(b"tanstaaf", b"PASSS tanstaaf", b"AUTH tanstaaf", b"LIST tanstaaf", b"\xff tanstaaf", b"TOP 1 " + 5000 * b"9"),
]
A_PIECE = st.lists(st.builds(bytes.__add__, st.sampled_from(LINES), st.sampled_from([b"\r\n", b"\r\n", b"\n", b""])))


@settings(max_examples=deep(300, 40))
@given(st.lists(A_PIECE.map(b"".join), max_size=10), st.sampled_from([[], [OkAsChallenge()], [Refuse("AUTH")]]))
def test_whatever_a_client_says_no_secret_is_shown(pieces, faults):
    watched(*pieces, faults=faults, mechanisms=["PLAIN", "LOGIN"])
