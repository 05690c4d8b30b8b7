import json
from collections.abc import Callable
from typing import Any

import pytest

from comparators import Call, Judgement, Observation, judge

Page = list[dict[str, Any]]


@pytest.fixture
def page() -> Callable[..., Page]:
    """Make a page of memories, newest first: the first has the highest number."""

    def make(count: int = 10, user: str = "ann") -> Page:
        return [
            {
                "id": f"m{number}",
                "user_id": user,
                "memory_type": "conversation",
                "content": f"message {number}",
                "metadata": {"conversation_id": "c1", "role": "user", "turn": number},
                "created_at": f"2026-01-05T08:{number // 60:02d}:{number % 60:02d}.000001+00:00",
            }
            for number in range(count, 0, -1)
        ]

    return make


@pytest.fixture
def copied() -> Callable[[Any], Any]:
    """Copy a JSON value as the wire would: nothing is shared."""
    return lambda value: json.loads(json.dumps(value))


@pytest.fixture
def judged() -> Callable[..., Judgement]:
    """Judge two returned values of an operation."""

    def of(
        operation: str, legacy: Any, enhanced: Any, *, call: Call | None = None, context: tuple[str, ...] = ()
    ) -> Judgement:
        observed = Observation.returned(enhanced, context=context)
        return judge(operation, Observation.returned(legacy), observed, call=call)

    return of


@pytest.fixture
def told(judged) -> Callable[..., tuple[str, list[tuple[str, str, str]]]]:
    """Judge two returned values and give the verdict with (kind, severity, path) of every difference."""

    def of(*args: Any, **options: Any) -> tuple[str, list[tuple[str, str, str]]]:
        judgement = judged(*args, **options)
        return judgement.verdict, [(found.kind, found.severity, found.path) for found in judgement.differences]

    return of
