"""A drill: pairs made from a traffic file as a worker would make them, known faults planted into copies, and the catch.

Everything is in this process and in stores of its own: no Redis, no lanes, no ledger, no tallies.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Final

import msgspec

from comparators import Call, Observation, Verdict, judge, mask
from comparators.mutations import MUTATIONS, Mutation, Setting
from comparators.registry import entry_of
from console.sources import BadLine, Line
from console.traffic import TrafficCall, parse
from gnomon import Kind
from gnomon.calling import Call as EnhancedCall
from gnomon.calling import calling
from gnomon.operation import Binding
from gnomon.wire import Side

ALARMS: Final = (Verdict.DIVERGED, Verdict.FAILED)
FOREIGN: Final = 500  # memories kept to leak into the answers of others


@dataclass(frozen=True, slots=True)
class RealPair:
    """What both systems did with one call."""

    operation: str
    call: Call
    legacy: Observation
    enhanced: Observation

    def alarms(self, enhanced: Observation | None = None) -> bool:
        """Tell whether the pair, or it with another enhanced side, is judged to differ."""
        return judge(self.operation, self.legacy, enhanced or self.enhanced, call=self.call).verdict in ALARMS


@dataclass(slots=True)
class Tried:
    """What came of one mutation: how often it was planted, how often it alarmed, and where that was wrong."""

    mutation: Mutation
    planted: int = 0
    alarmed: int = 0
    wrong: list[dict[str, Any]] = field(default_factory=list)

    @property
    def share(self) -> float | None:
        """The share that alarmed: of harm to be near one, of what means the same to be near none."""
        return self.alarmed / self.planted if self.planted else None

    def as_json(self) -> dict[str, Any]:
        """Return the figures and every pair that went wrong, masked."""
        return {
            "mutation": self.mutation.name,
            "planted": self.planted,
            "alarmed": self.alarmed,
            "share": None if self.share is None else round(self.share, 6),
            "wrong": self.wrong,
        }


@dataclass(slots=True)
class Drilled:
    """What a drill came to."""

    seed: int
    calls: int = 0
    pairs: dict[str, int] = field(default_factory=dict)  #: kept, by operation
    differing: dict[str, int] = field(default_factory=dict)  #: of those, judged to differ as they are: not used
    tried: list[Tried] = field(default_factory=list)

    def rate(self, *, harmful: bool, chat: bool | None = None) -> float | None:
        """Return the share of alarms over all such mutations; None without any."""
        kinds = [each for each in self.tried if each.mutation.harmful is harmful and chat in (None, each.mutation.chat)]
        planted = sum(each.planted for each in kinds)
        return sum(each.alarmed for each in kinds) / planted if planted else None

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "seed": self.seed,
            "calls": self.calls,
            "pairs": self.pairs,
            "differing": self.differing,
            "structural_caught": self.rate(harmful=True, chat=False),
            "chat_caught": self.rate(harmful=True, chat=True),
            "false_alarms": self.rate(harmful=False),
            "mutations": [each.as_json() for each in self.tried],
        }


class Pairs:
    """Makes pairs of calls, and keeps so many of each operation, each with the same chance."""

    def __init__(self, bindings: Mapping[str, Binding], *, most: int, chance: random.Random, replies: str = "") -> None:
        self._bindings = bindings
        self._most = most
        self._chance = chance
        self._replies = replies
        self._seen: dict[str, int] = {}
        self.kept: dict[str, list[RealPair]] = {}
        self.foreign: list[dict[str, Any]] = []
        self.calls = 0

    def take(self, lines: Iterable[Line | BadLine]) -> Iterator[BadLine]:
        """Make the calls of the lines, those of all users in the file's order; yields the bad ones."""
        for line in lines:
            for call in parse([line], self._bindings):
                if isinstance(call, BadLine):
                    yield call
                else:
                    self._keep(self._made(call, line.text if isinstance(line, Line) else b""))

    def _made(self, call: TrafficCall, line: bytes) -> RealPair:
        self.calls += 1
        binding = self._bindings[call.operation]
        asked = Call(user=call.user, args=call.args, at=call.at)
        written = self._written(line, binding)
        if written is not None:
            return RealPair(call.operation, asked, Observation.returned(written), Observation.returned(written))
        legacy = _recorded(call.outcome) if call.outcome is not None else _observed(binding.legacy, call.args, None)
        if binding.enhanced is None or (legacy.exception is not None and binding.kind is Kind.WRITE):
            return RealPair(call.operation, asked, legacy, legacy)
        current = EnhancedCall(capture_id=f"drill-{self.calls}", shadow=True, origin=legacy.value)
        return RealPair(call.operation, asked, legacy, _observed(binding.enhanced, call.args, current))

    def _written(self, line: bytes, binding: Binding) -> dict[str, Any] | None:
        """Return the reply that a person wrote into the line, as a chat would give it."""
        if not self._replies or binding.kind is not Kind.GENERATE:
            return None
        reply = msgspec.json.decode(line).get(self._replies)
        return {"reply": reply} if isinstance(reply, str) and reply.strip() else None

    def _keep(self, pair: RealPair) -> None:
        """Keep a pair by chance (Vitter, algorithm R): each of an operation is as likely as any other."""
        self._note(pair)
        kept, seen = self.kept.setdefault(pair.operation, []), self._seen.get(pair.operation, 0) + 1
        self._seen[pair.operation] = seen
        if len(kept) < self._most:
            kept.append(pair)
        elif (place := self._chance.randrange(seen)) < self._most:
            kept[place] = pair

    def _note(self, pair: RealPair) -> None:
        value = pair.legacy.value
        if isinstance(value, dict) and {"user_id", "content"} <= value.keys():
            if len(self.foreign) < FOREIGN:
                self.foreign.append(value)
            else:
                self.foreign[self._chance.randrange(FOREIGN)] = value


def _recorded(side: Side) -> Observation:
    if side.raised is not msgspec.UNSET:
        return Observation.raised(side.raised.type, side.raised.message)
    return Observation.returned(msgspec.json.decode(side.returned or b"null"))


def _observed(side: Callable[..., Any], args: Mapping[str, Any], current: EnhancedCall | None) -> Observation:
    """Call one side; what it returned comes through JSON, as from a lane."""
    try:
        if current is None:
            return Observation.returned(_plain(_result(side(**args))))
        with calling(current):
            value = _plain(_result(side(**args)))
        return Observation.returned(value, context=current.context)
    except Exception as error:
        return Observation.raised(type(error).__name__, str(error))


async def _awaited(value: Any) -> Any:
    return await value


def _result(value: Any) -> Any:
    return asyncio.run(_awaited(value)) if isawaitable(value) else value


def _plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def drill(pairs: Pairs, seed: int) -> Drilled:
    """Plant each mutation into a copy of each pair that is judged alike, and judge it."""
    drilled = Drilled(seed, pairs.calls)
    alike: list[RealPair] = []
    for operation, kept in pairs.kept.items():
        quiet = [pair for pair in kept if pair.enhanced.exception is None and not pair.alarms()]
        drilled.pairs[operation], drilled.differing[operation] = len(kept), len(kept) - len(quiet)
        alike += quiet
    drilled.tried = [_tried(mutation, alike, pairs.foreign, seed) for mutation in MUTATIONS]
    return drilled


def _tried(mutation: Mutation, pairs: Iterable[RealPair], foreign: list[dict[str, Any]], seed: int) -> Tried:
    tried = Tried(mutation)
    chance = random.Random(f"{seed} {mutation.name}")  # of its own: a new mutation changes no other's
    for pair in pairs:
        schema = entry_of(pair.operation).schema
        others = [
            memory for memory in chance.sample(foreign, min(len(foreign), 8)) if memory["user_id"] != pair.call.user
        ]
        # what enhanced adds to a reply may be cut off or changed without harm, so legacy's is what is changed
        answer = pair.enhanced.value if mutation.harmful and not mutation.chat else pair.legacy.value
        observed = mutation.plant(answer, Setting(chance, schema, others))
        if observed is None:
            continue
        alarmed = pair.alarms(observed)
        tried.planted += 1
        tried.alarmed += alarmed
        if alarmed is not mutation.harmful:
            tried.wrong.append(_shown(pair, observed))
    return tried


def _shown(pair: RealPair, observed: Observation) -> dict[str, Any]:
    return {"operation": pair.operation, "legacy": mask(pair.legacy.value), "planted": mask(observed.value)}
