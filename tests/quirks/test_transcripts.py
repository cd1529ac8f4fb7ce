"""Every transcript is played whole, and cut at every octet."""

import pytest

from pop3proto.core.events import Tolerated
from pop3proto.core.limits import Quirk
from pop3proto.core.server import ServerConnection
from tests.helpers.depth import deep
from tests.helpers.drivers import FakeStore, Serving
from tests.helpers.sessions import client_in

from .clients import CLIENTS, DOS, UNIX
from .servers import SERVERS
from .transcripts import Cut, OfClient, cut_once, octet_by_octet, play, whole

CUTS = {"whole": whole, "octet by octet": octet_by_octet}
of_each_server = pytest.mark.parametrize("transcript", SERVERS, ids=lambda transcript: transcript.title)
of_each_client = pytest.mark.parametrize("transcript", CLIENTS, ids=lambda transcript: transcript.title)
in_pieces = pytest.mark.parametrize("cut", CUTS)
LONGEST = 200


@of_each_server
@in_pieces
def test_what_a_client_makes_of_a_server(transcript, cut):
    play(transcript, client_in(transcript.state, quirks=transcript.quirks), CUTS[cut])


@of_each_server
def test_where_the_stream_is_cut_makes_no_difference(transcript):
    for at in range(1, deep(LONGEST, 12)):
        play(transcript, client_in(transcript.state, quirks=transcript.quirks), cut_once(at))


@pytest.mark.parametrize(
    "transcript",
    [each for each in SERVERS if not each.quirks and "strictly" not in each.title],
    ids=lambda transcript: transcript.title,
)
def test_quirks_change_nothing_where_they_are_not_needed(transcript):
    play(transcript, client_in(transcript.state, quirks=set(Quirk) - {Quirk.BARE_LF}), whole)


class Notes:
    """An observer that keeps the quirks."""

    def __init__(self) -> None:
        self.quirks: list[Quirk] = []

    def heard(self, _session, event):
        if isinstance(event, Tolerated):
            self.quirks.append(event.quirk)

    def said(self, _session, item):
        pass

    def ended(self, _session, error):
        pass


def ask(transcript: OfClient, cut: Cut) -> None:
    """Play a transcript of a client to a server, and compare what it answers."""
    notes = Notes()
    connection = ServerConnection(quirks=transcript.quirks)
    session = Serving(FakeStore(UNIX, DOS), connection=connection, observer=notes, failure_delay=0)
    session = session.logged_in() if transcript.login else session.greeted()
    for number, (asked, answered) in enumerate(transcript.turns):
        assert session.ask(*cut(asked)) == answered, f"{transcript.title}, turn {number}"
    assert session.actor.finished == transcript.ends
    assert set(notes.quirks) == transcript.quirks
    if not transcript.ends:
        session.hang_up()
    session.store.check_all_is_closed()
    assert session.store.commits in ([], [(frozenset(), frozenset({1}))])


@of_each_client
@in_pieces
def test_what_a_server_answers_to_a_client(transcript, cut):
    ask(transcript, CUTS[cut])
