from collections.abc import Callable
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

import msgspec
import pytest

from gnomon import Kind
from rollout import ClusterEvidence, Epoch, Evidence, Exposure, Funnel, OperationEvidence, Outcomes, Stage

CLUSTERS = 256
KINDS = {"memory.save": Kind.WRITE, "memory.recent": Kind.READ, "chat.send": Kind.GENERATE}


def spread(total: int, groups: int, start: int) -> list[int]:
    """Divide `total` into `groups` counts that differ by one at most; what is over goes to those from `start` on."""
    base, extra = divmod(total, groups)
    return [base + ((group - start) % groups < extra) for group in range(groups)]


def clusters_of(outcomes: Outcomes, excluded_returned: int, groups: int = CLUSTERS) -> tuple[ClusterEvidence, ...]:
    names = Outcomes.__struct_fields__
    totals = [getattr(outcomes, name) for name in names]
    starts = [0, *accumulate(totals)]
    columns = [spread(total, groups, start) for total, start in zip(totals, starts, strict=False)]
    returned = spread(excluded_returned, groups, starts[names.index("excluded")])
    return tuple(
        ClusterEvidence.of(group, Outcomes(**dict(zip(names, counts, strict=True))), returned[group])
        for group, counts in enumerate(zip(*columns, strict=True))
    )


def row(
    operation: str = "memory.recent",
    *,
    exposure: Exposure = Exposure.SHADOW,
    calls: int = 25_600,
    funnel: dict[str, int] | None = None,
    groups: int = CLUSTERS,
    excluded_returned: int = 0,
    fields: dict[str, Any] | None = None,
    **outcomes: int,
) -> OperationEvidence:
    """Return sound evidence of `calls` captures: what is not said to have ended otherwise matched."""
    ended = Outcomes(match=calls - sum(outcomes.values()), **outcomes)
    before = funnel or {}
    return OperationEvidence(
        operation=operation,
        kind=KINDS[operation],
        exposure=exposure,
        funnel=Funnel(eligible=calls + sum(before.values()), captured=calls, **before),
        outcomes=ended,
        excluded_returned=excluded_returned,
        clusters=clusters_of(ended, excluded_returned, groups),
        **{"wins": calls // 20, "losses": calls // 40, "ties": 0, "p95_ratio": 1.0, **(fields or {})},
    )


def epoch(stage: Stage = Stage.TENTH, **changes: Any) -> Epoch:
    facts = {"number": 3, "build": "enhanced-7", "rule_set": "1", "opened_at": datetime(2025, 3, 1, tzinfo=UTC)}
    return Epoch(stage=stage, **(facts | changes))


def evidence(*rows: OperationEvidence, stage: Stage = Stage.TENTH, **changes: Any) -> Evidence:
    """Return evidence that is eligible, unless `rows` or `changes` say otherwise."""
    facts = {
        "epoch": epoch(stage),
        "share": stage.share,
        "age_s": 50 * 3600.0,
        "hours_with_data": 50,
        "distinct_users": 1_000,
        "lag_s": 2.0,
        "open_complaints": 0,
        "complaint_feed_age_s": 10.0,
        "operations": rows or tuple(row(name, exposure=side) for name in KINDS for side in Exposure),
        "required": tuple(dict.fromkeys(each.operation for each in rows)) or tuple(KINDS),
    }
    users = changes.get("distinct_users", 1_000)
    placed = {"users_inside": max(0, users * int(stage) // 100), "users_placed": max(0, users)}
    return Evidence(**(facts | placed | changes))


@pytest.fixture(scope="session")
def make_row() -> Callable[..., OperationEvidence]:
    return row


@pytest.fixture(scope="session")
def make_epoch() -> Callable[..., Epoch]:
    return epoch


@pytest.fixture(scope="session")
def make_evidence() -> Callable[..., Evidence]:
    return evidence


@pytest.fixture(scope="session")
def change() -> Callable[..., Any]:
    return msgspec.structs.replace
