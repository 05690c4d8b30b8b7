import json
from datetime import UTC, date, datetime
from math import inf, nan

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import Epoch, Exposure, Policy, Stage, State, decide
from rollout.gate import Decision
from rollout.policy import WAIVABLE, Waiver

SETTINGS = settings(max_examples=40)

POLICY = Policy()
BADNESS = [State.ELIGIBLE, State.COLLECTING, State.INCONCLUSIVE, State.HOLD, State.ROLLBACK]


def named(decision: Decision) -> dict[str, bool | None]:
    return {criterion.name: criterion.passed for criterion in decision.criteria}


def test_proven_evidence_is_eligible(make_evidence):
    """When every line is met, and only then, a person may promote."""
    decision = decide(make_evidence(), POLICY)
    assert decision.state is State.ELIGIBLE
    assert decision.summary == "eligible: all criteria are met"
    assert all(criterion.passed is not False for criterion in decision.criteria)


def test_stage_0_can_be_left(make_evidence, make_row):
    """With nobody served, complaints, served calls and live latency do not apply, and never count as passes."""
    rows = [make_row(name) for name in ("memory.save", "memory.recent", "chat.send")]
    rows[0] = make_row("memory.save", fields={"p95_ratio": None})
    decision = decide(make_evidence(*rows, stage=Stage.SHADOW, complaint_feed_age_s=None), POLICY)
    assert decision.state is State.ELIGIBLE
    nones = {name for name, passed in named(decision).items() if passed is None}
    assert {"complaints", "latency:memory.save", "served_calls:memory.recent"} <= nones
    assert all(c.why.startswith("not applicable: ") for c in decision.criteria if c.passed is None)


def test_a_fresh_epoch_is_collecting(make_evidence):
    """Nothing captured yet is no reason for alarm, and none to promote."""
    fresh = make_evidence(operations=(), distinct_users=0, age_s=1.0, hours_with_data=0, lag_s=0.0, stage=Stage.SHADOW)
    decision = decide(fresh, POLICY)
    assert decision.state is State.COLLECTING
    assert named(decision)["traffic:memory.recent"] is None


def test_after_the_deadline_collecting_is_inconclusive(make_evidence):
    """A true 95 % never resolves; after 14 days a person is told so."""
    waiting = make_evidence(complaint_feed_age_s=None, age_s=14 * 24 * 3600.0)
    assert decide(waiting, POLICY).state is State.INCONCLUSIVE


def test_a_diverging_candidate_is_held(make_evidence, make_row):
    """More divergences than allowed are no harm yet: legacy answered. They stop the rollout."""
    decision = decide(make_evidence(make_row(diverged=600), stage=Stage.SHADOW), POLICY)
    assert decision.state is State.HOLD
    assert decision.summary.startswith("hold: memory.recent (shadow): 2.3438 % of 25,600 calls diverged")


def test_a_failing_candidate_is_rolled_back(make_evidence, make_row):
    """Proven harm outweighs everything, in any exposure and any operation, required or not."""
    harmful = make_row(exposure=Exposure.SERVED, failed=5_000)
    decision = decide(make_evidence(make_row(), harmful, required=("chat.send",), lag_s=10_000.0), POLICY)
    assert decision.state is State.ROLLBACK
    assert named(decision)["harm:memory.recent:served"] is False


def test_one_rare_broken_operation_is_not_hidden_by_the_others(make_evidence, make_row):
    """Operations are never pooled: each is proven alone."""
    rows = [make_row(name, exposure=side) for name in ("memory.save", "chat.send") for side in Exposure]
    rare = [make_row(exposure=side, calls=150) for side in Exposure]
    decision = decide(make_evidence(*rows, *rare), POLICY)
    assert decision.state is State.COLLECTING
    assert named(decision)["success:memory.recent:shadow"] is None


def test_operations_that_are_not_required_only_warn(make_evidence, make_row):
    """They can do harm, and prove nothing."""
    evidence = make_evidence(make_row(), make_row(exposure=Exposure.SERVED), make_row("memory.save", diverged=900))
    narrowed = decide(evidence, POLICY), decide(msgspec.structs.replace(evidence, required=("memory.recent",)), POLICY)
    assert [decision.state for decision in narrowed] == [State.HOLD, State.ELIGIBLE]


def test_single_enabled_users_do_not_block_stage_0(make_evidence, make_row):
    """A tester's few served calls need not prove anything, nor do the disabled users' at 100 %."""
    rows = [make_row(), make_row(exposure=Exposure.SERVED, calls=3, groups=1)]
    assert decide(make_evidence(*rows, stage=Stage.SHADOW), POLICY).state is State.ELIGIBLE
    turned = [make_row(exposure=Exposure.SERVED), make_row(calls=3, groups=1)]
    assert decide(make_evidence(*turned, stage=Stage.ALL), POLICY).state is State.ELIGIBLE


EPOCH = {
    "number": 3,
    "stage": Stage.TENTH,
    "build": "b",
    "rule_set": "1",
    "opened_at": datetime(2025, 3, 1, tzinfo=UTC),
}
MISSING_OR_BROKEN = {
    "a required operation": {"required": ("memory.save", "memory.recent", "chat.send", "memory.forget")},
    "any required operation": {"required": ()},
    "all operations": {"operations": ()},
    "time": {"age_s": 3600.0},
    "a clock": {"age_s": nan},
    "a clock that runs forward": {"age_s": -inf},
    "hours": {"hours_with_data": 3},
    "users": {"distinct_users": 150},
    "freshness": {"lag_s": 901.0},
    "knowledge of the lag": {"lag_s": nan},
    "a complaint feed": {"complaint_feed_age_s": None},
    "a live complaint feed": {"complaint_feed_age_s": 1e9},
    "peace": {"open_complaints": 1},
    "the share of the stage": {"share": 0.01},
    "a known share": {"share": nan},
    "the stage of the share": {"share": 1.0},
    "going on": {"paused": "ann: lunch"},
    "a candidate that was not rolled back": {"rolled_back": "harm was proven"},
    "three clean looks": {"clean": 1},
    "a first attempt": {"attempt": 0},
    "the policy it began under": {"epoch": Epoch(**EPOCH, policy="another")},
    "all users": {"users_inside": 40},
    "users that are there": {"users_inside": 100, "users_placed": 2_000},
}


@pytest.mark.parametrize("changes", MISSING_OR_BROKEN.values(), ids=MISSING_OR_BROKEN)
def test_fails_closed_without(make_evidence, changes):
    """Evidence that lacks one thing is not eligible, whatever else it has."""
    assert decide(make_evidence(**changes), POLICY).state is not State.ELIGIBLE


@SETTINGS
@given(data=st.data())
def test_never_eligible_on_contradictory_counts(make_evidence, data):
    """Changing one counter of sound evidence, anywhere, breaks a sum, and the gate holds or rolls back."""
    evidence = make_evidence()
    place = data.draw(st.integers(0, len(evidence.operations) - 1))
    row = evidence.operations[place]
    part = data.draw(st.sampled_from(["funnel", "outcomes", "clusters"]))
    count = data.draw(st.integers(-(2**70), 2**70))
    changed = _with_count(row, part, count, data)
    if changed != row:
        rows = (*evidence.operations[:place], changed, *evidence.operations[place + 1 :])
        assert decide(msgspec.structs.replace(evidence, operations=rows), POLICY).state in {State.HOLD, State.ROLLBACK}


def _with_count(row, part, count, data):
    if part == "clusters":
        place = data.draw(st.integers(0, len(row.clusters) - 1))
        field = data.draw(st.sampled_from(["cluster", "successes", "trials", "divergent", "judged", "unknown"]))
        changed = msgspec.structs.replace(row.clusters[place], **{field: count})
        return msgspec.structs.replace(row, clusters=(*row.clusters[:place], changed, *row.clusters[place + 1 :]))
    counts = getattr(row, part)
    field = data.draw(st.sampled_from(counts.__struct_fields__))
    return msgspec.structs.replace(row, **{part: msgspec.structs.replace(counts, **{field: count})})


numbers = st.one_of(st.floats(), st.sampled_from([0.0, 3600.0, 2e5]))
anything = st.fixed_dictionaries(
    {},
    optional={
        "share": st.one_of(st.floats(), st.sampled_from([0.0, 0.1, 1.0])),
        "age_s": numbers,
        "hours_with_data": st.integers(),
        "distinct_users": st.integers(),
        "lag_s": numbers,
        "open_complaints": st.integers(),
        "complaint_feed_age_s": st.none() | numbers,
        "attempt": st.integers(),
        "paused": st.sampled_from(["", "ann: lunch"]),
        "rolled_back": st.sampled_from(["", "harm"]),
        "clean": st.none() | st.integers(),
        "users_inside": st.integers(),
        "users_placed": st.integers(),
        "required": st.lists(st.sampled_from(["memory.save", "memory.recent", ""])).map(tuple),
    },
)
rows_of_any_size = st.lists(
    st.fixed_dictionaries(
        {
            "operation": st.sampled_from(["memory.save", "memory.recent"]),
            "exposure": st.sampled_from(Exposure),
            "calls": st.sampled_from([0, 1, 20, 5_000]),
            "groups": st.sampled_from([1, 12, 256]),
            "fields": st.fixed_dictionaries(
                {}, optional={"wins": st.integers(0, 2**60), "losses": st.integers(-1, 50), "p95_ratio": numbers}
            ),
        }
    ),
    max_size=4,
)


@SETTINGS
@given(changes=anything, rows=rows_of_any_size, stage=st.sampled_from(Stage))
def test_never_raises_and_always_says_why(make_evidence, make_row, changes, rows, stage):
    """Any well-typed evidence gets a decision that prints as strict JSON, with a sentence for each criterion."""
    evidence = make_evidence(stage=stage, operations=tuple(make_row(**row) for row in rows), **changes)
    decision = decide(evidence, POLICY)
    assert json.loads(json.dumps(decision.as_json(), allow_nan=False))["state"] == decision.state
    assert all(criterion.why for criterion in decision.criteria)
    assert "\n" not in decision.summary
    unknown = [criterion for criterion in decision.criteria if criterion.passed is None]
    assert all(
        c.why.startswith(("not enough evidence: ", "not applicable: ")) or "; not enough" in c.why for c in unknown
    )


@SETTINGS
@given(
    calls=st.sampled_from([256, 2_560, 25_600]),
    failing=st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
    users=st.sampled_from([30, 250]),
    stage=st.sampled_from([Stage.SHADOW, Stage.TENTH]),
)
def test_more_failures_never_make_it_better(make_evidence, make_row, *, calls, failing, users, stage):
    """At the same number of calls, spread alike over the users, more failures never lead to a better state."""
    states = []
    for share in failing:
        failed = int(share * calls / 256) * 256  # as many in each cluster: how failures spread is not what is compared
        rows = [make_row(exposure=side, calls=calls, failed=failed) for side in Exposure]
        states.append(decide(make_evidence(*rows, stage=stage, distinct_users=users), POLICY).state)
    assert BADNESS.index(states[0]) <= BADNESS.index(states[1])


@SETTINGS
@given(
    failed=st.lists(st.integers(0, 2_000), min_size=2, max_size=2).map(sorted),
    groups=st.sampled_from([5, 40, 256]),
)
def test_more_failures_never_lift_a_hold_or_a_rollback(make_evidence, make_row, failed, groups):
    """Wherever they fall: evidence against a candidate is not divided by how its failures clump."""
    states = []
    for count in failed:
        row = make_row(calls=2_000, failed=count, groups=groups)
        states.append(decide(make_evidence(row, stage=Stage.SHADOW), POLICY).state)
    if states[0] in {State.HOLD, State.ROLLBACK}:
        assert BADNESS.index(states[0]) <= BADNESS.index(states[1])


@SETTINGS
@given(
    changes=st.fixed_dictionaries(
        {},
        optional={
            "open_complaints": st.integers(1, 5),
            "paused": st.just("ann: lunch"),
            "rolled_back": st.just("harm was proven"),
            "clean": st.integers(0, 1),
            "lag_s": st.floats(901, 1e6),
            "complaint_feed_age_s": st.floats(901, 1e6),
        },
    ),
    failed=st.sampled_from([0, 256, 2_560]),
)
def test_one_more_reason_never_makes_it_better(make_evidence, make_row, changes, failed):
    """Whatever speaks against it besides, the state is as bad or worse."""
    rows = [make_row(exposure=side, failed=failed) for side in Exposure]
    without, with_it = (decide(make_evidence(*rows, **more), POLICY).state for more in ({}, changes))
    assert BADNESS.index(without) <= BADNESS.index(with_it)


def test_a_later_attempt_has_less_risk_to_spend(make_evidence, make_row):
    """What is enough at first is not enough the second time; what is plenty is, at any time."""
    rows = [make_row(exposure=side, calls=1_024, failed=26, groups=256) for side in Exposure]
    assert decide(make_evidence(*rows), POLICY).state is State.ELIGIBLE
    assert decide(make_evidence(*rows, attempt=2), POLICY).state is State.COLLECTING
    assert decide(make_evidence(attempt=10**400), POLICY).state is State.ELIGIBLE


def test_a_decision_is_a_pure_function(make_evidence):
    """The same evidence and policy give the same decision, down to the sentence."""
    assert decide(make_evidence(), POLICY) == decide(make_evidence(), POLICY)


def test_an_operation_is_held_to_its_own_limits(make_evidence, make_row):
    """Looser or stricter than the others', for that operation alone."""
    evidence = make_evidence(make_row(diverged=600), stage=Stage.SHADOW)
    assert decide(evidence, POLICY).state is State.HOLD
    assert decide(evidence, Policy(operations={"memory.recent": {"divergence": 0.05}})).state is State.ELIGIBLE
    assert decide(evidence, Policy(operations={"chat.send": {"divergence": 0.05}})).state is State.HOLD
    failing = make_evidence(make_row(exposure=Exposure.SERVED, failed=2_000))
    assert decide(failing, POLICY).state is State.ROLLBACK
    assert decide(failing, Policy(operations={"memory.recent": {"success": 0.8}})).state is not State.ROLLBACK


def waived(*criteria, operation="memory.save"):
    until = date(2026, 12, 31)
    made = (
        Waiver(operation=operation, criterion=criterion, author="ann", reason="three a month", until=until)
        for criterion in criteria
    )
    return Policy(waivers=tuple(made))


def test_a_waiver_stands_for_evidence_that_cannot_be_had(make_evidence):
    """An operation that is hardly ever called holds up nobody, and the gate says whose word that is."""
    evidence = make_evidence(*make_evidence().rows("memory.recent"), required=("memory.recent", "memory.save"))
    assert decide(evidence, POLICY).state is State.COLLECTING
    decision = decide(evidence, waived("traffic", "served_calls"))
    assert decision.state is State.ELIGIBLE
    excused = next(criterion for criterion in decision.criteria if criterion.name == "traffic:memory.save")
    assert excused.passed is None
    assert excused.why.startswith("waived by ann until 2026-12-31: three a month (not enough evidence: memory.save")


def test_a_waiver_excuses_no_limit_that_is_not_kept_and_no_harm(make_evidence, make_row):
    """Of what was seen, nothing is taken back by a person's word."""
    everything = waived(*WAIVABLE, operation="memory.recent")
    diverging = make_evidence(make_row(diverged=600), stage=Stage.SHADOW)
    failing = make_evidence(make_row(exposure=Exposure.SERVED, failed=5_000))
    assert decide(diverging, everything) == decide(diverging, POLICY)
    assert decide(failing, everything).state is State.ROLLBACK
