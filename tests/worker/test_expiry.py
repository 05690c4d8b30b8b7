"""What is too old is not replayed: reads and generate calls only, in their place in the sums, decided by age alone."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.wire import Capture, Kind, Raised, Side
from worker.expiry import TOO_OLD, is_expired
from worker.replay import Replayer

START_US = 1_790_000_000_000_000
RETURNED = Side(5, returned=msgspec.Raw(b"1"))
RAISED = Side(5, raised=Raised("LookupError", "no"))


def captured(kind: str = "read", **sides: Side) -> Capture:
    made = {"v": 1, "id": "p-1", "op": "note.list", "user": "ann", "start": START_US - 9, "end": START_US, "epoch": 1}
    return Capture(kind=Kind(kind), args=msgspec.Raw(b'{"user":"ann"}'), **made, **(sides or {"legacy": RETURNED}))


@settings(deadline=None)  # a busy machine
@given(st.sampled_from(Kind), st.floats(0.001, 10**6), st.integers(-(10**12), 10**13))
def test_only_age_and_kind_decide(kind, after_s, age_us):
    """To the microsecond; a capture from the future is not old, and a write never is."""
    found = is_expired(captured(kind), START_US + age_us, after_s)
    assert found == (kind is not Kind.WRITE and age_us > after_s * 1_000_000)


@pytest.mark.parametrize("enhanced", [RETURNED, RAISED])
def test_what_needs_no_replay_does_not_expire(enhanced):
    """Both sides answered live: there is nothing that age could spoil, and a failure is one for ever."""
    assert not is_expired(captured(legacy=RETURNED, enhanced=enhanced), START_US + 10**12, 1.0)
    assert is_expired(captured(enhanced=enhanced), START_US + 10**12, 1.0)  # legacy would have to be asked now


@pytest.mark.slow
def test_a_backlog_that_is_too_old_costs_no_replay_but_its_writes(notes, client, make_drain, sums, clean):
    """Reads expire, writes are replayed in their order, and both sums are exact; what is captured later is judged."""
    calls = notes.converse()
    client.flush(5)
    notes.end()
    counts = make_drain(replayer=Replayer(client.operations, 5.0, expire_after_s=1e-6)).run(0)
    found = sums()
    assert found.funnel == Counter(eligible=calls, captured=calls)
    assert found.outcomes == Counter(match=calls // 2, expired=calls // 2) == counts_of(counts)
    assert found.reasons == {("expired", TOO_OLD): calls // 2}
    assert (found.pending, found.done) == (0, calls)
    assert {op for op, _ in notes.replays} == {"note.save"}
    clean()


def counts_of(counts: Counter[str]) -> Counter[str]:
    return Counter({name: counts[name] for name in ("match", "expired") if counts[name]})


@pytest.mark.slow
def test_after_an_expired_backlog_everything_matches(notes, client, make_drain, sums):
    """Nothing was missed by it."""
    old = notes.converse()
    client.flush(5)
    make_drain(replayer=Replayer(client.operations, 5.0, expire_after_s=1e-6)).run(0)
    fresh = notes.converse()
    notes.end()
    make_drain().run(0)
    found = sums()
    assert found.outcomes["match"] >= fresh
    assert found.outcomes == Counter(match=old + fresh - found.outcomes["expired"], expired=found.outcomes["expired"])
