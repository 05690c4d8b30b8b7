"""Closing a user's gap: what is asked of the application, in which order, and where the user stands after it."""

import threading
import time
from concurrent.futures import FIRST_COMPLETED, wait

import msgspec
import pytest

from gnomon.hashing import user_digest
from gnomon.wire import Capture, Kind, Side
from ledger import UNVERIFIED, FencedError, Finding, Opening, Outcome, Standing
from worker import jobs, mending
from worker.entries import LaneItem
from worker.fanout import Fanout
from worker.findings import Replayed
from worker.mending import CLOCKS_US, Mender
from worker.pool import ReplayPool
from worker.selection import Due

NOW = 9_000_000_000
START = 7_000_000_000
DIGEST = user_digest("ann")
NEW = Standing(digest=DIGEST, closed_us=None, reason=UNVERIFIED)
LOST = Standing(digest=DIGEST, opened_us=START - 5, until_us=START + 5, closed_us=None, reason="lost")


class Data:
    """User data that answers as told, in turn."""

    def __init__(self, *answers: bool) -> None:
        self.answers = iter(answers)
        self.asked: list[str] = []

    def verify(self, user, before=None) -> bool:
        self.asked.append("verify" if before is None else f"before {round(before.timestamp() * 1e6)}")
        return next(self.answers)

    def repair(self, user, before=None) -> int:
        self.asked.append("repair")
        return 3


class Kept(list):
    def __call__(self, opening: Opening) -> None:
        self.append(opening)


def mended(data: Data, standing: Standing, keep=None):
    return Mender(data, lambda: NOW).mend("ann", standing, START, Kept() if keep is None else keep)


def test_a_new_user_whose_history_agrees_is_trusted_from_the_start():
    """Nothing was changed, so nothing is excluded; what came after is the lane's business."""
    data, kept = Data(True), Kept()
    found = mended(data, NEW, kept)
    assert (found.standing.closed_us, found.verified_us, kept) == (0, 0, [])
    assert data.asked == [f"before {START - CLOCKS_US}"]


def test_a_new_user_whose_history_differs_is_repaired():
    """That they are in a gap is written down first."""
    data, kept = Data(False, True), Kept()
    found = mended(data, NEW, kept)
    assert (found.standing.closed_us, found.verified_us) == (NOW, NOW)
    assert data.asked == [f"before {START - CLOCKS_US}", "repair", "verify"]
    assert [(one.since_us, one.reason) for one in kept] == [(0, UNVERIFIED)]


def test_a_gap_that_verifies_needs_no_repair():
    """What was thought lost is there."""
    data, kept = Data(True), Kept()
    found = mended(data, LOST, kept)
    assert (found.standing.closed_us, found.verified_us, kept) == (NOW, NOW, [])
    assert data.asked == ["verify"]


def test_a_user_who_goes_on_writing_is_verified_up_to_what_was_lost():
    """Live writes come between repair and verification: they are captured, and no part of the gap."""
    data = Data(False, False, True)
    found = mended(data, LOST)
    bound = LOST.until_us + CLOCKS_US
    assert data.asked == ["verify", "repair", "verify", f"before {bound}"]
    assert (found.standing.closed_us, found.verified_us) == (NOW, bound)


def test_a_gap_that_has_just_ended_is_repaired_again_where_a_live_write_came_in_between():
    """By the clocks' error that write may belong to what was lost; it is there by the next repair."""
    data = Data(False, False, False, False, True)
    found = mended(data, msgspec.structs.replace(LOST, until_us=NOW - 1))
    bound = f"before {NOW - 1 + CLOCKS_US}"
    assert data.asked == ["verify", "repair", "verify", bound, "repair", "verify", bound]
    assert (found.standing.closed_us, found.verified_us) == (NOW, NOW)


def test_what_cannot_be_made_to_agree_stays_open():
    """And is not tried again for a minute."""
    mender = Mender(Data(False, False, False), lambda: NOW)
    found = mender.mend("ann", LOST, START, Kept())
    assert (found.standing.is_open, found.verified_us) == (True, 0)
    assert not mender.worth_trying(LOST)


def test_a_minute_later_it_is_tried_again(monkeypatch):
    """What was wrong may have been put right."""
    mender = Mender(Data(False, False, False), lambda: NOW)
    mender.mend("ann", LOST, START, Kept())
    monkeypatch.setattr(mending, "AGAIN_S", -1.0)
    assert mender.worth_trying(LOST)


def test_without_user_data_nothing_is_tried():
    """Gaps stay open then."""
    assert not Mender(None, lambda: NOW).worth_trying(LOST)


def test_who_has_lost_the_lane_repairs_nothing():
    """Somebody else holds it, and replays."""
    data = Data(False)

    def refused(opening: Opening) -> None:
        raise FencedError(1, 2)

    with pytest.raises(FencedError):
        mended(data, NEW, refused)
    assert "repair" not in data.asked


def test_an_error_of_the_application_leaves_the_gap_open(capsys):
    """It is logged by its class."""
    data = Data()
    data.verify = lambda user, before=None: 1 / 0
    assert mended(data, LOST).standing == LOST
    assert "ZeroDivisionError" in "".join(capsys.readouterr())


def test_users_are_not_remembered_without_end(monkeypatch):
    """More failures than are worth remembering are forgotten: each is tried once more."""
    monkeypatch.setattr(mending, "MOST_REMEMBERED", 3)
    mender = Mender(Data(), lambda: NOW)
    for number in range(5):
        mender.failed(Standing(digest=str(number)))
    assert len(mender._failed) <= 3


def test_a_gap_is_closed_by_the_clock_as_it_is_then():
    """It may have been set since it was last asked: what was captured before the repair must not seem to come after."""
    mender = Mender(Data(False, True), lambda: NOW, lambda: NOW + 3_600_000_000)
    found = mender.mend("ann", LOST, START, Kept())
    assert found.standing.closed_us == NOW + 3_600_000_000
    assert found.verified_us <= NOW


# --- within a user's job


def due(name: str, start: int = START) -> Due:
    raw = msgspec.Raw(b"1")
    kind = Kind.WRITE if name.startswith("w") else Kind.READ
    capture = Capture(1, name, "note.op", kind, "ann", start, start + 1, raw, 1, legacy=Side(1, returned=raw))
    return Due(LaneItem(capture.order, b"", capture), late=False)


class Replays:
    timeout_s = 0.05

    def __init__(self) -> None:
        self.causal: dict[str, bool] = {}

    def replay(self, replayed: Due, *, causal: bool, now_us) -> Replayed:
        capture = replayed.item.capture
        self.causal[capture.id] = causal
        made = {"operation": "note.op", "epoch": 1, "user": "ann", "called_at_us": 1, "outcome": Outcome.MATCH}
        return Replayed(finding=Finding(capture_id=capture.id, **made))

    def is_single(self, capture) -> bool:
        return False


class NoJournal:
    def known(self, capture_id: str) -> None:
        return None

    def is_ambiguous(self, capture_id: str) -> bool:
        return False

    def keep(self, findings, openings=()) -> None:
        pass


@pytest.fixture
def run():
    """Run a user's captures in a batch of their own; returns the batch and its findings."""
    pools = []

    def start(data: Data, standing: Standing, *dues: Due):
        pools.append(ReplayPool(2))
        replays = Replays()
        batch = Fanout(pools[-1], replays, NoJournal(), Mender(data, lambda: NOW))
        batch.start({"ann": list(dues)}, {"ann": standing})
        until = time.monotonic() + 5
        while (found := batch.collect()) is None and time.monotonic() < until:
            wait(batch.futures, timeout=0.02, return_when=FIRST_COMPLETED)
        return batch, replays.causal, found

    yield start
    for pool in pools:
        pool.close()


def test_what_began_before_the_repair_stays_excluded(run):
    """What begins after it is judged."""
    data = Data(True)
    batch, causal, _ = run(data, LOST, due("r1"), due("r2", NOW), due("r3", NOW + 1))
    assert causal == {"r1": True, "r2": True, "r3": False}
    assert batch.standings[DIGEST].closed_us == NOW
    assert batch.cleared == {DIGEST: NOW}
    assert data.asked == ["verify"]


def test_what_lies_before_a_gap_is_judged_and_asks_nothing(run):
    """It concerns what comes later."""
    data = Data()
    standing = msgspec.structs.replace(LOST, opened_us=START + 50, until_us=START + 60)
    batch, causal, _ = run(data, standing, due("r1"))
    assert (causal, data.asked, batch.standings) == ({"r1": False}, [], {})


def test_a_repair_that_hangs_costs_no_capture(run, monkeypatch):
    """Its thread is left to itself, the user stays in the gap, everything is replayed once."""
    monkeypatch.setattr(jobs, "MEND_S", 0.1)
    over, data = threading.Event(), Data()
    data.verify = lambda user, before=None: over.wait(5) and False
    batch, causal, found = run(data, LOST, due("r1"), due("w2"), due("r3"))
    over.set()
    assert [one.outcome for one in found] == [Outcome.MATCH] * 3
    assert causal == {"r1": True, "w2": True, "r3": True}
    assert (batch.abandoned, batch.standings) == (1, {})


def test_a_repair_may_take_longer_than_a_replay(run):
    """The time limit of replays is enhanced's."""
    data = Data()
    data.verify = lambda user, before=None: time.sleep(0.3) or True
    batch, _, found = run(data, LOST, due("r1", NOW + 1))
    assert (batch.abandoned, [one.outcome for one in found]) == (0, [Outcome.MATCH])
