"""A store or an authenticator that cannot work is refused when the Service is made, in words that say what to do."""

import functools

import pytest

from pop3proto.authenticators import MemoryAuthenticator, MemoryTokenAuthenticator
from pop3proto.core.errors import LocalProtocolError
from pop3proto.maildrops import MaildirStore, MemoryStore
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.authenticator import CustomAuthenticator
from tests.helpers.drivers import FakeMaildrop, FakeStore, OneUser, Pause, Serving

USERS = MemoryAuthenticator({"ann": "tanstaaf"})


class Store:
    blocks = False

    def open(self, user, session):
        raise NotImplementedError

    def capabilities(self, user):
        raise NotImplementedError


class Passwords:
    blocks = False

    def check_password(self, user, password, session):
        return False


def without(kind: type, *names: str, **instead) -> object:
    """An object like those of a class, except for these attributes."""
    attributes = {name: value for name, value in vars(kind).items() if not name.startswith("__") and name not in names}
    return type(kind.__name__, (), attributes | instead)()


@pytest.mark.parametrize(
    "store, message",
    [
        (None, r"the store \(of type NoneType\) has no attribute blocks"),
        (
            without(Store, "blocks"),
            r"the store \(of type Store\) has no attribute blocks: True if its plain methods may wait",
        ),
        (without(Store, blocks=1), r"blocks of the store \(of type Store\) must be True or False, not of type int"),
        (without(Store, blocks=lambda self: True), "must be True or False, not of type method"),
        (without(Store, "open"), r"the store \(of type Store\) has no open$"),
        (without(Store, "open", opne=Store.open), "has no open; is opne meant to be it"),
        (without(Store, "capabilities", capability=Store.capabilities), "has no capabilities; is capability meant"),
        (without(Store, open=lambda self, user: None), "open of the store .* must take 2 arguments: user, session"),
        (without(Store, capabilities=lambda self: None), "capabilities of .* must take 1 argument: user"),
        (without(Store, open="maildrop"), r"open of the store \(of type Store\) is not a method"),
    ],
    ids=str,
)
def test_a_store_that_cannot_work_is_refused(store, message):
    with pytest.raises(TypeError, match=message):
        Service(store=store, authenticator=USERS)


@pytest.mark.parametrize(
    "authenticator, message",
    [
        (1, r"the authenticator \(of type int\) has no attribute blocks"),
        (without(Passwords, "blocks"), "has no attribute blocks"),
        (without(Passwords, "check_password"), "has none of the methods by which a client can log in"),
        (without(Passwords, "check_password", may_act_as=Passwords.check_password), "has none of the methods by which"),
        (
            without(Passwords, "check_password", check_pasword=Passwords.check_password),
            "has no check_password; is check_pasword meant to be it",
        ),
        (
            without(Passwords, check_tokens=Passwords.check_password),
            "has no check_token; is check_tokens meant to be it",
        ),
        (without(Passwords, check_password=lambda self, user, password: True), "must take 3 arguments: user, password"),
        (without(Passwords, session_ended=lambda self: None), r"session_ended of .* must take 1 argument: session"),
        (
            without(Passwords, sessions_ended=lambda self, session: None),
            "has no session_ended; is sessions_ended meant",
        ),
        (without(Passwords, secret=lambda self, user, session, more: None), "secret of .* must take 2 arguments: user"),
        (without(Passwords, secret="tanstaaf"), "secret of .* is not a method"),
        (without(Passwords, scram_keys=Passwords.check_password), "has scram_keys and no scram_algorithms"),
    ],
    ids=str,
)
def test_an_authenticator_that_cannot_work_is_refused(authenticator, message):
    with pytest.raises(TypeError, match=message):
        Service(store=FakeStore(), authenticator=authenticator)


@pytest.mark.parametrize(
    "authenticator",
    [
        USERS,
        MemoryTokenAuthenticator({}, {}),
        OneUser(),
        Passwords(),
        CustomAuthenticator(),
        without(Passwords, check_password=lambda *everything: False),
        without(Passwords, check_password=lambda self, user, password, session, more=None: False),
        without(Passwords, check_password=staticmethod(lambda user, password, session: False)),
        without(Passwords, secrets=lambda self: {}),  # it takes nothing that `secret` would
        without(Passwords, passwords={"ann": "tanstaaf"}),
    ],
    ids=str,
)
def test_an_authenticator_that_can_work_is_taken(authenticator):
    assert Service(store=Store(), authenticator=authenticator).authenticator is authenticator


@pytest.mark.parametrize("store", [MemoryStore(), MaildirStore({}), Store(), FakeStore()], ids=str)
def test_a_store_that_can_work_is_taken(store):
    assert Service(store=store, authenticator=USERS).store is store


async def checks(self, user, password, session):
    return False


async def opens(self, user, session):
    raise NotImplementedError


def test_a_service_knows_its_coroutine_methods():
    assert Service(store=Store(), authenticator=Passwords()).coroutine_methods == ()
    store, users = without(Store, open=opens), without(Passwords, check_password=checks)
    service = Service(store=store, authenticator=users)
    assert service.coroutine_methods == ("open of the store", "check_password of the authenticator")
    with pytest.raises(TypeError, match=r"coroutine methods \(open of the store, check_password of the au"):
        service.check_plain()
    Service(store=Store(), authenticator=Passwords()).check_plain()


class Asynchronous:
    """An object that is called as a coroutine function is."""

    async def __call__(self, *arguments):
        raise NotImplementedError


@pytest.mark.parametrize("method", [Asynchronous(), functools.partial(opens, None)], ids=["object", "partial"])
def test_whatever_returns_a_coroutine_is_a_coroutine_method(method):
    store = Store()
    store.open = method
    service = Service(store=store, authenticator=Passwords())
    assert service.coroutine_methods == ("open of the store",)
    with pytest.raises(TypeError, match="open of the store"):
        service.check_plain()


@pytest.mark.parametrize("arguments", [{"store": Store}, {"authenticator": Passwords}], ids=["store", "authenticator"])
def test_a_class_is_refused(arguments):
    [(role, kind)] = arguments.items()
    with pytest.raises(
        TypeError, match=rf"the {role} is a class, {kind.__name__}; pass an instance: {kind.__name__}\("
    ):
        Service(**{"store": Store(), "authenticator": Passwords()} | arguments)


# --------------------------------------------------------------------------------- what delegates to another


class Delegating:
    """All that it has is found by `__getattr__`, which `isinstance` does not see since Python 3.12."""

    def __init__(self, plain):
        self._plain = plain

    def __getattr__(self, name):
        return getattr(self._plain, name)


SECRETS = MemoryAuthenticator({"ann": "tanstaaf"})


def test_an_authenticator_that_delegates_offers_what_the_other_does():
    plain, delegating = (Serving(FakeStore(b"one\n"), users) for users in (SECRETS, Delegating(SECRETS)))
    assert delegating.actor.go().take() == plain.actor.go().take(), "a timestamp for APOP, too"
    capabilities = delegating.ask(b"CAPA\r\n")
    assert capabilities == plain.ask(b"CAPA\r\n")
    assert b"\r\nSASL SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN\r\n" in capabilities
    assert delegating.ask(b"USER ann\r\nPASS tanstaaf\r\n").count(b"+OK") == 2


def test_what_a_service_accepts_lets_somebody_log_in():
    with pytest.raises(TypeError, match="has none of the methods by which a client can log in"):
        Service(store=Store(), authenticator=Delegating(without(Passwords, "check_password")))
    with pytest.raises(TypeError, match="has none of the methods"):
        Service(store=Store(), authenticator=without(Passwords, check_password=None))


class ToppedMaildrop(FakeMaildrop):
    def top(self, number, lines):
        self._store.note(f"top {number} {lines}")
        return FakeMaildrop.open(self, number)

    def open_many(self, numbers):
        self._store.note(f"open_many {list(numbers)}")
        return [FakeMaildrop.open(self, number) for number in numbers]


def test_the_methods_of_a_maildrop_that_delegates_are_found():
    store = FakeStore(b"one\n", b"two\n", b"three\n")

    class Store(FakeStore):
        def open(self, user, session):
            store.locked = True
            return Delegating(ToppedMaildrop(store))

    session = Serving(Store()).logged_in()
    session.ask(b"TOP 1 0\r\nRETR 1\r\nRETR 2\r\nQUIT\r\n")
    assert "top 1 0" in store.log
    assert "open_many [2, 3]" in store.log
    assert not store.locked


# ------------------------------------------------------------------------------- what a store has opened


class Opening(FakeStore):
    """A store whose maildrops lack something, or have something else in its place."""

    def __init__(self, lacks="", **instead):
        super().__init__(b"one\n")
        self.lacks, self.instead = lacks, instead

    def open(self, user, session):
        maildrop = super().open(user, session)
        methods = {name: getattr(maildrop, name) for name in ("messages", "open", "correct", "commit", "close")}
        return type("Maildrop", (), {n: m for n, m in methods.items() if n != self.lacks} | self.instead)()


async def later(*arguments):
    raise AssertionError(arguments)


@pytest.mark.parametrize("name", ["messages", "open", "correct", "commit"])
def test_a_maildrop_that_lacks_something_is_refused_at_the_login_and_closed(name):
    store = Opening(name)
    session = Serving(store).greeted()
    assert session.lines(b"USER ann\r\nPASS tanstaaf\r\n")[1].startswith(b"-ERR [SYS/TEMP] the server has a fault")
    with pytest.raises(TypeError, match=rf"the maildrop \(of type Maildrop\) has no {name}; open of the store must"):
        session.actor.outcome()
    store.check_all_is_closed()


def test_no_maildrop_at_all_is_refused():
    for nothing in (None, "ann", FakeMaildrop):
        store = FakeStore()
        store.open = lambda user, session, nothing=nothing: nothing
        session = Serving(store).greeted()
        assert session.lines(b"USER ann\r\nPASS tanstaaf\r\n")[1].startswith(b"-ERR [SYS/TEMP]")
        with pytest.raises(TypeError):
            session.actor.outcome()


@pytest.mark.parametrize("name", ["open", "correct", "commit", "top", "open_many"])
def test_coroutine_methods_of_a_maildrop_are_refused_where_none_can_be_awaited(name):
    store = Opening(**{name: Asynchronous()})
    session = Serving(store, awaits=False).greeted()
    assert session.lines(b"USER ann\r\nPASS tanstaaf\r\n")[1].startswith(b"-ERR [SYS/TEMP]")
    words = rf"cannot await coroutine methods \({name} of the maildrop \(of type Maildrop\)\)"
    with pytest.raises(TypeError, match=words):
        session.actor.outcome()
    store.check_all_is_closed()


class Closing(Opening):
    """Its maildrop is closed by a coroutine method, or by a plain one that returns a coroutine."""

    def __init__(self, close, *, disguised=False):
        super().__init__()
        self.instead = {"close": (lambda maildrop: self.close(close)) if disguised else Close(self, close)}

    async def close(self, kind):
        FakeMaildrop.close(self.opened[-1])
        await {"waits": Pause, "fails": zero, "ends": nothing}[kind]()


class Close:
    def __init__(self, store, kind):
        self.store, self.kind = store, kind

    async def __call__(self):
        await self.store.close(self.kind)


async def zero():
    raise ZeroDivisionError


async def nothing():
    pass


@pytest.mark.parametrize("disguised", [False, True])
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("kind", ["ends", "waits", "fails"])
def test_a_maildrop_that_only_a_coroutine_can_close_is_closed_as_far_as_it_does_not_wait(kind, blocks, disguised):
    store = Closing(kind, disguised=disguised)
    store._blocks = blocks
    session = Serving(store, awaits=False).greeted()
    answer = session.lines(b"USER ann\r\nPASS tanstaaf\r\n")[1]
    assert answer.startswith(b"+OK" if disguised else b"-ERR [SYS/TEMP]"), "a disguise is found out at the end"
    session.actor.receive(*[b""] * disguised)
    expected = TypeError if not disguised else None
    if kind != "ends":
        expected = LocalProtocolError
        assert "the maildrop may still be locked: its close is a coroutine method" in str(session.actor.error)
    assert session.actor.finished
    assert type(session.actor.error) is (expected or type(None))
    store.check_all_is_closed()
