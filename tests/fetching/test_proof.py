"""Questions behind messages, whose answers the sender of a message cannot know."""

import secrets

from hypothesis import given, strategies as st

from pop3proto.core.commands import ListOne, Stat, UidlOne
from pop3proto.core.errors import MalformedReply
from pop3proto.core.results import MaildropStatus, ScanListing, UniqueId, UniqueIdListing
from pop3proto.fetching.listing import MaildropListing
from pop3proto.fetching.proof import SEED, Proof, Question, trial_questions

STATUS = MaildropStatus(3, 60)
SIZES = ScanListing({1: 10, 2: 20, 3: 30})
IDS = UniqueIdListing({1: UniqueId("a"), 2: UniqueId("b"), 3: UniqueId("c")})
LISTING = MaildropListing.of(IDS, SIZES, STATUS)
WITHOUT_IDS = MaildropListing.of(None, SIZES, STATUS)
EVERYTHING = {
    *(Question(UidlOne(number), uid) for number, uid in IDS.items()),
    *(Question(ListOne(number), octets) for number, octets in SIZES.items()),
}


def proof(listing: MaildropListing, *wrong: type) -> Proof:
    questions = trial_questions(listing, STATUS)
    answers = [MalformedReply("?") if type(each.command) in wrong else each.answer for each in questions]
    return Proof.of_trial(listing, STATUS, questions, answers)


def test_one_question_of_each_kind_is_tried_and_the_safest_comes_last():
    assert [each.command for each in trial_questions(LISTING, STATUS)] == [UidlOne(3), ListOne(3), Stat()]
    assert [each.command for each in trial_questions(WITHOUT_IDS, STATUS)] == [ListOne(3), Stat()]


@given(st.binary(min_size=SEED, max_size=SEED))
def test_only_what_is_answered_rightly_is_asked(seed):
    assert set(proof(LISTING).questions(seed)) <= EVERYTHING
    assert {type(each.command) for each in proof(LISTING, UidlOne).questions(seed)} == {ListOne}
    assert {type(each.command) for each in proof(LISTING, ListOne, Stat).questions(seed)} == {UidlOne}
    assert {type(each.command) for each in proof(WITHOUT_IDS).questions(seed)} == {ListOne}
    assert proof(LISTING, ListOne, UidlOne).questions(seed) == [Question(Stat(), STATUS)]
    assert proof(LISTING, ListOne, UidlOne, Stat).questions(seed) == []


def test_every_question_can_be_drawn():
    drawn = {question for _ in range(500) for question in proof(LISTING).questions(secrets.token_bytes(SEED))}
    assert drawn == EVERYTHING


def test_answers_are_guessed_once_in_a_million_times():
    for count in (1, 2, 3, 10, 300, 70_000):
        sizes = ScanListing(dict.fromkeys(range(1, count + 1), 10))
        status = MaildropStatus(count, 10 * count)
        listing = MaildropListing.of(None, sizes, status)
        questions = trial_questions(listing, status)
        drawn = Proof.of_trial(listing, status, questions, [each.answer for each in questions])
        choices = max(count, 2)  # where there is one message, LIST and STAT
        assert choices ** len(drawn.questions(bytes(SEED))) >= 2**20


def test_the_seed_has_enough_chance_for_the_longest_row_of_questions():
    listing = MaildropListing.of(None, ScanListing({1: 10}), MaildropStatus(1, 10))
    questions = trial_questions(listing, MaildropStatus(1, 10))
    drawn = Proof.of_trial(listing, MaildropStatus(1, 10), questions, [each.answer for each in questions])
    ends = {tuple(drawn.questions(seed.to_bytes(SEED)))[-1] for seed in (0, 2**20 - 1)}
    assert len(ends) == 2
