"""What logs in, and what may be shown of it: an answer is taken for what it is first, and masked for people then."""

import base64

import pytest

from pop3proto import ResponseCode, State, poplib as ours
from tests.helpers.dialogues import talking

ANSWERS = {b"USER": b"+OK\r\n", b"PASS": b"+OK\r\n", b"STAT": b"+OK 2 320\r\n", b"NOOP": b"+OK\r\n"}
LISTING = b"+OK\r\nPLAIN\r\nLOGIN\r\n.\r\n"


def is_logged_in(client):
    return client.client.state is State.TRANSACTION


@pytest.mark.parametrize("secret", ["ERR", "-ERR", "E", "-", "AUTH", "[AUTH]", "-ERR [AUTH] no"])
def test_an_answer_is_what_it_is_whatever_the_secret(secret, capsys):
    with talking(ours.POP3, ANSWERS | {b"PASS": b"-ERR [AUTH] no\r\n"}) as (client, _):
        client.set_debuglevel(2)
        with pytest.raises(ours.CommandRefused) as caught:
            client.pass_(secret)
        assert caught.value.code == ResponseCode.AUTH
        assert caught.value.args[0].startswith(b"-ERR [AUTH] ")
        assert client.stat() == (2, 320)


@pytest.mark.parametrize("secret", ["+OK", "OK", "+", "O"])
def test_a_positive_answer_is_one_whatever_the_secret(secret):
    with talking(ours.POP3, ANSWERS) as (client, _):
        client.set_debuglevel(2)
        assert client.pass_(secret) == b"+OK"
        assert is_logged_in(client)


def test_what_is_no_answer_is_none_and_shows_no_secret():
    with talking(ours.POP3, {b"PASS": b"tanstaaf: +OK\r\n"}) as (client, _):
        with pytest.raises(ours.Garbled) as caught:
            client.pass_("tanstaaf")
        assert caught.value.args == (b"***: +OK",)
        with pytest.raises(ours.OutOfStep) as caught:
            client.noop()
        assert "tanstaaf" not in str(caught.value)


def test_the_password_within_a_response_is_a_secret_too(capsys):
    plain = base64.b64encode(b"\0ann\0tanstaaf").decode()
    bearer = base64.b64encode(b"n,a=ann,\1auth=Bearer s3cr3t\1\1").decode()
    answers = {
        b"AUTH": b"-ERR tanstaaf is wrong\r\n",
        b"AUTH XOAUTH2": b"+ \r\n",
        bearer.encode(): b"-ERR s3cr3t is wrong\r\n",
    }
    with talking(ours.POP3, answers) as (client, _):
        client.set_debuglevel(2)
        with pytest.raises(ours.CommandRefused) as caught:
            client._shortcmd(f"AUTH PLAIN {plain}")
        assert caught.value.args == (b"-ERR *** is wrong",)
        client._shortcmd("AUTH XOAUTH2")
        with pytest.raises(ours.CommandRefused) as caught:
            client._shortcmd(bearer)
        assert caught.value.args == (b"-ERR *** is wrong",)
        client._putline(b"PASS tanstaaf")
    traced = capsys.readouterr().out
    assert not [secret for secret in ("tanstaaf", "s3cr3t", plain, bearer) if secret in traced]


@pytest.mark.parametrize("line", ["AUTH", "auth", "AUTH "])
def test_asking_for_the_mechanisms_is_no_login(line):
    with talking(ours.POP3, ANSWERS | {b"AUTH": LISTING, b"auth": LISTING}) as (client, _):
        assert client._longcmd(line)[1] == [b"PLAIN", b"LOGIN"]
        assert not is_logged_in(client)
    with talking(ours.POP3, ANSWERS | {b"AUTH": LISTING, b"auth": LISTING}) as (client, _):
        assert client._shortcmd(line) == b"+OK"
        assert [client._getline()[0] for _ in range(3)] == [b"PLAIN", b"LOGIN", b"."]
        assert not is_logged_in(client)
    with talking(ours.POP3, ANSWERS | {b"AUTH": LISTING}) as (client, _):
        client._longcmd("AUTH TWINKIE")
        assert not is_logged_in(client)


def test_a_login_that_was_not_sent_is_none():
    with talking(ours.POP3, ANSWERS) as (client, server):
        for wrong in ("tan\nstaaf", "tan\0staaf"):
            with pytest.raises(ValueError, match="Control characters"):
                client.pass_(wrong)
        client.noop()
        assert not is_logged_in(client)
        assert server.heard == [b"NOOP"]


@pytest.mark.parametrize("answer, accepted", [(b"-ERR tanstaaf\r\n", False), (b"+OK\r\n", True)])
def test_a_login_that_is_pipelined_by_hand_ends_with_its_own_answer(answer, accepted, capsys):
    with talking(ours.POP3, ANSWERS | {b"PASS": answer}) as (client, _):
        client.set_debuglevel(2)
        for line in ("USER ann", "PASS tanstaaf", "NOOP"):
            client._putcmd(line)
        assert client._getresp() == b"+OK"
        assert not client._logged_in
        if accepted:
            assert client._getresp() == b"+OK"
        else:
            with pytest.raises(ours.CommandRefused) as caught:
                client._getresp()
            assert caught.value.args == (b"-ERR ***",)
        assert client._getresp() == b"+OK"
        assert client._logged_in is accepted
        client.set_debuglevel(0)
        assert is_logged_in(client) is accepted
    traced = capsys.readouterr().out
    assert "tanstaaf" not in traced
    assert "*cmd* 'NOOP'" in traced


def test_rpop_is_a_login():
    with talking(ours.POP3, ANSWERS | {b"RPOP": b"+OK\r\n"}) as (client, _):
        client.user("ann")
        client.rpop("ann")
        assert is_logged_in(client)
