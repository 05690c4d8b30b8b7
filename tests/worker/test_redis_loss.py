"""What Redis forgets, repeats or shuffles changes no sum: it is sent again or booked as lost; nobody is misjudged."""

from collections import Counter

import pytest

from gnomon import outbox
from gnomon.hashing import lane_of
from ledger import everyone_of
from worker.looking import Lookout
from worker.settling import PATIENCE_S, Settler

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def grown_up(monkeypatch):
    """Let no drain wait for live processes to find Redis again: here they have."""
    monkeypatch.setattr(Lookout, "is_young", lambda *_: False)


@pytest.fixture
def forget(server):
    """Let Redis lose everything, as where it is restarted without its data; every connection breaks."""

    def run() -> None:
        with server.pipeline() as pipeline:
            pipeline.flushall()
            pipeline.client_kill_filter(_type="normal", skipme=True)
            pipeline.execute()

    return run


@pytest.fixture
def drain_all(make_drain):
    def run() -> None:
        for lane in range(4):
            make_drain().run(lane)

    return run


def test_what_redis_forgot_is_sent_again(notes, client, forget, drain_all, sums, clean):
    """Nothing was replayed yet: all of it is, in the order of the calls."""
    calls = notes.converse()
    assert client.flush(5)
    forget()
    notes.converse(turns=1)
    notes.end()
    drain_all()
    found = sums()
    assert found.outcomes == Counter(match=calls + calls // 4)
    assert (found.pending, found.funnel["eligible"], found.gaps) == (0, found.outcomes.total(), {})
    clean()


def test_a_read_that_may_have_been_made_before_is_not_compared(
    notes, client, forget, drain_all, make_drain, sums, ledger, monkeypatch
):
    """Its first finding went with worker and Redis, and the write behind it was made: a second look would see that."""
    calls = notes.converse()
    assert client.flush(5)
    drain_all()
    notes.read("ann")
    notes.save("ann", "new")
    notes.read("ann")
    assert client.flush(5)
    dying = make_drain()
    dying._hand_back = lambda: None

    def die(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            dying.run(lane_of("ann", 4))
    forget()
    calls += notes.converse(turns=1)
    notes.end()
    drain_all()
    assert (sums().outcomes["diverged"], sums().outcomes["match"]) == (0, calls + 2)
    assert sums().reasons["excluded", "causal"] == 1


def test_what_was_done_before_redis_forgot_it_is_not_done_again(notes, client, forget, drain_all, sums, clean):
    """Live processes send again what they keep, done or not; the ledger knows which it has read."""
    calls = notes.converse()
    assert client.flush(5)
    drain_all()
    replayed = len(notes.replays)
    assert replayed
    forget()
    notes.converse(turns=1)
    notes.end()
    drain_all()
    assert sums().outcomes == Counter(match=calls + calls // 4)
    assert len(notes.replays) == calls + calls // 4
    clean()


def test_nothing_is_replayed_before_live_processes_have_come_back(
    make_client, application, forget, drain_all, sums, make_drain, monkeypatch, hints
):
    """A Redis that has just begun without its data: the first process back must not be judged without the others."""
    notes = application(make_client(), make_client())
    notes.introduce()
    for app in range(2):
        notes.converse(app=app)
    assert all(client.flush(5) for client in notes.clients)
    drain_all()
    notes.clients[1].close()
    forget()
    notes.converse(turns=1)
    notes.clients[0].close()
    answers = iter([True] * 3)
    asked = []
    monkeypatch.setattr(Lookout, "is_young", lambda *_: asked.append(len(notes.replays)) or next(answers, False))
    before = len(notes.replays)
    make_drain().run(0)
    assert asked[:4] == [before] * 4
    assert hints == []
    drain_all()
    assert (sums().pending, sums().outcomes["diverged"]) == (0, 0)


def test_what_nobody_has_any_more_is_booked_as_lost(notes, client, forget, drain_all, sums, ledger, store, monkeypatch):
    """Sums are exact again after a while, and the lanes' users are in a gap before anything of theirs is compared."""
    monkeypatch.setattr(outbox, "KEEP_S", -1.0)
    notes.converse(turns=2)
    assert client.flush(5)
    drain_all()
    calls = notes.converse(turns=2)
    assert client.flush(5)
    ledger.fold(store.senders.changed(range(4)).sent)
    forget()
    reads = 0
    for user in notes.legacy:
        notes.read(user)
        reads += 1
    notes.end()
    drain_all()
    found = sums()
    assert (found.outcomes["diverged"], found.reasons["excluded", "causal"]) == (0, reads)
    assert found.pending == calls
    settler = Settler(store, ledger, frozenset({"note.list"}))
    assert settler.look(lambda: 0.0) == 0
    assert settler.look(lambda: PATIENCE_S) == calls
    found = sums()
    assert (found.pending, found.outcomes["lost"]) == (0, calls)
    assert set(ledger.standings(map(everyone_of, range(4)))) == {everyone_of(lane) for lane in used_lanes(ledger)}


def used_lanes(ledger):
    with ledger.reading() as reading:
        return reading.positions()


def test_a_lane_in_which_something_waits_has_lost_nothing(notes, client, store, ledger):
    """However long it waits."""
    notes.converse(turns=1)
    assert client.flush(5)
    ledger.fold(store.senders.changed(range(4)).sent)
    settler = Settler(store, ledger, frozenset())
    assert (settler.look(lambda: 0.0), settler.look(lambda: 1e9)) == (0, 0)


def test_a_settled_lane_is_left_alone(notes, client, drain_all, store, ledger, sums):
    """Everything done: no fence is taken, nothing is written."""
    notes.converse(turns=1)
    notes.end()
    drain_all()
    sums()
    fences = [ledger.take(lane).fence for lane in range(4)]
    settler = Settler(store, ledger, frozenset())
    assert (settler.look(lambda: 0.0), settler.look(lambda: 1e9)) == (0, 0)
    assert [ledger.take(lane).fence for lane in range(4)] == [fence + 1 for fence in fences]


@pytest.mark.parametrize("order", ["as sent", "backwards"])
def test_entries_twice_and_out_of_order_count_once(notes, client, server, keys, drain_all, sums, clean, order):
    """A network that repeats itself: each capture ends once, and no read is compared against too little."""
    calls = notes.converse()
    notes.end()
    for lane in map(keys.lane, range(4)):
        entries = [fields for _, fields in server.xrange(lane.stream)]
        server.delete(lane.stream)
        for fields in entries + entries if order == "as sent" else entries[::-1] + entries:
            server.xadd(lane.stream, fields)
    drain_all()
    found = sums()
    assert found.outcomes["diverged"] == 0
    assert (found.outcomes.total(), found.pending, len(notes.replays)) == (calls, 0, found.outcomes["match"])
    clean()


def test_copies_of_what_is_done_are_no_news(notes, server, keys, drain_all, sums, clean):
    """They come when their lane is done: nothing is counted, and the lane is empty again."""
    calls = notes.converse()
    notes.end()
    copies = [(lane, fields) for lane in range(4) for _, fields in server.xrange(keys.lane(lane).stream)]
    drain_all()
    for lane, fields in copies:
        server.xadd(keys.lane(lane).stream, fields)
    drain_all()
    assert (sums().outcomes, len(notes.replays)) == (Counter(match=calls), calls)
    clean()
