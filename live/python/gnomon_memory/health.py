"""Whether the two memory stores answer, asked beside each other and in bounded time, with the client's own health.

Aside of the data's way: what a load balancer or a person asks. A database that hangs holds a thread of ours, never the
caller, and not one more for each time somebody asks.
"""

import threading
import time
from collections.abc import Callable
from typing import TypedDict

from gnomon import Gnomon, Health
from gnomon_memory.errors import ChatMemoryError

__all__ = ["PATIENCE_S", "Answer", "Probe", "check_health"]

PATIENCE_S = 2.0  # a store that takes longer answers no live call in time
MOST_WAITING = 4  # threads and connections that a hanging store may hold


class Answer(TypedDict):
    """What a store answered: `detail` says what is wrong, of `latency_ms` was waited at least."""

    ok: bool
    detail: str
    latency_ms: float


class _Question(threading.Thread):
    """A ping on a thread of its own, which ends with the process."""

    def __init__(self, ping: Callable[[], None]) -> None:
        super().__init__(name="gnomon-ping", daemon=True)
        self._ping = ping
        self._asked = time.monotonic()
        self._answer: Answer | None = None

    def run(self) -> None:
        try:
            self._ping()
        except ChatMemoryError as error:
            self._answer = self._answered(str(error))
        except Exception as error:
            self._answer = self._answered(type(error).__name__)
        else:
            self._answer = self._answered()

    def answer(self, deadline: float) -> Answer:
        self.join(max(0.0, deadline - time.monotonic()))
        return self._answer or self._answered("no answer yet")

    def _answered(self, problem: str = "") -> Answer:
        waited_ms = (time.monotonic() - self._asked) * 1_000
        return {"ok": not problem, "detail": problem or "ok", "latency_ms": round(waited_ms, 3)}


class Probe:
    """Asks one store; while earlier questions hang, later ones wait for the latest of them."""

    def __init__(self, ping: Callable[[], None]) -> None:
        self._ping = ping
        self._waiting: list[_Question] = []

    def ask(self) -> _Question:
        """Begin to ask; raises RuntimeError where no thread can be started."""
        waiting = [question for question in self._waiting if question.is_alive()]  # after a fork: none
        if len(waiting) >= MOST_WAITING:
            return waiting[-1]
        question = _Question(self._ping)
        question.start()
        self._waiting = [*waiting, question]
        return question


def check_health(client: Gnomon, legacy: Probe, enhanced: Probe) -> Health:
    """Return the client's health with `legacy` and `enhanced` in its details, each an Answer. Never raises.

    `unhealthy` where legacy is down or captures are lost; `degraded` where enhanced, Redis or flags are in trouble.
    """
    deadline = time.monotonic() + PATIENCE_S
    asked = [_begun(legacy), _begun(enhanced)]
    own = _own(client)
    of_legacy, of_enhanced = (_answer(question, deadline) for question in asked)
    capture = "nothing is captured" if own.status == "off" else "on"
    details = {"capture": capture, **own.details, "legacy": of_legacy, "enhanced": of_enhanced}
    return Health(_status(own.status, legacy_ok=of_legacy["ok"], enhanced_ok=of_enhanced["ok"]), details)


def _status(own: str, *, legacy_ok: bool, enhanced_ok: bool) -> str:
    if not legacy_ok or own == "unhealthy":
        return "unhealthy"
    return "healthy" if enhanced_ok and own in {"healthy", "off"} else "degraded"


def _own(client: Gnomon) -> Health:
    try:
        return client.health()
    except Exception as error:
        return Health("degraded", {"problems": [f"the client's own health: {type(error).__name__}"]})


def _begun(probe: Probe) -> _Question | None:
    try:
        return probe.ask()
    except RuntimeError:
        return None


def _answer(question: _Question | None, deadline: float) -> Answer:
    if question is None:
        return {"ok": False, "detail": "not asked: no thread can be started", "latency_ms": 0.0}
    return question.answer(deadline)
