"""Coroutine methods of stores and authenticators: a session is the same as with plain ones, however it ends."""

import inspect
from base64 import b64encode
from typing import Any

import pytest

from pop3proto.authenticators import MemoryTokenAuthenticator
from pop3proto.core.errors import ConnectionLost
from pop3proto.procedures.maildrop import Unavailable
from pop3proto.procedures.operations import Await, AwaitLogin, Run, RunLogin
from pop3proto.sasl.mechanism import CredentialsRejected, Identity, MechanismError
from pop3proto.sasl.oauth import XOAuth2Server
from pop3proto.sasl.plain import LoginServer, PlainServer
from tests.helpers.drivers import (
    Actor,
    Cancelled,
    FakeStore,
    Pause,
    Serving,
    awaited_now,
    sessions_come_to_their_end,  # noqa: F401 - it is a fixture
)

STORE = ("open", "capabilities", "correct", "commit", "close", "read", "top", "open_many")
USERS = ("check_password", "secret", "scram_keys", "check_token", "check_certificate", "admit", "may_act_as")


class Coroutines:
    """A store, an authenticator, a maildrop or a message, with coroutine methods in place of some of its methods."""

    def __init__(self, plain: Any, names: tuple[str, ...]) -> None:
        self.plain, self.names = plain, names
        # Attributes of its own: since Python 3.12, what `__getattr__` finds does not count for `isinstance`.
        for name in USERS + STORE:
            if hasattr(plain, name):
                setattr(self, name, self._wrapped(name))
        for name in ("blocks", "scram_algorithms"):
            if hasattr(plain, name):
                setattr(self, name, getattr(plain, name))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def _wrapped(self, name: str) -> Any:
        def convert(result: Any) -> Any:
            return Coroutines(result, self.names) if hasattr(result, "commit") or hasattr(result, "read") else result

        def now(*arguments: Any) -> Any:
            return convert(getattr(self.plain, name)(*arguments))

        async def later(*arguments: Any) -> Any:
            await Pause()
            result = now(*arguments)
            await Pause()
            return result

        return later if name in self.names else now


SCRIPT = [
    b"CAPA\r\n",
    b"USER ann\r\nPASS guess\r\n",
    b"AUTH PLAIN\r\n",
    b64encode(b"\0ann\0tanstaaf") + b"\r\n",
    b"CAPA\r\nSTAT\r\nRETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 4\r\nTOP 1 1\r\nTOP 2 0\r\nTOP 3 1\r\n",
    b"DELE 1\r\nRETR 1\r\nRETR 9\r\nQUIT\r\n",
]
MAIL = [b"A: b\n\n%d\n.\nmore\n" % number for number in range(1, 5)]


def session_of(names: tuple[str, ...], *, blocks: bool = False, strikes=None, prepare=lambda store: None) -> Serving:
    store = FakeStore(*MAIL, blocks=blocks)
    store.announced[2] = 1  # so that `correct` is called
    prepare(store)
    users = MemoryTokenAuthenticator({"ann": "tanstaaf"}, {})
    session = Serving(Coroutines(store, names), Coroutines(users, names), strikes=strikes, failure_delay=0)
    session.actor.receive(*SCRIPT, b"")
    assert session.actor.finished
    session.store = store
    return session


def outcome_of(session: Serving) -> tuple[bytes, dict[int, bytes], list[Any], type]:
    session.store.check_all_is_closed()
    return session.actor.take(), session.store.contents, session.store.commits, type(session.actor.error)


KINDS = [USERS + STORE, USERS, STORE, *((name,) for name in STORE[:6]), ("check_password",)]


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("names", KINDS, ids=lambda names: names[0] if len(names) == 1 else f"{len(names)} methods")
def test_a_session_is_the_same_with_coroutine_methods(names, blocks):
    session = session_of(names, blocks=blocks)
    assert outcome_of(session) == outcome_of(session_of((), blocks=blocks))
    assert any(isinstance(operation, Await | AwaitLogin) for operation in session.actor.performed)


@pytest.mark.parametrize("method", ["open", "open 2", "commit", "close", "correct 2 18"])
@pytest.mark.parametrize("failure", [Unavailable(), OSError("gone"), ZeroDivisionError()], ids=repr)
def test_what_a_coroutine_method_raises_is_what_a_plain_one_raises(method, failure):
    def prepare(store):
        store.failures[method] = failure

    coroutines, plain = session_of(USERS + STORE, prepare=prepare), session_of((), prepare=prepare)
    assert coroutines.actor.take() == plain.actor.take()
    assert type(coroutines.actor.error) is type(plain.actor.error)
    assert coroutines.store.closings == plain.store.closings


def test_a_message_that_breaks_off_is_closed():
    def prepare(store):
        store.breaks_at[3] = 0

    assert outcome_of(session_of(STORE, prepare=prepare)) == outcome_of(session_of((), prepare=prepare))


@pytest.mark.deep(keep=2)
@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("error", [Cancelled, lambda: ConnectionLost("gone")], ids=["cancelled", "lost"])
def test_whatever_strikes_at_whatever_operation_no_lock_stays(error, blocks):
    clean = session_of(USERS + STORE, blocks=blocks)
    for number in range(len(clean.actor.performed)):
        struck = session_of(USERS + STORE, blocks=blocks, strikes={number: error()})
        struck.store.check_all_is_closed()


def test_work_of_a_login_is_told_from_work_of_the_store():
    session = Serving(FakeStore(*MAIL)).logged_in()
    session.ask(b"RETR 1\r\nQUIT\r\n")
    kinds = [type(operation) for operation in session.actor.performed if isinstance(operation, Run)]
    assert kinds == [RunLogin, Run, Run, Run, Run], "password; maildrop, message, commit, close"


# ------------------------------------------------------------------------------------------------- mechanisms


def answers(server, *responses: bytes | None) -> list[Any]:
    """What a mechanism answers, and what it raises, with the awaitables awaited."""
    steps: list[Any] = []
    for response in responses:
        try:
            step = server.respond(response)
            steps.append(awaited_now(step) if inspect.isawaitable(step) else step)
        except (CredentialsRejected, MechanismError, TypeError, ZeroDivisionError) as error:
            steps.append((type(error), str(error)))
    return steps


def later(function):
    async def answer(*arguments):
        await Pause()
        return function(*arguments)

    return answer


def fails(*arguments):
    raise ZeroDivisionError("a fault")


@pytest.mark.parametrize("check", [lambda user, password: password == "right", lambda *_: "yes", fails])
@pytest.mark.parametrize(
    "kind, responses",
    [
        (PlainServer, [b"\0ann\0right"]),
        (PlainServer, [None, b"\0ann\0wrong", b"more"]),
        (LoginServer, [None, b"ann", b"right", b"more"]),
        (LoginServer, [None, b"ann", b"wrong"]),
        (PlainServer, [b"nonsense"]),
    ],
)
def test_a_mechanism_asks_coroutines_as_it_asks_functions(kind, responses, check):
    assert answers(kind(later(check)), *responses) == answers(kind(check), *responses)


def test_a_mechanism_goes_on_behind_an_awaited_answer():
    server = XOAuth2Server(later(lambda user, token: None))
    steps = answers(server, b"user=ann\1auth=Bearer token\1\1", b"")
    assert isinstance(steps[0], bytes)
    assert steps[1][0] is CredentialsRejected
    assert answers(PlainServer(later(lambda *_: True)), b"\0ann\0x") == [Identity("ann")]


@pytest.mark.parametrize("answer", ["yes", 1, None])
def test_what_is_merely_true_lets_no_client_in(answer):
    class Vague:
        blocks = False

        async def check_password(self, user, password, session):
            return answer

    session = Serving(FakeStore(), Vague()).greeted()
    assert session.lines(b"USER ann\r\nPASS x\r\n")[-1].startswith(b"-ERR [SYS/TEMP]")
    assert isinstance(session.actor.error, TypeError)
    assert not session.store.opened


def test_an_actor_awaits_what_pauses():
    async def twice() -> int:
        await Pause()
        await Pause()
        return 3

    def procedure():
        return (yield from Await(twice()))

    assert Actor(procedure()).go().outcome() == 3
