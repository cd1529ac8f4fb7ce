"""Fuzzing a service: what is wrong with it is found, made small and told; what is right is let pass."""

import asyncio
import io

import pytest

from pop3proto import AFTER_LOGIN, Capabilities, Ok, PlainCommand, UniqueId
from pop3proto.authenticators import MemoryAuthenticator
from pop3proto.maildrops import MemoryStore
from pop3proto.procedures import HANDLERS, Message, Now, Read, Refused, Service, Sleep, Unavailable
from pop3proto.procedures.operations import Operation
from pop3proto.testing import FuzzFailure, check_service, fuzz_service

USERS = MemoryAuthenticator({"ann": "tanstaaf"}, scram_algorithms=["SHA-256"])
LOGIN = b"USER ann\r\nPASS tanstaaf\r\n"
MAIL = [b"Subject: one\n\n.\n", b"Subject: two\n\n"]


class Xverb(PlainCommand):
    verb = "XVERB"
    legal_in = AFTER_LOGIN


def service(store=None, answer=None, **arguments):
    """A function that makes a service; its own verb is answered by `answer`."""

    def make():
        handlers = HANDLERS if answer is None else {**HANDLERS, Xverb: answer}
        return Service(
            store=(store or (lambda: MemoryStore({"ann": MAIL})))(),
            **{"authenticator": USERS, "handlers": handlers, **arguments},
        )

    return make


@pytest.mark.parametrize("unique_id", ["a", "y", "OK", "0", "STLS", "1"])
def test_a_unique_id_may_be_a_word_of_other_answers(unique_id):
    class Store(MemoryStore):
        def open(self, user, session):
            maildrop = super().open(user, session)
            maildrop._messages = (Message(maildrop.messages[0].octets, UniqueId(unique_id)),)
            return maildrop

    check_service(service(lambda: Store({"ann": MAIL})), b"STLS\r\n" + LOGIN + b"LIST\r\nUIDL\r\nUIDL 1\r\nQUIT\r\n")


def failure_of(make, octets, **arguments):
    with pytest.raises(FuzzFailure) as caught:
        check_service(make, octets, **arguments)
    assert caught.value.octets == octets
    assert repr(octets)[2:-1] in str(caught.value)
    return caught.value


class Plain:
    """A store with one maildrop, which a test spoils."""

    blocks = False

    def __init__(self):
        self.locked = False
        self.kept = {UniqueId("a"): b"Subject: one\r\n\r\n", UniqueId("b"): b"Subject: two\r\n\r\n"}

    def open(self, user, session):
        if self.locked:
            raise Refused("locked")
        self.locked = True
        return PlainMaildrop(self)

    def capabilities(self, user):
        return Capabilities()


class PlainMaildrop:
    def __init__(self, store):
        self.store = store
        self.messages = [Message(len(octets), unique_id) for unique_id, octets in store.kept.items()]

    def open(self, number):
        return io.BytesIO(list(self.store.kept.values())[number - 1])

    def correct(self, number, octets):
        pass

    def commit(self, deleted, retrieved):
        for number in deleted:
            del self.store.kept[self.messages[number - 1].unique_id]

    def close(self):
        self.store.locked = False


# ------------------------------------------------------------------------------------- what is right passes


@pytest.mark.deep(keep=1)
@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
def test_a_sound_service_passes(tls):
    fuzz_service(service(), runs=60, seed=3, tls=tls)
    fuzz_service(service(Plain), runs=20, tls=tls)


def test_the_answers_are_returned():
    answers = check_service(service(), LOGIN + b"STAT\r\nQUIT\r\n")
    assert answers.count(b"+OK") == 5
    assert b"+OK 2 35\r\n" in answers
    assert check_service(service(), b"").startswith(b"+OK")


def test_the_service_stays_as_it_is():
    one = service(Plain)()
    before = one.store, one.observer
    check_service(lambda: one, b"NOOP\r\n")
    assert (one.store, one.observer) == before


def test_octets_behind_stls_end_one_session_and_not_the_other():
    answers = check_service(service(), b"STLS\r\nNOOP\r\n", tls="starttls")
    assert answers.count(b"\r\n") == 1  # what came behind STLS was there before it was answered


def test_coroutine_methods_are_awaited():
    class Store(Plain):
        async def open(self, user, session):
            await asyncio.sleep(0)
            return super().open(user, session)

    assert b"+OK 2 32\r\n" in check_service(service(Store), LOGIN + b"STAT\r\n")


def test_refusals_pass():
    class Store(Plain):
        def open(self, user, session):
            if session.user is not None:
                raise Unavailable
            return super().open(user, session)

    assert b"[SYS/TEMP]" in check_service(service(Store), LOGIN + b"STAT\r\n")


def test_unique_ids_and_salts_may_differ_from_service_to_service():
    check_service(service(), LOGIN + b"UIDL\r\nUIDL 1\r\n")

    def make():
        return Service(store=MemoryStore(), authenticator=MemoryAuthenticator({"ann": "tanstaaf"}))

    check_service(make, b"AUTH SCRAM-SHA-256 biwsbj1hbm4scj1yT3ByTkdmd0ViZVJXZ2JORWtxTw==\r\n*\r\n")


def test_time_passes_where_the_server_sleeps():
    def answer(session, command):
        before = yield from Now()
        yield from Sleep(7)
        session.say(Ok(f"{(yield from Now()) - before}"))

    assert b"+OK 7.0\r\n" in check_service(service(answer=answer), LOGIN + b"XVERB\r\n")


def test_a_deadline_passes_as_it_should():
    def answer(session, command):
        yield from Sleep(10_000)
        yield from Read((yield from Now()) - 1)

    check_service(service(answer=answer), LOGIN + b"XVERB\r\n")


# --------------------------------------------------------------------------------------- what is wrong is told


def test_a_handler_that_raises():
    def answer(session, command):
        raise KeyError("x")

    failure = failure_of(service(answer=answer), LOGIN + b"XVERB\r\n")
    assert failure.message == "the session ended by KeyError: 'x'"
    assert isinstance(failure.__cause__, KeyError)


def test_a_handler_that_does_not_answer():
    failure = failure_of(service(answer=lambda session, command: None), LOGIN + b"XVERB\r\n")
    assert failure.message == "the session ended by LocalProtocolError: the handler of XVERB has not answered"


def test_a_handler_that_goes_on_for_ever():
    def answer(session, command):
        while True:
            yield from Sleep(0)

    assert failure_of(service(answer=answer), LOGIN + b"XVERB\r\n").message == "the session does not end"


def test_a_handler_that_yields_what_is_no_operation():
    class Odd(Operation):
        pass

    def answer(session, command):
        yield Odd()

    assert "which is no operation" in failure_of(service(answer=answer), LOGIN + b"XVERB\r\n").message


def test_answers_that_depend_on_the_cut():
    def answer(session, command):
        session.say(Ok(f"{session.collected} octets wait"))

    failure = failure_of(service(answer=answer), LOGIN + b"NOOP\r\nXVERB\r\n")
    assert failure.message.startswith("the answers depend on how the octets are cut\nb'")


def test_a_lock_that_stays():
    class Store(Plain):
        def open(self, user, session):
            maildrop = super().open(user, session)
            maildrop.close = lambda: None
            return maildrop

    failure = failure_of(service(Store), LOGIN)
    assert failure.message == "the maildrop cannot be opened again after the session: locked"


def test_messages_that_are_removed_without_quit():
    class Store(Plain):
        def open(self, user, session):
            maildrop = super().open(user, session)
            maildrop.open = lambda number: self.kept.pop(UniqueId("a")) and io.BytesIO(b"Subject: one\r\n\r\n")
            return maildrop

    failure = failure_of(service(Store), LOGIN + b"RETR 1\r\n")
    assert failure.message == "messages were removed although no QUIT came after login"
    assert b"+OK" in check_service(service(Store), LOGIN + b"RETR 1\r\nQUIT\r\n")


def test_a_long_input_is_shown_in_part():
    def answer(session, command):
        raise KeyError("x")

    with pytest.raises(FuzzFailure, match=r"\.\.\. \(1226 octets\)$"):
        check_service(service(answer=answer), LOGIN + b"NOOP\r\n" * 199 + b"XVERB\r\n")


# --------------------------------------------------------------------------------------------- the search


def test_a_fault_is_found_and_made_small():
    def answer(session, command):
        session.say(Ok(f"{100 // session.status.count}"))

    with pytest.raises(FuzzFailure) as caught:
        fuzz_service(service(answer=answer), lines=[b"XVERB\r\n"], runs=300)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.octets == LOGIN + b"DELE 1\r\nDELE 2\r\nXVERB\r\n"


@pytest.mark.deep
def test_the_same_seed_gives_the_same_inputs():
    def heard(seed):
        lines = []

        class Witness:
            def heard(self, session, event):
                lines.append(str(event))

            def said(self, session, item):
                pass

            def ended(self, session, error):
                pass

        fuzz_service(service(Plain, observer=Witness()), runs=15, seed=seed)
        return lines

    assert heard(1) == heard(1)
    assert heard(1) != heard(2)


def test_another_user():
    users = MemoryAuthenticator({"bob": "secret"}, scram_algorithms=["SHA-256"])
    opened = []

    class Store(Plain):
        def open(self, user, session):
            opened.append(user)
            return super().open(user, session)

    fuzz_service(service(Store, authenticator=users), user="bob", password="secret", runs=3)
    assert set(opened) == {"bob"}
