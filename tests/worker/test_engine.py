"""One worker process's engine: it drains and sweeps from settings alone, and outlives a Redis or ledger gone."""

import sys
import threading
import time
from collections import Counter
from types import ModuleType

import pytest

from gnomon.errors import ConfigurationError
from ledger import Choice, Finding, LaneCommit, Outcome, Position
from worker import engine as engines
from worker.engine import Engine
from worker.replay import Replayer
from worker.settings import load

pytestmark = pytest.mark.slow

MODULE = "notes_for_the_engine"


@pytest.fixture
def make_engine(valkey_url, ledger_url, client, monkeypatch, hints):
    """Make engines as worker processes have them; their hints are listed instead of sent."""
    module = ModuleType(MODULE)
    module.gnomon = client
    monkeypatch.setitem(sys.modules, MODULE, module)
    monkeypatch.setattr(engines, "hint", hints)
    made: list[Engine] = []

    def factory(**overrides) -> Engine:
        used = {"redis_url": valkey_url, "database_url": ledger_url, "operations": MODULE, "lanes": 4, "concurrency": 1}
        made.append(Engine(load(**{**used, **overrides})))
        return made[-1]

    yield factory
    for engine in made:
        engine.close()


def test_an_engine_drains_what_was_captured(notes, client, make_engine, ledger):
    """From one hint: the other ready lanes too; it counts what it found."""
    for user in "abcdef":
        notes.save(user, "hello")
        notes.read(user)
    client.close()
    engine = make_engine()
    assert engine.drain(0)["match"] == 12
    assert not engine.exhausted
    with ledger.reading() as reading:
        assert reading.done() == 12


def test_a_sweep_asks_again_for_what_nobody_drains(notes, client, make_engine, server, keys, hints, lane_of):
    """Once, while its own mark is there; a lane that is held or was asked for is left alone."""
    notes.save("ann", "hello")
    client.close()
    lane, engine = lane_of(), make_engine()
    assert engine.sweep() == Counter(hinted=0)  # the producer's own hint is on its way
    server.delete(keys.lane(lane).scheduled)
    assert engine.sweep() == Counter(hinted=1)
    assert engine.sweep() == Counter(hinted=0)
    assert hints == [lane]
    assert engine.drain(lane)["match"] == 1
    server.delete(keys.lane(lane).scheduled)
    assert engine.sweep() == Counter(hinted=0)


def test_a_sweep_asks_for_lanes_with_retries(notes, client, make_drain, make_engine, server, keys, hints, ledger):
    """The hint of whoever asked for them may be lost: an empty lane is drained all the same, and once is enough."""
    notes.save("ann", "hello")
    client.close()
    for lane in range(4):
        make_drain(replayer=Replayer({}, 1.0)).run(lane)
    engine = make_engine()
    assert engine.sweep() == Counter(hinted=0)
    [lane] = ledger.retry(Choice(), by="ann")
    server.set(keys.lane(lane).lease, "somebody", px=5_000)
    assert engine.sweep() == Counter(hinted=0)
    server.delete(keys.lane(lane).lease)
    assert engine.sweep() == Counter(hinted=1)
    assert engine.sweep() == Counter(hinted=0)
    assert hints == [lane]
    assert engine.drain(lane)["excluded"] == 1
    server.delete(keys.lane(lane).scheduled)
    assert engine.sweep() == Counter(hinted=0)


def test_a_sweep_folds_the_funnels(notes, client, make_engine, ledger):
    """Also what never reached a lane: calls that could not be captured are in the ledger without any drain."""
    notes.save("ann", "x" * 300_000)
    notes.save("ann", object())
    notes.save("ann", "fine")
    client.close()
    make_engine().sweep()
    with ledger.reading() as reading:
        found = reading.sums()["note.save"]
    assert +found.funnel == Counter(eligible=3, captured=1, oversize=1, unserialisable=1)
    assert found.pending == 1


def test_a_ledger_that_is_gone_interrupts_a_drain_and_no_more(notes, client, make_engine, server, keys, lane_of):
    """No exception reaches Celery, nothing is replayed, and whoever comes later finds everything still there."""
    notes.save("ann", "hello")
    client.close()
    lane = lane_of()
    assert make_engine(database_url="postgresql://ann:secret@127.0.0.1:1/ledger").drain(lane)["match"] == 0
    assert notes.replays == []
    server.delete(keys.lane(lane).lease)  # it runs out by itself
    assert make_engine().drain(lane)["match"] == 1


def test_a_redis_that_is_gone_interrupts_a_drain_and_no_more(make_engine):
    """No exception reaches Celery."""
    assert make_engine(redis_url="redis://127.0.0.1:1/0").drain(0) == Counter()


def test_an_error_of_ours_does_not_end_the_worker(notes, client, make_engine, monkeypatch, capsys, lane_of):
    """It is logged by its class: the message may hold what was captured."""
    notes.save("ann", "hello")
    client.close()
    engine = make_engine()

    def broken(commit):
        raise RuntimeError("ann@example.com")

    monkeypatch.setattr(engine._ledger, "commit", broken)
    engine.drain(lane_of())
    logged = "".join(capsys.readouterr())
    assert "RuntimeError" in logged
    assert "example.com" not in logged


def test_an_engine_with_abandoned_threads_is_exhausted(notes, client, make_engine, sums, lane_of):
    """The task then ends its process: a fresh one takes its place."""
    over = threading.Event()
    notes.before = lambda op, **_: over.wait(10) and None
    notes.save("ann", "hello")
    client.close()
    engine = make_engine(replay_timeout_s=0.1)
    assert engine.drain(lane_of()) == Counter(lanes=1, failed=1)
    over.set()
    assert engine.exhausted
    assert sums().outcomes == Counter(failed=1)


def test_operations_that_cannot_be_loaded_are_named(make_engine):
    """Before anything is drained."""
    with pytest.raises(ConfigurationError, match=r"^GNOMON_OPERATIONS: cannot load 'nowhere"):
        make_engine(operations="nowhere.operations")


def test_each_process_makes_its_own_engine(valkey_url, ledger_url, client, make_engine, monkeypatch):
    """One, at the first task; a forked child forgets its parent's."""
    monkeypatch.setattr(
        engines, "settings", lambda: load(redis_url=valkey_url, database_url=ledger_url, operations=MODULE)
    )
    engines.forget()
    first = engines.engine()
    assert engines.engine() is first
    engines.forget()
    second = engines.engine()
    assert second is not first
    engines.forget()
    first.close()
    second.close()


def test_the_application_is_what_the_package_calls_app(valkey_url, ledger_url, monkeypatch):
    """`celery -A worker` and `from worker import app` mean the same, whoever imported what before."""
    import celery

    import worker

    monkeypatch.setenv("GNOMON_REDIS_URL", valkey_url)
    monkeypatch.setenv("GNOMON_DATABASE_URL", ledger_url)
    assert isinstance(worker.app, celery.Celery)


def test_retention_drops_what_the_ledger_need_not_keep(make_engine):
    """By the setting; what is younger stays."""
    engine = make_engine(retention_days=8)
    ledger = engine._ledger
    taken, now_us = ledger.take(0), int(time.time() * 1e6)
    findings = [
        Finding(
            capture_id=f"p-{days}",
            operation="note.read",
            epoch=1,
            user="ann",
            called_at_us=now_us - days * 86_400_000_000,
            outcome=Outcome.MATCH,
        )
        for days in (0, 7, 10, 30)
    ]
    after = Position((1, 0), (1, ""))
    ledger.commit(LaneCommit(lane=0, fence=taken.fence, before=taken.position, after=after, findings=findings))
    assert engine.retain() == Counter(made=0, dropped=0, deleted=2)
    assert engine.retain() == Counter(made=0, dropped=0, deleted=0)
    with ledger.reading() as reading:
        assert reading.done() == 4
