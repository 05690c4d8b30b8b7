"""Traffic files: one call a line, checked before it is made; a bad line is named and the rest still runs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from console.sources import BadLine, Line
from gnomon.operation import Binding
from gnomon.wire import Raised, Side, encode_value

LONGEST_MS: Final = 86_400_000.0  # a day: what took longer was not a call


class _Line(msgspec.Struct):
    at: datetime
    operation: str
    user_id: str
    args: dict[str, Any]
    returned: Any = msgspec.UNSET
    raised: Raised | msgspec.UnsetType = msgspec.UNSET
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficCall:
    """One call to be made; `outcome` is what legacy did when it was recorded, where the file says so."""

    operation: str
    user: str
    at: datetime
    args: dict[str, Any]
    outcome: Side | None = None


_decoder = msgspec.json.Decoder(_Line)


def parse(lines: Iterable[Line | BadLine], operations: Mapping[str, Binding]) -> Iterator[TrafficCall | BadLine]:
    """Yield each line as a call or as a bad line; empty lines are skipped."""
    for line in lines:
        if isinstance(line, BadLine):
            yield line
        elif line.text.strip():
            yield _parsed(line.number, line.text, operations)


def _parsed(number: int, line: bytes, operations: Mapping[str, Binding]) -> TrafficCall | BadLine:
    try:
        found = _decoder.decode(line)
    except msgspec.ValidationError as error:
        return BadLine(number, str(error))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return BadLine(number, "is not JSON")
    binding = operations.get(found.operation)
    if binding is None:
        return BadLine(number, f"unknown operation {found.operation[:80]!r}; known are {', '.join(sorted(operations))}")
    args = {**found.args, binding.user: found.user_id}
    if problem := _problem(found, binding, args):
        return BadLine(number, problem)
    return TrafficCall(
        operation=found.operation,
        user=found.user_id,
        at=found.at if found.at.tzinfo else found.at.replace(tzinfo=UTC),
        args=binding.typed(args),
        outcome=_outcome(found),
    )


def _problem(found: _Line, binding: Binding, args: dict[str, Any]) -> str | None:
    if not found.user_id:
        return "user_id is empty"
    if found.args.get(binding.user, found.user_id) != found.user_id:
        return f"args name another {binding.user} than user_id"
    if found.returned is not msgspec.UNSET and found.raised is not msgspec.UNSET:
        return "has both returned and raised; a call does one of them"
    if not 0 <= found.duration_ms <= LONGEST_MS:
        return f"duration_ms is not between 0 and {LONGEST_MS:.0f}"
    problem = binding.problem_with(args)
    return f"{found.operation}: {problem}" if problem else None


def _outcome(found: _Line) -> Side | None:
    duration_us = int(found.duration_ms * 1_000)
    if found.raised is not msgspec.UNSET:
        return Side(duration_us, raised=found.raised)
    if found.returned is not msgspec.UNSET:
        return Side(duration_us, returned=msgspec.Raw(encode_value(found.returned)))
    return None
