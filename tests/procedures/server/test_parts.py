"""A store or an authenticator that cannot work is refused when the Service is made, in words that say what to do."""

import pytest

from pop3proto.authenticators import MemoryAuthenticator, MemoryTokenAuthenticator
from pop3proto.maildrops import MaildirStore, MemoryStore
from pop3proto.procedures.server.service import Service
from pop3proto.sasl.authenticator import CustomAuthenticator
from tests.helpers.drivers import FakeStore, OneUser

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
        (None, "the store, a NoneType, has no attribute blocks"),
        (without(Store, "blocks"), "the store, a Store, has no attribute blocks: True if its plain methods may wait"),
        (without(Store, blocks=1), "blocks of the store, a Store must be True or False, not int"),
        (without(Store, blocks=lambda self: True), "must be True or False, not method"),
        (without(Store, "open"), "the store, a Store, has no open$"),
        (without(Store, "open", opne=Store.open), "has no open; is opne meant to be it"),
        (without(Store, "capabilities", capability=Store.capabilities), "has no capabilities; is capability meant"),
        (without(Store, open=lambda self, user: None), "open of the store, .* take 2 arguments: user, session"),
        (without(Store, capabilities=lambda self: None), "capabilities of .* must take 1 arguments: user"),
        (without(Store, open="maildrop"), "open of the store, a Store is not a method"),
    ],
    ids=str,
)
def test_a_store_that_cannot_work_is_refused(store, message):
    with pytest.raises(TypeError, match=message):
        Service(store=store, authenticator=USERS)


@pytest.mark.parametrize(
    "authenticator, message",
    [
        (1, "the authenticator, a int, has no attribute blocks"),
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
