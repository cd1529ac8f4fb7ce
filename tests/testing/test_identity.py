"""The identity provider for tests: what RFC 6749, 7009, 7636, 8414 and 8628 ask of one, and logins with its tokens."""

import base64
import hashlib
import json
import socket
import threading
import urllib.error
import urllib.request
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
import pytest
from hypothesis import given, strategies as st

from pop3proto import PROFILES, Auth
from pop3proto.core.refusals import LoginFailed
from pop3proto.testing import pop3_in_memory, pop3_server
from pop3proto.testing.identity import IdentityProvider, ProviderAnswer, identity_provider, server as identity_server
from tests.helpers.processes import PATIENCE

CLIENT = {"client_id": "app"}
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
FORM = {"content-type": "application/x-www-form-urlencoded"}
REDIRECT = "http://127.0.0.1:4711/back"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@attrs.frozen
class Asked:
    """An answer, read."""

    status: int
    headers: dict
    content: dict

    @property
    def error(self):
        assert self.headers["Content-Type"] == "application/json"
        assert self.headers["Cache-Control"] == "no-store"
        return self.status, self.content["error"]

    @property
    def redirected(self):
        assert self.status == 302
        return {name: values[0] for name, values in parse_qs(urlsplit(self.headers["Location"]).query).items()}


def read(answer):
    is_json = answer.headers.get("Content-Type") == "application/json"
    return Asked(answer.status, dict(answer.headers), json.loads(answer.body) if is_json else {})


def post(provider, path, headers=(), **form):
    return read(provider.respond("POST", path, {**FORM, **dict(headers)}, urlencode(form).encode()))


def get(provider, path, **query):
    return read(provider.respond("GET", f"{path}?{urlencode(query)}", {}, b""))


def basic(name, secret):
    return {"authorization": f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"}


@pytest.fixture
def provider():
    return IdentityProvider("http://127.0.0.1:1")


@pytest.fixture
def strict():
    return IdentityProvider("http://127.0.0.1:1", clients={"app": None, "server": "s3cret"}, rotates=True)


def code_of(provider, **query):
    asked = {"response_type": "code", "redirect_uri": REDIRECT, "code_challenge": CHALLENGE} | CLIENT
    return get(provider, "/authorize", **{**asked, "code_challenge_method": "S256", **query})


def exchange(provider, code, **form):
    asked = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": VERIFIER} | CLIENT
    return post(provider, "/token", **{**asked, "code": code, **form})


def refresh(provider, token, **form):
    return post(provider, "/token", **{"grant_type": "refresh_token", "refresh_token": token, **CLIENT, **form})


# ------------------------------------------------------------------------------------------------ codes


def test_a_code_is_exchanged_for_tokens(strict):
    back = code_of(strict, state="xyz", scope="mail offline", login_hint="bob").redirected
    assert (back["state"], back["iss"]) == ("xyz", strict.url)
    tokens = exchange(strict, back["code"])
    assert tokens.status == 200
    assert tokens.headers["Cache-Control"] == "no-store"
    assert tokens.content.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (tokens.content["token_type"], tokens.content["expires_in"]) == ("Bearer", 3600)
    assert tokens.content["scope"] == "mail offline"
    assert strict.tokens[tokens.content["access_token"]] == "bob"


def test_the_challenge_is_that_of_the_rfc(strict):
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == CHALLENGE
    assert exchange(strict, code_of(strict).redirected["code"]).status == 200


@pytest.mark.parametrize(
    "form",
    [
        {"code_verifier": "x" * 43},
        {"code_verifier": ""},
        {"redirect_uri": REDIRECT + "/other"},
        {"redirect_uri": ""},
        {"client_id": "server", "client_secret": "s3cret"},
        {"code": "code-99"},
    ],
)
def test_a_code_that_is_not_exchanged(strict, form):
    code = code_of(strict).redirected["code"]
    assert exchange(strict, **{"code": code, **form}).error == (400, "invalid_grant")
    assert not strict.tokens
    assert exchange(strict, code).status == 200, "another one may have tried"


def test_a_code_ends(strict):
    code = code_of(strict).redirected["code"]
    strict.pass_time(600)
    assert exchange(strict, code).error == (400, "invalid_grant")


def test_a_code_that_is_used_twice_ends_what_it_was_used_for(strict):
    code = code_of(strict).redirected["code"]
    first = exchange(strict, code).content
    assert len(strict.tokens) == 1
    assert exchange(strict, code).error == (400, "invalid_grant")
    assert not strict.tokens
    assert refresh(strict, first["refresh_token"]).error == (400, "invalid_grant")


@pytest.mark.parametrize(
    "query,error",
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": CHALLENGE + "="}, "invalid_request"),
        ({"code_challenge": CHALLENGE[1:]}, "invalid_request"),
    ],
)
def test_an_authorization_that_fails_comes_back_to_the_client(strict, query, error):
    back = code_of(strict, state="s", **query).redirected
    assert (back["error"], back["state"]) == (error, "s")
    assert "code" not in back


@pytest.mark.parametrize(
    "query",
    [
        {"client_id": ""},
        {"client_id": "unknown"},
        *(
            {"redirect_uri": wrong}
            for wrong in ("", "/x", f"{REDIRECT}#y", f"{REDIRECT}#", f"{REDIRECT}\r\nX: y", f"{REDIRECT}/\N{EURO SIGN}")
        ),
    ],
)
def test_nobody_is_sent_where_the_client_may_not_be(strict, query):
    answer = code_of(strict, **query)
    assert (answer.status, "Location" in answer.headers) == (400, False)


def test_a_redirect_keeps_the_query_that_it_has(provider):
    location = code_of(provider, redirect_uri=f"{REDIRECT}?a=b").headers["Location"]
    assert location.startswith(f"{REDIRECT}?a=b&code=code-1")


def test_a_client_with_a_secret_may_do_without_a_challenge(strict):
    client = {"client_id": "server"}
    code = code_of(strict, **client, code_challenge="", code_challenge_method="").redirected["code"]
    form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code": code}
    assert post(strict, "/token", basic("server", "s3cret"), **form).status == 200


@pytest.mark.parametrize("octets,good", [(42, False), (43, True), (128, True), (129, False)])
def test_a_verifier_is_as_long_as_the_rfc_says(strict, octets, good):
    verifier = "~" * octets
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    code = code_of(strict, code_challenge=challenge).redirected["code"]
    assert (exchange(strict, code, code_verifier=verifier).status == 200) is good


def test_a_verifier_has_no_other_characters(strict):
    verifier = "+" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    code = code_of(strict, code_challenge=challenge).redirected["code"]
    assert exchange(strict, code, code_verifier=verifier).error == (400, "invalid_grant")


def test_a_verifier_without_a_challenge_is_an_error(provider):
    code = code_of(provider, code_challenge="", code_challenge_method="").redirected["code"]
    assert exchange(provider, code).error == (400, "invalid_grant")
    assert exchange(provider, code, code_verifier="").status == 200


# ---------------------------------------------------------------------------------------------- clients


@pytest.mark.parametrize(
    "headers,form,error",
    [
        ({}, {}, "invalid_request"),
        ({}, {"client_id": "unknown"}, "invalid_client"),
        ({}, {"client_id": "server"}, "invalid_client"),
        ({}, {"client_id": "server", "client_secret": "wrong"}, "invalid_client"),
        ({}, {"client_id": "app", "client_secret": "any"}, "invalid_client"),
        (basic("server", "wrong"), {}, "invalid_client"),
        (basic("server", "s3cret"), {"client_secret": "s3cret"}, "invalid_request"),
        (basic("server", "s3cret"), {"client_id": "app"}, "invalid_request"),
        ({"authorization": "Bearer x"}, {}, "invalid_client"),
        ({"authorization": "Basic ==="}, {}, "invalid_client"),
        ({"authorization": "Basic"}, {}, "invalid_client"),
    ],
)
def test_a_client_that_is_not_let_in(strict, headers, form, error):
    answer = post(strict, "/token", headers, grant_type="client_credentials", **form)
    assert answer.error == ((401 if error == "invalid_client" else 400), error)
    assert ("WWW-Authenticate" in answer.headers) is (error == "invalid_client")


def test_a_client_stands_for_itself(strict):
    answer = post(strict, "/token", basic("server", "s3cret"), grant_type="client_credentials", scope="mail")
    assert answer.content.keys() == {"access_token", "token_type", "expires_in", "scope"}, "and nothing to refresh"
    assert dict(strict.tokens) == {answer.content["access_token"]: "ann"}
    assert post(strict, "/token", grant_type="client_credentials", **CLIENT).error == (400, "unauthorized_client")


def test_a_public_client_does_not_stand_for_itself_with_an_empty_secret(strict, provider):
    for each in (strict, provider):
        answer = post(each, "/token", basic("app", ""), grant_type="client_credentials")
        assert answer.error == (400, "unauthorized_client")
    answer = post(provider, "/token", basic("app", "any"), grant_type="client_credentials")
    assert answer.status == 200


def test_a_secret_in_the_header_is_encoded_as_in_a_form():
    provider = IdentityProvider("http://127.0.0.1:1", clients={"a:b": "c d%"})
    headers = basic("a%3Ab", "c+d%25")
    assert post(provider, "/token", headers, grant_type="client_credentials").status == 200


# ------------------------------------------------------------------------------------------- refreshing


def test_an_access_token_ends_and_is_refreshed(provider):
    grant = provider.issue("ann")
    provider.pass_time(3_599)
    assert dict(provider.tokens) == {grant.access_token: "ann"}
    provider.pass_time(1)
    assert not provider.tokens
    assert grant.access_token not in provider.tokens
    new = refresh(provider, grant.refresh_token).content
    assert new["access_token"] != grant.access_token
    assert new["refresh_token"] == grant.refresh_token
    assert dict(provider.tokens) == {new["access_token"]: "ann"}


def test_a_refresh_token_is_good_once_if_it_rotates(strict):
    first = strict.issue(client="app").refresh_token
    second = refresh(strict, first).content["refresh_token"]
    third = refresh(strict, second).content["refresh_token"]
    assert len({first, second, third}) == 3
    assert len(strict.tokens) == 3
    assert refresh(strict, first).error == (400, "invalid_grant")
    assert not strict.tokens, "one of the two is a thief"
    assert refresh(strict, third).error == (400, "invalid_grant")


@pytest.mark.parametrize("rotates", [True, False])
def test_a_scope_may_be_narrower_and_not_wider(rotates):
    provider = IdentityProvider("http://127.0.0.1:1", rotates=rotates)
    grant = provider.issue(scope="mail contacts")
    assert refresh(provider, grant.refresh_token, scope="mail calendar").error == (400, "invalid_scope")
    narrow = refresh(provider, grant.refresh_token, scope="mail").content
    assert narrow["scope"] == "mail"
    assert refresh(provider, narrow["refresh_token"]).content["scope"] == "mail contacts"


def test_a_refresh_token_of_another_client(strict):
    grant = strict.issue(client="server")
    assert refresh(strict, grant.refresh_token).error == (400, "invalid_grant")
    assert refresh(strict, "refresh-99").error == (400, "invalid_grant")
    assert refresh(strict, strict.issue().refresh_token).status == 200, "of no client in particular"


# ---------------------------------------------------------------------------------------------- devices


def ask_for(provider, device, **form):
    return post(provider, "/token", grant_type=DEVICE, device_code=device["device_code"], **{**CLIENT, **form})


@pytest.fixture
def device(provider):
    answer = post(provider, "/device_authorization", scope="mail", **CLIENT)
    assert answer.content.keys() == {
        "device_code",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
        "expires_in",
        "interval",
    }
    return answer.content


def test_a_device_waits_for_its_user(provider, device):
    assert ask_for(provider, device).error == (400, "authorization_pending")
    provider.pass_time(5)
    assert ask_for(provider, device).error == (400, "authorization_pending")
    provider.approve(device["user_code"], "bob")
    provider.pass_time(5)
    tokens = ask_for(provider, device).content
    assert provider.tokens[tokens["access_token"]] == "bob"
    assert tokens["scope"] == "mail"
    provider.pass_time(5)
    assert ask_for(provider, device).error == (400, "invalid_grant"), "it is good once"


def test_a_device_may_wait_in_real_time_and_is_slowed_down_when_a_test_says_so(provider, device):
    for _ in range(3):
        assert ask_for(provider, device).error == (400, "authorization_pending"), "time stands still"
    provider.fail_next("slow_down")
    assert ask_for(provider, device).error == (400, "slow_down")
    provider.approve(device["user_code"])
    assert ask_for(provider, device).status == 200


def test_a_device_that_is_refused(provider, device):
    provider.deny(device["user_code"])
    assert ask_for(provider, device).error == (400, "access_denied")
    with pytest.raises(ValueError, match="no device waits with the code 'USER-0001'"):
        provider.approve(device["user_code"])


def test_a_device_whose_time_is_over(provider, device):
    provider.pass_time(900)
    assert ask_for(provider, device).error == (400, "expired_token")
    with pytest.raises(ValueError, match="no device waits"):
        provider.approve(device["user_code"])


def test_a_device_of_another_client(provider, device):
    assert ask_for(provider, device, client_id="other").error == (400, "invalid_grant")


def test_the_page_for_the_user_of_a_device(provider, device):
    assert get(provider, "/device", user_code="wrong").status == 400
    assert get(provider, "/device", user_code=device["user_code"]).status == 200
    assert ask_for(provider, device).status == 200


# ------------------------------------------------------------------------------------------- revocation


def test_an_access_token_is_revoked_alone(provider):
    one, other = provider.issue(), provider.issue()
    assert post(provider, "/revoke", token=one.access_token, **CLIENT).status == 200
    assert [*provider.tokens] == [other.access_token]
    assert refresh(provider, one.refresh_token).status == 200


def test_a_refresh_token_takes_all_of_its_consent_along(provider):
    one, other = provider.issue(), provider.issue()
    refreshed = refresh(provider, one.refresh_token).content
    assert post(provider, "/revoke", token=one.refresh_token, token_type_hint="access_token").status == 200
    assert [*provider.tokens] == [other.access_token]
    assert refreshed["access_token"] not in provider.tokens
    assert refresh(provider, one.refresh_token).error == (400, "invalid_grant")


def test_it_says_whether_a_token_is_good_and_whose(provider):
    grant = provider.issue("bob", scope="mail")
    told = post(provider, "/introspect", token=grant.access_token, **CLIENT)
    assert told.content == {"active": True, "username": "bob", "token_type": "Bearer", "exp": 3600, "scope": "mail"}
    for token in ("unknown", grant.refresh_token):
        assert post(provider, "/introspect", token=token, **CLIENT).content == {"active": False}
    provider.pass_time(3_600)
    assert post(provider, "/introspect", token=grant.access_token, **CLIENT).content == {"active": False}


def test_it_says_nothing_of_a_token_to_a_client_that_it_does_not_know(strict):
    grant = strict.issue()
    assert post(strict, "/introspect", token=grant.access_token).error == (400, "invalid_request")
    assert post(strict, "/introspect", token=grant.access_token, client_id="x").error[1] == "invalid_client"
    assert post(strict, "/introspect", **CLIENT).error[1] in {"invalid_request", "invalid_client"}


def test_what_is_unknown_is_revoked_as_well_and_what_is_anothers_is_not(strict):
    assert post(strict, "/revoke", token="unknown", **CLIENT).status == 200
    grant = strict.issue(client="server")
    assert post(strict, "/revoke", token=grant.access_token, **CLIENT).error == (400, "invalid_grant")
    assert post(strict, "/revoke", token=grant.access_token).error == (400, "invalid_request")
    assert post(strict, "/revoke", **CLIENT).error == (400, "invalid_request")
    assert len(strict.tokens) == 1
    strict.revoke(grant.access_token)
    assert not strict.tokens


# ---------------------------------------------------------------------------------- requests and answers


@pytest.mark.parametrize(
    "path,form,error",
    [
        ("/token", {}, "invalid_request"),
        ("/token", {"grant_type": ""}, "invalid_request"),
        ("/token", {"grant_type": "password", **CLIENT}, "unsupported_grant_type"),
        ("/token", {"grant_type": "authorization_code", **CLIENT}, "invalid_request"),
        ("/token", {"grant_type": "refresh_token", **CLIENT}, "invalid_request"),
        ("/token", {"grant_type": DEVICE, **CLIENT}, "invalid_request"),
        ("/device_authorization", {}, "invalid_request"),
    ],
)
def test_what_is_missing(provider, path, form, error):
    assert post(provider, path, **form).error == (400, error)


def test_what_comes_twice(provider):
    body = b"grant_type=refresh_token&refresh_token=a&refresh_token=b&client_id=app"
    assert read(provider.respond("POST", "/token", FORM, body)).error == (400, "invalid_request")


def test_what_is_no_form(provider):
    body = json.dumps({"grant_type": "refresh_token"}).encode()
    headers = {"content-type": "application/json"}
    assert read(provider.respond("POST", "/token", headers, body)).error == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/token", "/revoke", "/introspect", "/device_authorization"])
def test_secrets_are_not_asked_for_by_get(provider, path):
    answer = get(provider, path, grant_type="refresh_token")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/token", "/revoke", "/introspect", "/device_authorization"])
def test_parameters_of_a_client_do_not_stand_in_the_url(provider, path):
    grant = provider.issue("ann")
    form = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token, "token": "x"}
    assert post(provider, f"{path}?client_id=app", **form).error == (400, "invalid_request")
    assert post(provider, path, client_id="app", **form).status == 200


def test_other_paths(provider):
    assert get(provider, "/elsewhere").status == 404


@pytest.mark.parametrize("name", ["oauth-authorization-server", "openid-configuration"])
def test_the_metadata_leads_to_the_end_points(provider, name):
    found = get(provider, f"/.well-known/{name}").content
    assert found["issuer"] == provider.url
    for end_point in ("authorization", "token", "device_authorization", "revocation"):
        assert found[f"{end_point}_endpoint"] == getattr(provider, f"{end_point}_endpoint")
    assert found["code_challenge_methods_supported"] == ["S256"]
    for grant_type in found["grant_types_supported"]:
        answer = post(provider, "/token", grant_type=grant_type, **CLIENT)
        assert answer.content["error"] != "unsupported_grant_type"


def test_what_was_asked_is_there_with_its_secrets(provider):
    refresh(provider, "refresh-1", client_secret="s")
    (asked,) = provider.requests
    assert (asked.method, asked.path, asked.status) == ("POST", "/token", 400)
    assert asked.parameters == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-1",
        "client_id": "app",
        "client_secret": "s",
    }


@pytest.mark.parametrize(
    "failure,expected", [("invalid_grant", 400), ("temporarily_unavailable", 400), ("invalid_client", 401), (503, 503)]
)
def test_the_next_request_fails(provider, failure, expected):
    grant = provider.issue()
    provider.fail_next(failure, times=2)
    assert get(provider, "/.well-known/openid-configuration").status == 200
    for _ in range(2):
        answer = refresh(provider, grant.refresh_token)
        assert answer.status == expected
        assert answer.content.get("error", failure) == failure
    assert refresh(provider, grant.refresh_token).status == 200


def test_the_next_authorization_fails(provider):
    provider.fail_next("access_denied")
    assert code_of(provider, state="s").redirected == {"error": "access_denied", "state": "s", "iss": provider.url}
    assert "code" in code_of(provider).redirected


def test_time_does_not_run_backwards(provider):
    with pytest.raises(ValueError, match="time cannot pass by -1 seconds"):
        provider.pass_time(-1)
    provider.pass_time(2.5)
    assert provider.now == 2.5


def test_tokens_are_as_long_as_they_shall_be():
    provider = IdentityProvider("http://127.0.0.1:1", token_octets=2_000)
    assert len(provider.issue().access_token) == 2_000


# ------------------------------------------------------------------------------------------------- laws


@given(
    st.lists(
        st.tuples(st.sampled_from(["GET", "POST", "PUT"]), st.text(max_size=20), st.binary(max_size=80)), max_size=5
    )
)
def test_whatever_is_asked_is_answered(asked):
    provider = IdentityProvider("http://127.0.0.1:1", clients={"app": None})
    paths = ["/token", "/revoke", "/device_authorization", "/authorize", "/device", ""]
    for method, text, body in asked:
        for path in paths:
            headers = {**FORM, "authorization": f"Basic {text}"}
            answer = provider.respond(method, f"{path}?client_id=app&redirect_uri={text}", headers, body)
            assert isinstance(answer, ProviderAnswer)
            assert 200 <= answer.status < 500
    assert not provider.tokens
    assert len(provider.requests) == len(asked) * len(paths)


@given(st.lists(st.sampled_from(["issue", "refresh", "revoke", "wait"]), max_size=20), st.booleans())
def test_what_is_good_is_what_was_issued_and_has_not_ended(steps, rotates):
    provider = IdentityProvider("http://127.0.0.1:1", rotates=rotates, lifetime=100)
    ends, latest = {}, None
    for step in steps:
        if step == "wait":
            provider.pass_time(60)
        elif step == "issue" or latest is None:
            latest = provider.issue()
            ends[latest.access_token] = provider.now + 100
        elif step == "revoke":
            provider.revoke(latest.access_token)
            ends.pop(latest.access_token, None)
        else:
            new = refresh(provider, latest.refresh_token).content
            latest = attrs.evolve(latest, access_token=new["access_token"], refresh_token=new["refresh_token"])
            ends[latest.access_token] = provider.now + 100
        assert set(provider.tokens) == {token for token, end in ends.items() if provider.now < end}


# ---------------------------------------------------------------------------------------- over HTTP, POP3


def post_to(url, timeout=PATIENCE, **form):
    with urllib.request.urlopen(url, urlencode(form).encode(), timeout=timeout) as answer:
        return json.load(answer)


def test_a_login_by_a_token_that_has_expired_and_is_refreshed():
    """What a mail program does: its token is refused, it asks for another, and goes on."""
    with (
        identity_provider(token_octets=1_500) as provider,
        pop3_server({"ann": [b"hello\n"]}, persona="microsoft365", tokens=provider.tokens) as server,
    ):
        grant = provider.issue("ann")
        quirks = PROFILES["microsoft365"]
        assert quirks
        with server.connect() as client:
            client.login("ann", token=grant.access_token)
            assert client.fetch(1) == b"hello\r\n"
        provider.pass_time(3_600)
        with server.connect() as client:
            with pytest.raises(LoginFailed) as failed:
                client.login("ann", token=grant.access_token)
            assert json.loads(failed.value.attempts[0].detail)["status"] == "400"
            form = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token, **CLIENT}
            new = post_to(provider.token_endpoint, **form)
            client.login("ann", token=new["access_token"])
            assert client.stat().count == 1
        assert Auth("XOAUTH2") in server.sessions[0].commands, "the token had a line of its own"


def test_a_token_that_is_revoked_is_good_no_longer():
    provider = IdentityProvider("http://127.0.0.1:1")
    memory = pop3_in_memory({"ann": [b"hello\n"], "bob": []}, persona="gmail", tokens=provider.tokens)
    grant = provider.issue("ann")
    with memory.connect() as client:
        client.login("ann", token=grant.access_token)
    provider.revoke(grant.refresh_token)
    for user, token in [("ann", grant.access_token), ("bob", provider.issue("ann").access_token)]:
        with memory.connect() as client, pytest.raises(LoginFailed):
            client.login(user, token=token)


def test_a_flow_by_a_loopback_redirect():
    """A browser is sent to the provider, and comes back to the program with a code."""
    came = []
    with socket.create_server(("127.0.0.1", 0)) as listener, identity_provider() as provider:

        def listen():
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as file:
                came.append(file.readline())
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")

        program = threading.Thread(target=listen, daemon=True)
        program.start()
        redirect = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        query = {"response_type": "code", "redirect_uri": redirect, "state": "s", **CLIENT}
        query |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
        with urllib.request.urlopen(f"{provider.authorization_endpoint}?{urlencode(query)}", timeout=PATIENCE):
            program.join(PATIENCE)
        back = parse_qs(urlsplit(came[0].split()[1].decode()).query)
        assert back["state"] == ["s"]
        form = {"grant_type": "authorization_code", "code": back["code"][0], "redirect_uri": redirect, **CLIENT}
        tokens = post_to(provider.token_endpoint, code_verifier=VERIFIER, **form)
        assert provider.tokens[tokens["access_token"]] == "ann"


def test_errors_over_http():
    with identity_provider() as provider:
        with pytest.raises(urllib.error.HTTPError) as refused:
            post_to(provider.token_endpoint, grant_type="refresh_token", refresh_token="x", **CLIENT)
        with refused.value as answer:
            assert (answer.code, json.load(answer)["error"]) == (400, "invalid_grant")
        provider.fail_next(503)
        with pytest.raises(urllib.error.HTTPError) as refused:
            post_to(provider.token_endpoint)
        with refused.value as answer:
            assert answer.code == 503
        for request, expected in [
            (b"POST /token HTTP/1.1\r\n\r\n", b"HTTP/1.0 411"),
            (b"POST /token HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"HTTP/1.0 413"),
            (b"POST /token HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.0 413"),
            (b"PUT /token HTTP/1.1\r\n\r\n", b"HTTP/1.0 501"),
            (b"nonsense\r\n\r\n", b""),
        ]:
            with socket.create_connection(("127.0.0.1", urlsplit(provider.url).port), PATIENCE) as sock:
                sock.sendall(request)
                assert sock.makefile("rb").read().startswith(expected)


@pytest.mark.parametrize("leaves", [True, False])
def test_a_provider_that_hangs_ends_all_the_same(leaves):
    before = {*threading.enumerate()}
    with identity_provider() as provider:
        provider.fail_next("hang")
        address = ("127.0.0.1", urlsplit(provider.url).port)
        silent, waiting = (socket.create_connection(address, PATIENCE) for _ in range(2))
        waiting.sendall(b"GET /authorize HTTP/1.1\r\n\r\n")
        waiting.settimeout(0.1)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        if leaves:
            waiting.close()
        assert post_to(provider.token_endpoint, **refresh_form(provider))["access_token"] in provider.tokens
    assert {*threading.enumerate()} <= before, (
        "threads of the provider are left"
    )  # one of an earlier test may have ended
    assert [request.status for request in provider.requests] == [None, 200]
    for sock in (silent,) if leaves else (silent, waiting):
        sock.settimeout(PATIENCE)
        assert sock.recv(1) == b""
        sock.close()
    with pytest.raises(ConnectionError):
        socket.create_connection(address, PATIENCE)


def test_a_client_that_says_nothing_does_not_keep_a_provider(monkeypatch):
    monkeypatch.setattr(identity_server._Handler, "timeout", None)
    ended = threading.Event()

    def run():
        with identity_provider() as provider:
            address = ("127.0.0.1", urlsplit(provider.url).port)
            silent = socket.create_connection(address, PATIENCE)
            urllib.request.urlopen(f"{provider.url}/.well-known/openid-configuration", timeout=PATIENCE).close()
        silent.close()
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    assert ended.wait(PATIENCE)


def refresh_form(provider):
    return {"grant_type": "refresh_token", "refresh_token": provider.issue().refresh_token, **CLIENT}


def test_it_says_nothing_on_the_terminal(capfd):
    with identity_provider() as provider:
        urllib.request.urlopen(f"{provider.url}/.well-known/openid-configuration", timeout=PATIENCE).close()
        with socket.create_connection(("127.0.0.1", urlsplit(provider.url).port), PATIENCE) as sock:
            sock.sendall(b"POST /token HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
    assert capfd.readouterr() == ("", "")
