"""A capture is judged by what each side did live; only what was not invoked then is replayed, and every write."""

import msgspec
import pytest

from gnomon import Gnomon, call
from gnomon.wire import Capture, Kind, Phase, Raised, Side, encode, encode_value
from ledger import Opening, Outcome
from worker import judging, replay
from worker.entries import LaneItem
from worker.findings import superseded
from worker.replay import Replayer
from worker.selection import Due

DIED = OSError("disk")


def gave(value, **more) -> Side:
    return Side(7, returned=msgspec.Raw(encode_value(value)), **more)


def raised(kind="OSError", message="disk", **more) -> Side:
    return Side(7, raised=Raised(kind, message, **more))


class System:
    """One side: does what it was told, in turn, and tells how often it was called and as what."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.calls: list[object] = []

    def __call__(self, user: str, tags: tuple[str, ...] = ()) -> object:
        self.calls.append((call(), tags))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def replayed(monkeypatch):
    """Replay one capture between two systems."""
    monkeypatch.setattr(replay, "RETRIES_S", (0.0, 0.0, 0.0))

    def run(old: System, new: System, /, *, kind=Kind.READ, causal=False, due=None, timeout_s=5.0, **sides):
        client = Gnomon.from_env({})

        def typed(user: str, tags: tuple[str, ...] = ()) -> None:
            return old(user, tags)

        client.operation("note.op", kind=kind, user="user")(typed).enhanced(new)
        made = Capture(
            v=1,
            id="p-1",
            op="note.op",
            kind=kind,
            user="ann",
            start=10,
            end=20,
            args=msgspec.Raw(b'{"user":"ann","tags":["a"]}'),
            epoch=1,
            **sides,
        )
        replayer = Replayer(client.operations, timeout_s)
        return replayer.replay(
            Due(LaneItem(made.order, encode(made), made), **{"late": False, **(due or {})}),
            causal=causal,
            now_us=lambda: 77,
        )

    return run


# --- reads


def test_legacy_alone_has_enhanced_replayed(replayed):
    """When that was is noted, for what may have come between."""
    legacy, enhanced = System(1), System([1])
    found = replayed(legacy, enhanced, legacy=gave([1])).finding
    assert (found.outcome, found.exposure, found.replayed_us) == (Outcome.MATCH, "shadow", 77)
    assert (len(legacy.calls), len(enhanced.calls)) == (0, 1)


def test_enhanced_alone_has_legacy_replayed(replayed):
    """As its caller would have called it: typed, and outside of any enhanced call."""
    legacy, enhanced = System([1]), System("never")
    found = replayed(legacy, enhanced, enhanced=gave([1]), serving="enhanced", phase=Phase.SERVED).finding
    assert (found.outcome, found.exposure, found.replayed_us) == (Outcome.MATCH, "served", 77)
    assert (legacy.calls, enhanced.calls) == ([(None, ("a",))], [])


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (raised("TimeLimitError", "x"), "timeout"),
        (raised("InvalidResultError", "x"), "invalid"),
        (raised(), "raised OSError"),
    ],
    ids=["timeout", "invalid", "raised"],
)
def test_a_fallback_is_judged_as_it_was(replayed, live, reason):
    """Both answered live: nothing is replayed; enhanced was asked to serve."""
    legacy, enhanced = System("never"), System("never")
    found = replayed(legacy, enhanced, legacy=gave(1), enhanced=live, phase=Phase.SERVED).finding
    assert (found.outcome, found.reason, found.exposure) == (Outcome.FAILED, reason, "served")
    assert (legacy.calls, enhanced.calls, found.replayed_us) == ([], [], 0)


def test_a_fallback_whose_legacy_raises_alike_matches(replayed):
    """As in shadow."""
    found = replayed(System(1), System(1), legacy=raised(), enhanced=raised(), phase=Phase.SERVED).finding
    assert found.outcome == Outcome.MATCH


def test_where_enhanced_was_not_asked_it_was_not_served(replayed):
    """A breaker was open, say: legacy answered alone, and enhanced is replayed."""
    found = replayed(System("never"), System(1), legacy=gave(1), phase=Phase.SERVED).finding
    assert (found.outcome, found.exposure) == (Outcome.MATCH, "shadow")


def test_the_live_context_is_told_to_the_judge(replayed, monkeypatch):
    """What an enhanced chat was given, when it answered the user."""
    told, judge = [], judging.judge
    monkeypatch.setattr(judging, "judge", lambda *args, **more: told.append(args) or judge(*args, **more))
    replayed(System("a"), System("b"), kind=Kind.GENERATE, enhanced=gave("b", context=("tea",)), serving="enhanced")
    assert told[0][2].context == ("tea",)


def test_a_served_call_that_the_caller_cut_off_is_no_outcome(replayed):
    """Nothing is replayed for it."""
    legacy, enhanced = System("never"), System("never")
    cut_off = raised("CancelledError", "", interrupted=True)
    found = replayed(legacy, enhanced, enhanced=cut_off, serving="enhanced", phase=Phase.SERVED).finding
    assert (found.outcome, found.reason, legacy.calls) == (Outcome.EXCLUDED, "interrupted", [])


def test_a_legacy_that_does_not_come_back_says_nothing_of_enhanced(replayed):
    """It cannot be judged; the enhanced answer is no failure."""
    made = Capture(1, "p-1", "o", Kind.READ, "ann", 1, 2, msgspec.Raw(b"{}"), 1, enhanced=gave(1), serving="enhanced")
    found = Replayer({}, 2.0).given_up(made, judging=False).finding
    assert (found.outcome, found.exposure) == (Outcome.INCONCLUSIVE, "served")


# --- excluded


@pytest.mark.parametrize(
    ("due", "causal", "reason"),
    [
        ({"unfair": "concurrent"}, False, "concurrent"),
        ({"unfair": "superseded"}, False, "superseded"),
        ({}, True, "causal"),
        ({"unfair": "superseded"}, True, "causal"),
        ({"unfair": "concurrent"}, True, "concurrent"),
        ({"unfair": "concurrent", "late": True}, True, "late"),
    ],
)
@pytest.mark.parametrize("kind", [Kind.READ, Kind.GENERATE])
def test_what_is_unfair_is_not_replayed(replayed, due, causal, reason, kind):
    """Whatever would come of it, on either side."""
    for side in ({"legacy": gave(1)}, {"enhanced": gave(1), "serving": "enhanced"}):
        legacy, enhanced = System("never"), System("never")
        found = replayed(legacy, enhanced, kind=kind, due=due, causal=causal, **side).finding
        assert (found.outcome, found.reason) == (Outcome.EXCLUDED, reason)
        assert found.enhanced_returned is ("enhanced" in side)
        assert legacy.calls == enhanced.calls == []


def test_an_unfair_call_that_enhanced_raised_on_live_has_failed(replayed):
    """Exclusion removes it from comparison only."""
    unfair = {"unfair": "concurrent"}
    found = replayed(System(1), System(1), due=unfair, legacy=gave(1), enhanced=raised(), phase=Phase.SERVED).finding
    assert found.outcome == Outcome.FAILED
    both = replayed(System(1), System(1), due=unfair, legacy=raised(), enhanced=raised(), phase=Phase.SERVED).finding
    assert (both.outcome, both.reason) == (Outcome.EXCLUDED, "concurrent")


@pytest.mark.parametrize("outcome", list(Outcome))
def test_superseding_hides_no_failure(replayed, outcome):
    """Only what was compared is taken out of comparison."""
    found = msgspec.structs.replace(replayed(System(1), System(1), legacy=gave(1)).finding, outcome=outcome)
    after = superseded(found)
    compared = {Outcome.MATCH, Outcome.IGNORED, Outcome.DIVERGED, Outcome.INCONCLUSIVE}
    assert after.outcome == (Outcome.EXCLUDED if outcome in compared else outcome)
    assert (after.reason == "superseded") is (outcome in compared)


# --- writes


def test_a_dual_write_is_judged_live_and_replayed_all_the_same(replayed):
    """The replay repairs and is not judged."""
    legacy, enhanced = System("never"), System("other")
    result = replayed(legacy, enhanced, kind=Kind.WRITE, legacy=gave(1), enhanced=gave(1), phase=Phase.DUAL)
    assert (result.finding.outcome, result.finding.exposure) == (Outcome.MATCH, "shadow")
    assert (len(enhanced.calls), legacy.calls) == (1, [])
    [(current, _)] = enhanced.calls
    assert (current.capture_id, current.shadow, current.origin) == ("p-1", True, 1)
    assert (result.opening, result.restored) == (None, False)


def test_a_dual_write_whose_live_half_failed_is_restored_by_its_replay(replayed):
    """It has failed; enhanced has it now."""
    sides = {"legacy": gave(1), "enhanced": raised("TimeLimitError", "x"), "phase": Phase.DUAL}
    result = replayed(System(1), System(1), kind=Kind.WRITE, **sides)
    assert (result.finding.outcome, result.finding.reason) == (Outcome.FAILED, "timeout")
    assert (result.opening, result.restored) == (None, True)


def test_a_repair_that_fails_is_not_judged_and_opens_the_gap(replayed):
    """Enhanced answered live: that is what counts for it."""
    enhanced = System(DIED)
    result = replayed(System(1), enhanced, kind=Kind.WRITE, legacy=gave(1), enhanced=gave(1), phase=Phase.DUAL)
    assert result.finding.outcome == Outcome.MATCH
    assert len(enhanced.calls) == 4
    assert (result.opening.since_us, result.opening.until_us, result.opening.reason) == (10, 20, "write_failed")


@pytest.mark.parametrize(("failures", "opened"), [(1, False), (3, False), (4, True)])
def test_a_write_is_tried_four_times(replayed, failures, opened):
    """It has failed once, however often; what got through in the end opens no gap."""
    enhanced = System(*[DIED] * failures, 1)
    result = replayed(System(1), enhanced, kind=Kind.WRITE, legacy=gave(1))
    assert (result.finding.outcome, result.finding.reason) == (Outcome.FAILED, "raised OSError")
    assert len(enhanced.calls) == min(4, failures + 1)
    assert (result.opening is not None) is opened


def test_a_write_is_not_tried_for_longer_than_a_replay_may_take(replayed, monkeypatch):
    """A lane does not wait for an enhanced system that is gone."""
    monkeypatch.setattr(replay, "RETRIES_S", (0.01, 60.0, 60.0))
    enhanced = System(DIED)
    assert replayed(System(1), enhanced, kind=Kind.WRITE, legacy=gave(1), timeout_s=1.0).opening is not None
    assert len(enhanced.calls) == 2


def test_a_write_that_answers_garbage_was_made(replayed):
    """It has failed, and need not be repeated."""
    enhanced = System(object())
    result = replayed(System(1), enhanced, kind=Kind.WRITE, legacy=gave(1))
    assert (result.finding.outcome, len(enhanced.calls), result.opening) == (Outcome.FAILED, 1, None)


def test_a_write_refused_on_both_sides_is_not_repeated(replayed):
    """Enhanced is to raise."""
    enhanced = System(ValueError("no"))
    result = replayed(System(1), enhanced, kind=Kind.WRITE, legacy=raised("ValueError", "no", rejected=True))
    assert (result.finding.outcome, len(enhanced.calls), result.opening) == (Outcome.MATCH, 1, None)


@pytest.mark.parametrize("causal", [True, False])
def test_a_gap_excludes_no_write(replayed, causal):
    """It is judged by itself."""
    assert replayed(System(1), System(2), kind=Kind.WRITE, legacy=gave(1), causal=causal).finding.outcome == (
        Outcome.DIVERGED
    )


def test_a_dual_write_whose_repair_hangs_is_judged_by_its_live_half():
    """And opens the gap."""
    made = Capture(1, "p-1", "o", Kind.WRITE, "ann", 1, 2, msgspec.Raw(b"{}"), 1, legacy=gave(1), enhanced=gave(1))
    result = Replayer({}, 2.0).given_up(made, judging=False)
    assert result.finding.outcome == Outcome.MATCH
    assert isinstance(result.opening, Opening)
