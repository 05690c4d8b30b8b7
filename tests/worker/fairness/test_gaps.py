"""Users of whom a write was lost: their calls are excluded until their data was made good, and nobody else's are."""

from collections import Counter

import msgspec
import pytest

from gnomon.wire import Raised, Side
from ledger import LaneCommit, Standing
from worker import mending
from worker.looking import Lookout

pytestmark = pytest.mark.slow


@pytest.fixture
def note(notes):
    """Let legacy hold notes of Ann by number, as the captures say."""

    def keep(*numbers: int, user: str = "ann") -> None:
        notes.legacy[user] |= {number: f"note {number}" for number in numbers}

    return keep


def test_what_follows_a_lost_write_is_excluded(notes, make_drain, sums, tape, listed, server, keys, store):
    """From its start on, of that user alone, in the very batch; the gap is in the ledger then, and not in Redis."""
    other = [tape.save(5, 6, 1), tape.read(7, 8, legacy=listed(1)), tape.read(35, 36, legacy=listed(1, 2))]
    tape.append(*other, **{tape.digest: tape.at(20)})
    assert make_drain().run(tape.lane)["match"] == 2
    found = sums()
    assert found.outcomes == Counter(match=2, excluded=1)
    assert (found.reasons, found.gaps) == ({("excluded", "causal"): 1}, {"lost": 1})
    assert notes.replays == [("note.save", "ann"), ("note.list", "ann")]
    assert not server.exists(keys.lane(tape.lane).gaps)
    assert store.left(tape.lane).openings == {}


def test_a_gap_is_still_open_for_the_next_holder(notes, make_drain, sums, tape, listed):
    """It is in the ledger; without anything to verify it by it stays open, and writes are replayed all the same."""
    tape.append(tape.save(5, 6, 1), **{tape.digest: tape.at(20)})
    make_drain().run(tape.lane)
    tape.append(tape.save(30, 31, 3), tape.read(35, 36, legacy=listed(1, 2, 3)))
    make_drain().run(tape.lane)
    found = sums()
    assert found.outcomes == Counter(match=2, excluded=1)
    assert (found.reasons, found.gaps) == ({("excluded", "causal"): 1}, {"lost": 1})


@pytest.mark.parametrize("known", [True, False], ids=["known before", "found since"])
def test_a_gap_that_was_told_before_the_clock_was_set_back_excludes_what_comes_after(
    notes, make_drain, sums, tape, listed, known
):
    """It begins in an hour that has not come yet: of what is captured meanwhile it excludes all the same."""
    tape.append(tape.save(5, 6, 1), **{tape.digest: tape.at(3_600_000)})
    if known:
        make_drain().run(tape.lane)
    tape.append(tape.read(35, 36, legacy=listed(1, 2)))
    make_drain().run(tape.lane)
    found = sums()
    assert (found.reasons, found.gaps) == ({("excluded", "causal"): 1}, {"lost": 1})
    assert found.outcomes == Counter(match=1, excluded=1)


def test_a_gap_found_after_the_clock_was_set_back_is_not_made_good_by_a_repair_before_that(
    notes, make_drain, sums, tape, listed, user_data, note, ledger
):
    """The repair seems to be later than the gap; it is looked after all the same, and enhanced gets what it lacks."""
    hold, ahead = ledger.take(tape.lane), tape.at(3_600_000)
    closed = Standing(digest=tape.digest, until_us=ahead, closed_us=ahead, reason="lost")
    ledger.commit(
        LaneCommit(lane=tape.lane, fence=hold.fence, before=hold.position, after=hold.position, standings=(closed,))
    )
    note(1)
    tape.append(tape.read(35, 36, legacy=listed(1)), **{tape.digest: tape.at(20)})
    make_drain().run(tape.lane)
    assert notes.enhanced["ann"] == {1: "note 1"}
    assert (sums().reasons, sums().gaps) == ({("excluded", "causal"): 1}, {})


def test_a_clock_that_is_set_back_during_a_repair_frees_nothing_that_the_repair_excludes(
    notes, make_drain, sums, tape, listed, user_data, note, monkeypatch
):
    """What waits was captured before the repair, in the time before: enhanced is ahead of it."""
    note(1, 2)
    tape.append(tape.save(5, 6, 1), tape.read(35, 36, legacy=listed(1)), **{tape.digest: tape.at(20)})
    told = Lookout.now_us

    def now_us(lookout: Lookout) -> int:
        return told(lookout) - 3_600_000_000 * (("repair", "ann") in user_data.asked)

    monkeypatch.setattr(Lookout, "now_us", now_us)
    make_drain().run(tape.lane)
    assert notes.enhanced["ann"] == {1: "note 1", 2: "note 2"}
    assert (sums().outcomes, sums().reasons) == (Counter(match=1, excluded=1), {("excluded", "causal"): 1})


def test_a_gap_without_any_capture_is_kept(notes, make_drain, sums, tape, server, keys):
    """A lane may have nothing else."""
    tape.append(**{tape.digest: tape.at(20)})
    make_drain().run(tape.lane)
    assert sums().gaps == {"lost": 1}
    assert not server.exists(keys.lane(tape.lane).gaps)


def test_everybody_of_a_lane_may_be_in_a_gap(notes, make_drain, sums, tape, make_tape, listed):
    """Where a process had lost too many users' writes to name them; other lanes are none of its business."""
    elsewhere = make_tape("ben", "q")
    assert elsewhere.lane != tape.lane
    for one in (tape, elsewhere):
        one.append(one.save(5, 6, 1), one.read(25, 26, legacy=listed(1)))
    tape.append(**{"*": tape.at(20)})
    for one in (tape, elsewhere):
        make_drain().run(one.lane)
    found = sums()
    assert found.outcomes == Counter(match=3, excluded=1)
    assert found.gaps == {"lost": 1}


def test_a_gap_closes_once_the_user_was_repaired(notes, make_drain, sums, tape, listed, user_data, note):
    """What began before stays excluded, for enhanced now holds what came later; what begins after it is judged."""
    note(1, 2)
    tape.append(tape.save(5, 6, 1), tape.read(35, 36, legacy=listed(1, 2)), **{tape.digest: tape.at(20)})
    before = (tape.now_us() - tape.began_us) / 1_000
    make_drain().run(tape.lane)
    assert notes.enhanced["ann"] == {1: "note 1", 2: "note 2"}
    assert sums().gaps == {}
    now = (tape.now_us() - tape.began_us) / 1_000
    tape.append(tape.read(before, now, legacy=listed(1, 2)), tape.read(now + 1, now + 2, legacy=listed(1, 2)))
    make_drain().run(tape.lane)
    found = sums()
    assert found.reasons == {("excluded", "causal"): 2}
    assert found.outcomes == Counter(match=2, excluded=2)


@pytest.mark.parametrize(("again_s", "asked"), [(60.0, 4), (-1.0, 8)], ids=["at once", "a minute later"])
def test_a_gap_that_cannot_be_closed_stays_open(
    notes, make_drain, sums, tape, listed, user_data, note, monkeypatch, again_s, asked
):
    """It is not tried again with the next capture, but a minute later it is."""
    monkeypatch.setattr(mending, "AGAIN_S", again_s)
    note(1)
    monkeypatch.setattr(user_data, "repair", lambda user, before=None: user_data.asked.append(("repair", user)) or 0)
    tape.append(tape.save(5, 6, 2), tape.read(7, 8, legacy=listed(1, 2)))
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.gaps) == (Counter(match=1, excluded=1), {"unverified": 1})
    assert len(user_data.asked) == asked


def test_an_application_whose_data_cannot_be_read_is_waited_out(notes, make_drain, sums, tape, listed, user_data):
    """An error of the application's costs no capture, no lane and no worker."""

    def broken(what: str, user: str) -> None:
        raise OSError("ann@example.com")

    user_data.before = broken
    tape.append(tape.save(5, 6, 1), tape.read(7, 8, legacy=listed(1)))
    drain = make_drain()
    drain.run(tape.lane)
    found = sums()
    assert found.outcomes == Counter(match=1, excluded=1)
    assert (found.reasons, found.gaps) == ({("excluded", "causal"): 1}, {})
    assert len(user_data.asked) == 1


# --- users nobody has looked at yet


def test_a_fresh_run_excludes_nothing(notes, client, make_drain, sums, user_data):
    """Every user is looked at once, before their first capture; nothing was there before, and nothing is repaired."""
    calls = notes.converse()
    notes.end()
    make_drain().run(0)
    assert sums().outcomes == Counter(match=calls)
    assert {what for what, _ in user_data.asked} == {"verify before"}
    assert len(user_data.asked) == len({user for _, user in user_data.asked})


def test_a_user_is_looked_at_once(notes, make_client, make_drain, sums, tape, listed, user_data):
    """The next batch, and the next holder, find it in the ledger."""
    for start in (5, 15):
        tape.append(tape.save(start, start + 1, start), tape.read(start + 2, start + 3, legacy=listed()))
        make_drain().run(tape.lane)
    assert user_data.asked == [("verify before", "ann")]


def test_a_user_with_history_is_in_a_gap_until_repaired(notes, make_drain, sums, tape, listed, user_data, note):
    """What legacy held before anything was captured comes to enhanced with the first capture."""
    note(1, 2)
    tape.append(tape.read(5, 6, legacy=listed(1, 2)))
    make_drain().run(tape.lane)
    now = (tape.now_us() - tape.began_us) / 1_000
    tape.append(tape.read(now + 1, now + 2, legacy=listed(1, 2)))
    make_drain().run(tape.lane)
    found = sums()
    assert found.outcomes == Counter(match=1, excluded=1)
    assert (found.reasons, found.gaps) == ({("excluded", "causal"): 1}, {})
    assert [what for what, _ in user_data.asked] == ["verify before", "repair", "verify"]


def test_history_that_both_sides_hold_excludes_nothing(notes, make_drain, sums, tape, listed, user_data, note):
    """As after a backfill."""
    note(1, 2)
    notes.enhanced["ann"] = {1: "note 1", 2: "note 2"}
    tape.append(tape.read(5, 6, legacy=listed(1, 2)))
    make_drain().run(tape.lane)
    assert sums().outcomes == Counter(match=1)


# --- what opens a gap in the worker itself


def test_a_write_that_failed_for_good_opens_a_gap(notes, make_drain, sums, tape, listed):
    """It has failed once, and was tried three times more before the user's next capture."""

    def before(operation: str, text: str = "", **_) -> None:
        if text == "note 2":
            raise OSError("disk")

    notes.before = before
    tape.append(tape.save(5, 6, 1), tape.save(15, 16, 2), tape.read(25, 26, legacy=listed(1, 2)))
    make_drain().run(tape.lane)
    found = sums()
    assert found.outcomes == Counter(match=1, failed=1, excluded=1)
    assert (found.reasons["excluded", "causal"], found.gaps) == (1, {"write_failed": 1})
    assert notes.replays == [("note.save", "ann")] * 5


def test_a_write_that_gets_through_in_the_end_opens_none(notes, make_drain, sums, tape, listed):
    """It has failed all the same; the read behind it sees it."""
    failures = iter([OSError("locked")] * 3)

    def before(operation: str, text: str = "", **_) -> None:
        if text == "note 2" and (error := next(failures, None)):
            raise error

    notes.before = before
    tape.append(tape.save(5, 6, 1), tape.save(15, 16, 2), tape.read(25, 26, legacy=listed(1, 2)))
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.gaps) == (Counter(match=2, failed=1), {})


def test_a_write_that_hangs_opens_a_gap(notes, make_drain, sums, tape, listed, gate):
    """Nobody waits for it a second time."""
    notes.before = lambda operation, **_: operation == "note.save" and gate(operation)
    tape.append(tape.save(5, 6, 1), tape.read(25, 26, legacy=listed(1)))
    make_drain(timeout_s=0.2).run(tape.lane)
    gate.leave.set()
    found = sums()
    assert (found.outcomes, found.gaps) == (Counter(failed=1, excluded=1), {"write_failed": 1})


@pytest.mark.parametrize(
    ("raised", "outcomes", "gaps"),
    [
        (Raised("OSError", "x"), Counter(excluded=2), {"legacy_raised": 1}),
        (Raised("ValueError", "no", rejected=True), Counter(diverged=1, match=1), {}),
    ],
    ids=["raised", "rejected"],
)
def test_a_write_that_legacy_raised_on_may_have_happened(notes, make_drain, sums, tape, listed, raised, outcomes, gaps):
    """Unless it said no on purpose."""
    notes.enhanced["ann"] = {}
    tape.append(tape.save(5, 6, 1, legacy=Side(7, raised=raised)), tape.read(25, 26, legacy=listed("x")))
    notes.before = lambda operation, **_: ["note x"] if operation == "note.list" else None
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.gaps) == (outcomes, gaps)


def test_a_late_write_opens_a_gap(notes, make_drain, sums, tape, listed):
    """It is replayed behind its place."""
    tape.append(tape.save(15, 16, 2))
    make_drain().run(tape.lane)
    tape.append(tape.save(5, 6, 1), tape.read(25, 26, legacy=listed(1, 2)))
    make_drain().run(tape.lane)
    found = sums()
    assert found.reasons == {("excluded", "late"): 1, ("excluded", "causal"): 1}
    assert (found.outcomes, found.gaps) == (Counter(match=1, excluded=2), {"late": 1})
    assert notes.enhanced["ann"] == {1: "note 1", 2: "note 2"}


def test_a_line_that_nobody_can_read_opens_the_gap_of_its_user(notes, make_drain, sums, tape, listed):
    """It may be a write, and all that is known of its time is what its process promised before."""
    reads = [tape.read(8, 9, legacy=listed()), tape.read(12, 13, legacy=listed())]
    tape.producer.append(tape.lane, (tape.digest, 1, b"no zlib at all"), watermark=tape.at(10))
    tape.append(*reads, watermark=tape.at(10))
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.gaps) == (Counter(match=1, excluded=1, parked=1), {"unreadable": 1})


def test_a_parked_read_opens_none(notes, make_drain, sums, tape, listed):
    """Nothing is missing without it."""
    parked = msgspec.structs.replace(tape.read(5, 6, legacy=listed()), op="nobody.knows")
    tape.append(parked, tape.read(7, 8, legacy=listed()))
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.gaps) == (Counter(match=1, parked=1), {})


# --- crashes


class Crash(BaseException):
    """The worker is gone at this point: nothing of it tidies up."""


def test_a_gap_taken_over_by_a_worker_that_dies_is_found_by_the_next(
    notes, make_drain, make_store, sums, tape, listed, monkeypatch
):
    """It waits in the journal until it is committed."""
    tape.append(tape.save(5, 6, 1), tape.read(35, 36, legacy=listed(1, 2)), **{tape.digest: tape.at(20)})
    dying = make_store()

    def die(*_) -> None:
        raise Crash

    monkeypatch.setattr(dying, "before_commit", die)
    with pytest.raises(Crash):
        make_drain(lanes=dying).run(tape.lane)
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.gaps) == (Counter(match=1, excluded=1), {"lost": 1})


def test_repaired_data_is_not_taken_for_what_replays_came_to(
    notes, make_drain, make_store, sums, tape, listed, user_data, note, monkeypatch
):
    """A worker dies between repair and commit: what was captured before the repair is excluded by the next as well."""
    note(1, 2)
    tape.append(tape.read(5, 6, legacy=listed(1)), tape.read(8, 9, legacy=listed(1)))
    dying = make_store()

    def die(*_) -> None:
        raise Crash

    monkeypatch.setattr(dying, "before_commit", die)
    with pytest.raises(Crash):
        make_drain(lanes=dying).run(tape.lane)
    assert notes.enhanced["ann"] == {1: "note 1", 2: "note 2"}
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.reasons, found.gaps) == (Counter(excluded=2), {("excluded", "causal"): 2}, {})
