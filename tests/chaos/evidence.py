"""What the ledger says of it: both sums, outcomes by cluster of users, and the rows of what differs."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, func, select

from console.report import Sums
from ledger import COUNTED, Ledger
from ledger.engine import open_engine
from ledger.models import DivergenceRow, StandingRow, TallyRow
from tests.chaos.traffic import Wish

NOBODY = -1  # what was lost is nobody's any more
COUNT = "$.count"
PLANTED_PATH = "$.planted"
PLANTED_ERROR = "raised PlantedError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One snapshot."""

    sums: Sums
    clusters: Counter[tuple[str, int]]  #: outcomes by operation and cluster
    reasons: Counter[tuple[str, str]]  #: by outcome and reason
    verdicts: Counter[str]  #: rows of divergences by verdict
    false: list[str]  #: divergences that nobody planted, in words
    gaps: dict[str, int] = field(default_factory=dict)

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(self.sums.outcomes)

    @property
    def dropped(self) -> Counter[str]:
        """Eligible calls that ended before they were captured."""
        return Counter({name: count for name, count in self.sums.funnel.items() if name != "captured"})

    @property
    def captured(self) -> int:
        return self.sums.funnel["captured"]

    @property
    def ended(self) -> int:
        """Calls that have come to their end, wherever."""
        return self.dropped.total() + self.captured - self.outcomes["pending"]

    @property
    def exact(self) -> bool:
        """Whether both sums are, with nothing pending."""
        return not self.sums.imbalance and self.outcomes["pending"] == 0


class Witness:
    """Asks the ledger, past the workers."""

    def __init__(self, url: str) -> None:
        self._ledger = Ledger(url)
        self._engine: Engine = open_engine(url).execution_options(reading=True)

    def cuts(self) -> dict[int, int]:
        """Return up to when each lane is drained, µs."""
        with self._ledger.reading() as reading:
            return {lane: position.cut[0] for lane, position in reading.positions().items()}

    def sums(self) -> Sums:
        with self._ledger.reading() as reading:
            return Sums(operations=reading.sums(), done=reading.done())

    def deaths(self) -> int:
        """Return of how many users a live process was taken for dead, ever."""
        with self._engine.connect() as connection:
            found = select(func.count()).where(StandingRow.reason == "producer_died")
            return connection.scalar(found) or 0

    def evidence(self) -> Evidence:
        with self._ledger.reading() as reading:
            sums = Sums(operations=reading.sums(), done=reading.done())
            reasons = Counter({(outcome, why): count for _, outcome, why, count in reading.reasons()})
            gaps = reading.gaps()
        with self._engine.connect() as connection:
            tallies = [dict(row) for row in connection.execute(select(TallyRow)).mappings()]
            rows = [dict(row) for row in connection.execute(select(DivergenceRow)).mappings()]
        return Evidence(
            sums=sums,
            clusters=_by_cluster(tallies),
            reasons=reasons,
            verdicts=Counter(row["verdict"] for row in rows),
            false=[said for row in rows if (said := _false(row))],
            gaps=gaps,
        )

    def close(self) -> None:
        self._ledger.close()
        self._engine.dispose()


def _by_cluster(tallies: list[dict[str, Any]]) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    for row in tallies:
        if row["cluster"] == NOBODY:
            continue
        found[row["operation"], row["cluster"]] += sum(row[str(outcome)] for outcome in COUNTED)
    return found


def _false(row: dict[str, Any]) -> str:
    """Name a divergence that was not planted; empty for one that was."""
    paths = [found["path"] for found in row["differences"]]
    if row["verdict"] != "diverged" or paths == [PLANTED_PATH]:
        return ""
    counts = [
        f"{found.get('legacy')} → {found.get('enhanced')}" for found in row["differences"] if found["path"] == COUNT
    ]
    return f"{row['operation']} {row['capture_id']} differs at {', '.join(paths)} ({', '.join(counts)})"


WISHED = {"diverged": Wish.WRONG, "failed": Wish.REFUSE}
