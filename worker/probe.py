"""Tells whether a worker gets on: what `gnomon worker --check` says to supervisors.

What counts is progress, as the worker's own processes have noted it (`worker.progress`), and Redis is asked whether
anybody waits for it. That a part outside does not answer is no fault of the worker: to replace workers then would only
add to the trouble. The decision is a pure function.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import redis

from gnomon.connecting import connect
from gnomon.keys import Keys
from worker.progress import Away, ChildFacts, Doing, Memory, Progress, WorkerFacts, default_folder, found
from worker.settings import WorkerSettings

PATIENCE_S: Final = 120.0  # a replay (10 s) behind a lock of the ledger (30 s), twice, and a start (30 s)
LATELY_S: Final = 60.0  # what is longer ago is no longer worth a note
ANSWER_S: Final = 5.0  # a database that takes longer to say that it is there does not answer


class CannotTellError(Exception):
    """There is nothing to go by, or more than one worker to choose from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one probe saw. `patience_s`: for how long nothing may move before that is a fault."""

    worker: WorkerFacts
    now_s: float  #: on the monotonic clock
    hints: int | None  #: that wait in the queue; None: Redis does not answer
    ledger_answers: bool = True  #: asked only where a child stands still
    patience_s: float = PATIENCE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the worker gets on, in a sentence; `notes`: what is amiss elsewhere, or worth knowing."""

    healthy: bool
    why: str
    notes: tuple[str, ...] = ()


def decide(look: Look) -> Health:
    """Judge what was seen."""
    worker = look.worker
    if not worker.alive:
        return Health(healthy=False, why=f"worker {worker.pid} is gone")
    fault = _fault(look)
    said = f"worker {worker.pid}: {fault}" if fault else _well(look)
    return Health(healthy=not fault, why=said, notes=tuple(_notes(look)))


def remembered(worker: WorkerFacts, hints: int | None, now_s: float) -> Memory:
    """Return what the next probe should know."""
    if hints is None:
        return Memory()  # what was under way before says nothing about what will be
    before = worker.memory
    deaf = hints > 0 and before.hinted_s > 0 and before.messages == worker.messages
    return Memory(
        answering_s=before.answering_s or now_s,
        hinted_s=before.hinted_s if deaf else now_s if hints else 0.0,
        messages=worker.messages,
        childless_s=0.0 if any(child.alive for child in worker.children) else before.childless_s or now_s,
    )


def _fault(look: Look) -> str | None:
    if look.hints is None:
        return None  # without Redis nothing can be asked of it
    if look.worker.stopping_s:
        return _endless(look)
    return _not_turning(look) or _childless(look) or _stuck(look) or _deaf(look)


def _endless(look: Look) -> str | None:
    since_s = look.now_s - look.worker.stopping_s
    return f"it was asked to stop {since_s:.0f} s ago and is still there" if since_s > look.patience_s else None


def _not_turning(look: Look) -> str | None:
    worker = look.worker
    if not worker.ticked_s:
        return f"it has been starting for {look.now_s - worker.started_s:.0f} s"
    still_s = look.now_s - max(worker.ticked_s, worker.memory.answering_s)
    return f"its event loop has not turned for {still_s:.0f} s" if still_s > look.patience_s else None


def _childless(look: Look) -> str | None:
    since_s = look.worker.memory.childless_s
    if since_s and look.now_s - since_s > look.patience_s:
        return f"it has had no child for {look.now_s - since_s:.0f} s"
    return None


def _stuck(look: Look) -> str | None:
    if not look.ledger_answers:
        return None  # that is what it waits for
    for child in _busy(look):
        still_s = look.now_s - max(child.since_s, child.turned_s)
        if still_s > look.patience_s:
            return f"its child {child.pid} has not moved for {still_s:.0f} s"
    return None


def _deaf(look: Look) -> str | None:
    """Celery workers have been seen that no longer consume after a reconnect, with every ping answered."""
    worker = look.worker
    free_s = [child.since_s for child in worker.children if child.alive and child.doing is Doing.NOTHING]
    if not (look.hints and free_s and worker.memory.hinted_s):
        return None
    still_s = look.now_s - max(worker.memory.hinted_s, worker.received_s, min(free_s))
    if still_s <= look.patience_s:
        return None
    return f"{look.hints} hints have waited for {still_s:.0f} s, a child is free, and it takes none"


def _well(look: Look) -> str:
    worker = look.worker
    alive, busy = sum(child.alive for child in worker.children), len(_busy(look))
    taken = f"{look.now_s - worker.received_s:.0f} s ago" if worker.received_s else "not yet"
    return f"worker {worker.pid} gets on: {alive} children, {busy} at work; last message taken {taken}"


def _notes(look: Look) -> list[str]:
    notes = ["it is stopping"] if look.worker.stopping_s else []
    if look.hints is None:
        notes.append("Redis does not answer, so nothing can be asked of the worker")
    if not look.ledger_answers:
        notes.append("the ledger's database does not answer, so drains wait")
    return notes + [_INTERRUPTED[away] for away in sorted(_lately_away(look))]


_INTERRUPTED: Final = {
    Away.REDIS: "drains were interrupted: Redis did not answer",
    Away.LEDGER: "drains were interrupted: the ledger's database did not answer",
}


def _lately_away(look: Look) -> set[Away]:
    recent = [child for child in look.worker.children if child.interrupted_s > look.now_s - LATELY_S]
    return {child.away for child in recent} - {Away.NOBODY}


def _busy(look: Look) -> list[ChildFacts]:
    return [child for child in look.worker.children if child.alive and child.doing in (Doing.DRAIN, Doing.OTHER)]


# --- asking


def check(used: WorkerSettings, *, pid: int | None = None, patience_s: float = PATIENCE_S) -> tuple[Health, Look]:
    """Look at the worker of this host; raises CannotTellError where there is none, or more than one to choose from."""
    with _opened(used, pid) as progress:
        look = _look(progress, used, patience_s)
    if _fault(look) and _fault(look) == _stuck(look) and not _ledger_answers(used):
        look = replace(look, ledger_answers=False)
    return decide(look), look


def _look(progress: Progress, used: WorkerSettings, patience_s: float) -> Look:
    hints = _hints(used)
    now_s, worker = time.monotonic(), progress.facts()
    memory = remembered(worker, hints, now_s)
    progress.remember(memory)
    return Look(worker=replace(worker, memory=memory), now_s=now_s, hints=hints, patience_s=patience_s)


@contextlib.contextmanager
def _opened(used: WorkerSettings, pid: int | None) -> Iterator[Progress]:
    path = _chosen(used, pid)
    try:
        progress = Progress.open(path)
    except (OSError, ValueError) as error:
        raise CannotTellError(f"{path} cannot be read ({type(error).__name__}): is it of this version?") from None
    with contextlib.closing(progress):
        yield progress


def _chosen(used: WorkerSettings, pid: int | None) -> Path:
    folder = used.worker_state or default_folder()
    files = found(folder, used.namespace)
    if pid is not None:
        files = {number: path for number, path in files.items() if number == pid}
    if not files:
        missing = "no worker" if pid is None else f"no worker {pid}"
        raise CannotTellError(
            f"{missing} of namespace {used.namespace!r} writes to {folder}, the folder that GNOMON_WORKER_STATE names"
        )
    alive = {number: path for number, path in files.items() if _is_alive(path)}
    if len(alive) > 1:
        raise CannotTellError(f"several workers live here ({', '.join(map(str, alive))}): name one with --pid")
    return next(iter((alive or files).values()))


def _is_alive(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError), contextlib.closing(Progress.open(path)) as progress:
        return progress.locked
    return False


def _hints(used: WorkerSettings) -> int | None:
    with (
        contextlib.closing(connect(used.redis_url.get_secret_value())) as server,
        contextlib.suppress(redis.RedisError),
    ):
        return int(server.llen(Keys(used.namespace).queue))
    return None


def _ledger_answers(used: WorkerSettings) -> bool:
    """Ask, and do not wait for long: a thread that hangs ends with this process."""
    answered = threading.Event()

    def ask() -> None:
        from ledger import Ledger, LedgerError  # only a worker that stands still pays for these imports

        with contextlib.suppress(LedgerError):
            ledger = Ledger(used.database_url.get_secret_value(), namespace=used.namespace)
            ledger.check()
            answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(ANSWER_S)
