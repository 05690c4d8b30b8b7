"""The plan of a call: pure, the same for sync and async, whatever the two sides do."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.serving import NOT_ASKED, Fallback, Outcome, System, plan
from gnomon.wire import Kind, Phase

L, E = System.LEGACY, System.ENHANCED


def outcome_of(system, how):
    """A side that returned, failed, was not asked, or was interrupted."""
    match how:
        case "returned":
            return Outcome(system=system, duration_us=1, value=f"{system} value")
        case "failed":
            return Outcome(system=system, duration_us=1, error=ValueError(system), reason=Fallback.ERROR)
        case "not asked":
            return Outcome(system=system, duration_us=1, error=ValueError(system), reason=Fallback.BREAKER)
    return Outcome(system=system, duration_us=1, error=SystemExit(), reason=Fallback.ERROR)


def played(kind, phase, hows):
    """Play a plan with what each side does; returns the systems invoked and the answer."""
    steps, invoked = plan(kind, phase), []
    system = next(steps)
    while True:
        invoked.append(system)
        try:
            system = steps.send(outcome_of(system, hows[system]))
        except StopIteration as end:
            return invoked, end.value


HOWS = ("returned", "failed", "not asked", "interrupted")


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(("legacy", "enhanced"), [*itertools.product(("returned", "failed", "interrupted"), HOWS)])
def test_every_plan(kind, phase, legacy, enhanced):
    """Each kind in each phase, whatever happens: whom it invokes, in order, and whose answer it gives."""
    invoked, answer = played(kind, phase, {L: legacy, E: enhanced})
    dual_write = kind is Kind.WRITE and phase in {Phase.DUAL, Phase.SERVED}
    if phase is Phase.RETIRED:
        expected, by = [E], E
    elif dual_write:
        expected, by = ([L, E] if legacy == "returned" else [L]), L
    elif phase is Phase.SERVED:
        falls_back = enhanced in {"failed", "not asked"}
        expected, by = ([E, L], L) if falls_back else ([E], E)
    else:
        expected, by = [L], L
    assert (invoked, answer.system) == (expected, by)


@given(st.sampled_from(Kind), st.sampled_from(Phase), st.sampled_from(HOWS), st.sampled_from(HOWS))
def test_a_plan_is_pure(kind, phase, legacy, enhanced):
    """The same twice, each side at most once, and what was sent comes back untouched as the answer."""
    hows = {L: legacy, E: enhanced}
    once, again = played(kind, phase, hows), played(kind, phase, hows)
    assert once[0] == again[0]
    assert (once[1].system, once[1].value, once[1].reason) == (again[1].system, again[1].value, again[1].reason)
    assert len(set(once[0])) == len(once[0])
    assert once[1].system in once[0]


@given(st.sampled_from([Phase.OFF, Phase.SHADOW, Phase.DUAL, Phase.SERVED]), st.sampled_from(HOWS))
def test_before_retirement_a_write_is_legacys(phase, enhanced):
    """First, and its answer: a rollback loses nothing."""
    invoked, answer = played(Kind.WRITE, phase, {L: "returned", E: enhanced})
    assert (invoked[0], answer.system) == (L, L)


@pytest.mark.parametrize("reason", Fallback)
def test_asked_or_not(reason):
    """An error, a late and an invalid answer come of asking; the others stand for not having asked."""
    outcome = Outcome(system=E, duration_us=1, error=ValueError(), reason=reason)
    assert outcome.asked is (reason in {Fallback.ERROR, Fallback.TIMEOUT, Fallback.INVALID})
    assert outcome.asked is (reason not in NOT_ASKED)


def test_legacys_failure_shows_enhanceds_behind_it():
    """Once, and never in a circle, however the two hang together already."""
    inner, shared = OSError("inner"), KeyError("shared")
    cases = [
        (LookupError("plain"), ValueError("enhanced")),
        (LookupError("with a context"), ValueError("enhanced")),
        (shared, shared),
        (LookupError("already behind it"), ValueError("enhanced")),
    ]
    cases[1][0].__context__ = inner
    cases[3][0].__context__ = cases[3][1]
    for legacy, enhanced in cases:
        steps = plan(Kind.READ, Phase.SERVED)
        next(steps)
        steps.send(Outcome(system=E, duration_us=1, error=enhanced, reason=Fallback.ERROR))
        with pytest.raises(StopIteration):
            steps.send(Outcome(system=L, duration_us=1, error=legacy))
        chain, link = [], legacy
        while link is not None:
            assert link not in chain
            chain.append(link)
            link = link.__context__
        assert chain[-1] is enhanced
