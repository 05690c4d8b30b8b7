"""Traffic files: one call a line, checked before it is made; a bad line is named and the rest still runs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from console.errors import UsageError
from gnomon.operation import Binding
from gnomon.wire import Raised, Side, encode_value


class _Line(msgspec.Struct):
    at: datetime
    operation: str
    user_id: str
    args: dict[str, Any]
    returned: Any = msgspec.UNSET
    raised: Raised | msgspec.UnsetType = msgspec.UNSET
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class TrafficCall:
    """One call to be made; `outcome` is what legacy did when it was recorded, where the file says so."""

    operation: str
    args: dict[str, Any]
    outcome: Side | None = None


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be run, and why. Never holds a piece of the line: it is personal."""

    number: int
    problem: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.problem}"


_decoder = msgspec.json.Decoder(_Line)


def read_traffic(path: Path) -> list[bytes]:
    """Return the lines of a traffic file; raises UsageError where it cannot be read."""
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or type(error).__name__}") from None


def parse(lines: Iterable[bytes], operations: Mapping[str, Binding]) -> Iterator[TrafficCall | BadLine]:
    """Yield each line as a call or as a bad line; empty lines are skipped."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _parsed(number, line, operations)


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
    return TrafficCall(found.operation, binding.typed(args), _outcome(found))


def _problem(found: _Line, binding: Binding, args: dict[str, Any]) -> str | None:
    if not found.user_id:
        return "user_id is empty"
    if found.args.get(binding.user, found.user_id) != found.user_id:
        return f"args name another {binding.user} than user_id"
    problem = binding.problem_with(args)
    return f"{found.operation}: {problem}" if problem else None


def _outcome(found: _Line) -> Side | None:
    duration_us = int(found.duration_ms * 1_000)
    if found.raised is not msgspec.UNSET:
        return Side(duration_us, raised=found.raised)
    if found.returned is not msgspec.UNSET:
        return Side(duration_us, returned=msgspec.Raw(encode_value(found.returned)))
    return None
