"""What a live process counts: every figure is there from the start, rates are percentages, processes add up."""

import threading
from collections import Counter

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from gnomon import Gnomon, UnreachableError
from gnomon.keys import Keys
from gnomon.metrics import COUNTED, ENDS, Tally, summary
from tests.gnomon.conftest import frozen

E, L = "enhanced", "legacy"


def called(tally, operation, system, us, *, times=1, failed=0):
    for n in range(times):
        tally.side(operation, system, us, failed=n < failed)


def test_everything_is_there_from_the_start():
    """Zeros, no errors, everything went well: a dashboard needs no `if`."""
    found = summary({})
    assert {found.pop(name) for name in (*COUNTED, *ENDS, "eligible")} == {0}
    assert found == {
        "fallbacks_by_reason": {}, "errors_by_kind": {}, "capture_errors": {}, "operations": {},
        "success_rate": 100.0, "adoption": 0.0, "average_performance_gain": 0.0,
    }  # fmt: skip


def test_success_is_a_percentage_of_what_enhanced_was_asked():
    """Three of four returned."""
    tally = Tally()
    called(tally, "memory.recent", E, 10, times=4, failed=1)
    tally.add("errors", "error|ValueError")
    found = summary(tally.counts())
    assert (found["success_rate"], found["errors_by_kind"]) == (75.0, {"ValueError": 1})
    assert found["operations"]["memory.recent"][E] == {"calls": 4, "errors": 1, "mean_ms": 0.01}


def test_adoption_is_a_percentage_of_answers():
    """Of reads and generate calls; writes are answered by legacy until retirement and say nothing."""
    tally = Tally()
    for _ in range(3):
        tally.add("answers", "answers|legacy")
    tally.add("answers", "answers|enhanced")
    assert summary(tally.counts())["adoption"] == 25.0


def test_gain_is_weighted_by_the_calls_of_enhanced():
    """Twice as fast in three calls, half as fast in one: 3 times 50 % less once 100 %, by four calls."""
    tally = Tally()
    called(tally, "a", L, 1_000, times=9)
    called(tally, "a", E, 500, times=3)
    called(tally, "b", L, 1_000)
    called(tally, "b", E, 2_000)
    called(tally, "only.legacy", L, 1_000, times=50)
    called(tally, "only.enhanced", E, 1, times=50)
    called(tally, "no.time", L, 0)
    called(tally, "no.time", E, 0)
    assert summary(tally.counts())["average_performance_gain"] == pytest.approx(12.5)


def test_an_operation_may_be_named_anything_but_a_bar():
    """Figures are told apart from the right."""
    tally = Tally()
    called(tally, "memory.recent — neu", E, 1_000)
    figures = {"calls": 1, "errors": 0, "mean_ms": 1.0}
    assert summary(tally.counts())["operations"] == {"memory.recent — neu": {E: figures}}


def test_threads_lose_no_count():
    """Eight threads, each figure exact."""
    tally = Tally()

    def work():
        for _ in range(2_000):
            tally.add("fallbacks", "fallback|error")
            tally.side("a", E, 2)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = tally.counts()
    names = ("fallbacks", "fallback|error", "enhanced_calls", "op|a|enhanced|calls")
    assert {counts[name] for name in names} == {16_000}
    assert counts["op|a|enhanced|us"] == 32_000


def test_changes_are_told_once():
    """What was told is no change any more; what comes after is."""
    tally = Tally()
    tally.add("errors", "fallbacks")
    changes = tally.changes()
    tally.add("errors")
    assert changes == {"errors": 1, "fallbacks": 1}
    tally.told(changes)
    assert tally.changes() == {"errors": 1}
    tally.told(tally.changes())
    assert tally.changes() == {}


names = st.sampled_from(
    ["legacy_calls", "enhanced_calls", "fallbacks", "fallback|error", "errors", "error|KeyError", "answers",
     "answers|enhanced", "captured", "eligible", "op|a|legacy|calls", "op|a|legacy|us", "op|b|enhanced|errors"]
)  # fmt: skip


@given(st.lists(st.lists(names, max_size=30), min_size=1, max_size=5))
def test_processes_add_up(processes):
    """Whatever each told, in however many steps: together they are as one process that did it all."""
    together, everywhere = Tally(), Counter()
    for counted in processes:
        tally = Tally()
        for n, name in enumerate(counted):
            tally.add(name)
            together.add(name)
            if n % 3 == 0:
                changes = tally.changes()
                everywhere.update(changes)
                tally.told(changes)
        everywhere.update(tally.changes())
    assert summary(everywhere) == summary(together.counts())


# --- of live processes


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["read", "write", "generate"])
@pytest.mark.parametrize("phase", ["off", "shadow", "dual", "served", "retired"])
def test_every_invocation_is_counted_once(phased, pair, phase, kind):
    """Whatever is called is in the figures: calls, answers, and where each eligible call ended."""
    client = phased(phase)
    operation = pair(client, kind)
    for _ in range(3):
        operation("ann")
    client.flush(5)
    metrics = client.metrics()
    assert metrics["legacy_calls"] == operation.calls.count(L)
    assert metrics["enhanced_calls"] == operation.calls.count(E)
    assert metrics["eligible"] == metrics["captured"] == (0 if phase in {"off", "retired"} else 3)
    enhanced_answers = E in operation.calls and L not in operation.calls
    assert metrics["adoption"] == (100.0 if enhanced_answers and kind != "write" else 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["oversize", "no form to pass", "no form to answer", "not sampled", "no user"])
@pytest.mark.parametrize("phase", ["shadow", "dual", "served"])
def test_calls_that_are_not_captured_are_counted_all_the_same(phased, pair, phase, loss):
    """Legacy was called, whatever became of the capture."""
    client = phased(phase, GNOMON_CAPTURE_BYTES="2000")
    operation = pair(client, "read", flag=None, sample=0 if loss == "not sampled" else 1)
    if loss == "no form to answer":
        operation.legacy = lambda **_: object()
    item = {"oversize": "x" * 3_000, "no form to pass": object()}.get(loss, "x")
    for _ in range(2):
        operation("" if loss == "no user" else "ann", item=item)
    assert client.flush(5)
    metrics = client.metrics()
    assert (metrics["legacy_calls"], metrics["enhanced_calls"], metrics["captured"]) == (2, 0, 0)
    assert metrics["eligible"] == sum(metrics[end] for end in ENDS) == (0 if loss == "no user" else 2)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["shadow", "served"])
def test_a_call_that_finds_the_buffer_full_is_counted_too(phased, pair, phase, server):
    """Redis takes nothing, so the buffer stays full: calls go on, and are counted."""
    client = phased(phase, GNOMON_BUFFER_CAPTURES="1")
    operation = pair(client, "read")
    with frozen(server):
        for _ in range(10):
            operation("ann")
        metrics = client.metrics()
    assert metrics["legacy_calls"] + metrics["enhanced_calls"] == 10
    assert (metrics["eligible"], metrics["captured"]) == (10, 1)
    assert metrics["operations"]["memory.x"][E if phase == "served" else L]["calls"] == 10


@pytest.mark.slow
def test_all_processes_together(phased, make, sync_pair, server, eventually):
    """What others told last and what this one knows, each call once."""
    one = phased("served")
    other = phased("served", client=make())
    for client, times in ((one, 3), (other, 4)):
        read = sync_pair(client, "read")
        for _ in range(times):
            read("ann")
    assert eventually(lambda: one.metrics(everywhere=True)["enhanced_calls"] == 7)
    assert eventually(lambda: other.metrics(everywhere=True) == one.metrics(everywhere=True))
    assert (one.metrics()["enhanced_calls"], other.metrics()["enhanced_calls"]) == (3, 4)
    assert int(server.hget(Keys("default").metrics, "enhanced_calls")) == 7


def test_other_processes_cannot_be_asked():
    """Told in words; of a client without Redis there are no others."""
    client = Gnomon.from_env({"GNOMON_REDIS_URL": "redis://127.0.0.1:1/0"})
    with pytest.raises(UnreachableError, match="Redis does not answer") as caught:
        client.metrics(everywhere=True)
    assert isinstance(caught.value.__cause__, redis.RedisError)
    assert Gnomon.from_env({}).metrics(everywhere=True)["legacy_calls"] == 0
