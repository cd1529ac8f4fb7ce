"""Mutations: what they keep to, and how an input is made small."""

import pytest
from hypothesis import given, strategies as st

from pop3proto.testing.mutation import Mutator, minimise, pieces

CORPUS = [b"USER ann\r\nPASS tanstaaf\r\n", b"STAT\r\nRETR 12\r\n"]


def made(count, **arguments):
    mutator = Mutator(CORPUS, [b"DELE"], **arguments)
    return [mutator.next() for _ in range(count)]


def test_the_same_seed_gives_the_same_inputs():
    assert made(200, seed=1) == made(200, seed=1)
    assert made(200, seed=1) != made(200, seed=2)


def test_inputs_are_many_and_not_too_long():
    inputs = made(2_000, longest=60)
    assert len(set(inputs)) > 1_000
    assert max(map(len, inputs)) == 60
    assert any(b"DELE" in octets for octets in inputs)


@pytest.mark.parametrize("corpus", [[], [b""], [b"\n"]])
def test_it_begins_with_next_to_nothing(corpus):
    mutator = Mutator(corpus)
    assert any(mutator.next() for _ in range(100))


def test_what_is_kept_is_changed_too():
    mutator = Mutator([b"a"])
    mutator.keep(b"REMEMBERED" * 3)
    assert any(b"REMEMBERED" in mutator.next() for _ in range(200))


def test_a_corpus_does_not_grow_for_ever(monkeypatch):
    monkeypatch.setattr("pop3proto.testing.mutation._MOST_INPUTS", 2)
    mutator = Mutator([b"a", b"b"])
    mutator.keep(b"REMEMBERED")
    assert not any(b"REMEMBERED" in mutator.next() for _ in range(200))


@given(st.binary(max_size=60), st.integers(0, 255))
def test_what_is_made_small_has_nothing_to_spare(octets, wanted):
    def fails(candidate):
        return candidate.count(wanted) >= min(octets.count(wanted), 2)

    assert minimise(octets, fails) == bytes([wanted]) * min(octets.count(wanted), 2)


def test_minimising_has_an_end():
    calls = []

    def fails(octets):
        calls.append(octets)
        return False

    assert minimise(b"x" * 1_000, fails, runs=7) == b"x" * 1_000
    assert len(calls) == 7


@given(st.binary(max_size=200), st.integers())
def test_pieces_are_the_whole(octets, seed):
    cut = pieces(octets, seed)
    assert b"".join(cut) == octets
    assert all(cut)
    assert cut == pieces(octets, seed)
