"""Gathers the evidence of the open epoch from the ledger's tallies: the one place where the gate's input is read."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from comparators import RuleSet
from gnomon import Kind
from gnomon.hashing import BUCKETS
from ledger import COUNTED, MISSED_SERVED, SUPERSEDED, Measure, PairSums, Reading
from ledger.models import EpochRow
from ledger.reading import Cluster
from rollout.evidence import ClusterEvidence, Evidence, Exposure, Funnel, OperationEvidence, Outcomes, Window
from rollout.pairing import live_ratio, paired_evidence
from rollout.policy import Policy
from rollout.stages import Epoch, Stage

_DEFAULT: Final = Policy()
_HOUR_S: Final = 3600
_SETTLED: Final = tuple(name for name in Outcomes.__struct_fields__ if name != "pending")
_COUNTERS: Final = ("wins", "losses", "ties", "failed", "legacy_failed", "repeated", "noisy")
_MEASURES: Final = (Measure.RATIO, Measure.LIVE_LEGACY, Measure.LIVE_ENHANCED)


def gather(
    reading: Reading,
    kinds: Mapping[str, Kind],
    *,
    oldest_pending: datetime | None = None,
    policy: Policy = _DEFAULT,
    share: float | None = None,
) -> Evidence:
    """Return the evidence of the open epoch.

    `policy` gives the level at which bounds of measured times are to hold.

    `kinds` names the operations that must be proven, with their kind; `oldest_pending` is when the oldest capture that
    waits was made: where captures wait and it is not known, they are taken to be as old as the epoch. `share` is the
    one that the flags in force give, percent; where nobody can ask them it is taken to be the stage's. Raises
    LedgerError where the ledger does not answer.
    """
    row = reading.epoch()
    now, rollout = reading.now(), reading.rollout
    paused, stand = rollout.paused(row.epoch), rollout.standing()
    attempt = rollout.attempts(row.share, row.epoch)
    gathered = _Gathered(reading, row, now, kinds, policy.at(attempt))
    pending = any(gathered.pending(name) for name in gathered.funnels)
    waiting_since = (oldest_pending or row.opened_at) if pending else now
    users = reading.distinct_users(row.epoch)
    return Evidence(
        epoch=_epoch(row),
        share=(row.share if share is None else share) / 100,
        attempt=attempt,
        age_s=(now - row.opened_at).total_seconds() - paused.seconds,
        paused=f"{paused.by}: {paused.why}" if paused.since is not None else "",
        rolled_back=(stand.taken_back or "no reason was given") if stand.rolled_back else "",
        clean=stand.clean,
        hours_with_data=reading.hours(row.epoch),
        distinct_users=users,
        users_inside=reading.users_below(row.epoch, row.share * BUCKETS // 100),
        users_placed=users - reading.unplaced_users(row.epoch),
        lag_s=max(0.0, (now - waiting_since).total_seconds()),
        open_complaints=reading.open_complaints(),
        complaint_feed_age_s=_age_s(stand.complaints_read_at, now),
        operations=tuple(one for name in gathered.funnels for one in gathered.rows(name)),
        required=tuple(kinds),
    )


def _age_s(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else (now - at).total_seconds()


@dataclass(slots=True)
class _Tally:
    """What one operation came to under one exposure."""

    sums: Counter[str]
    clusters: list[Cluster]

    @property
    def settled(self) -> int:
        return sum(self.sums[str(outcome)] for outcome in COUNTED)


class _Gathered:
    """All that one look reads of the operations, before it is put into rows."""

    def __init__(
        self, reading: Reading, row: EpochRow, now: datetime, kinds: Mapping[str, Kind], policy: Policy
    ) -> None:
        self._kinds = kinds
        self._policy = policy
        self.funnels = dict(sorted(reading.funnels(row.epoch).items()))
        self._clusters = reading.clusters(row.epoch)
        for name in sorted(self._clusters.keys() - self.funnels.keys()):
            self.funnels[name] = Counter()  # what nobody has told of yet is not exact, and the gate says so
        self._outcomes, self._lost = reading.outcomes(row.epoch), reading.lost(row.epoch)
        pairs, rules = reading.pairs(row.epoch, _MEASURES, _COUNTERS), reading.in_force()
        self._pairs = {name: _without_allowed(pairs.get(name, PairSums()), rules) for name in self.funnels}
        hour, opened = (int(moment.timestamp()) // _HOUR_S for moment in (now, row.opened_at))
        self._hour = max(1, hour - opened + 1)  # the database's clock may have been set back to before the epoch
        self._lately = reading.since(row.epoch, hour * _HOUR_S // 60)
        self._tallies = {name: self._tally(name) for name in self.funnels}

    def _tally(self, name: str) -> dict[Exposure, _Tally]:
        by: defaultdict[str, list[Cluster]] = defaultdict(list)
        for cluster in self._clusters.get(name, ()):
            by[cluster.exposure].append(cluster)
        found = {Exposure(each): _Tally(self._outcomes[name, each], rows) for each, rows in by.items()}
        _share_out(found, self._lost.get(name, 0))
        return found or {Exposure.SHADOW: _Tally(Counter(), [])}

    def pending(self, name: str) -> int:
        """Return how many captures of an operation have not ended yet."""
        return self.funnels[name]["captured"] - sum(tally.settled for tally in self._tallies[name].values())

    def rows(self, name: str) -> list[OperationEvidence]:
        """Return the rows of an operation: what is known of the whole of it alone stands with the first."""
        paired = paired_evidence(self._pairs[name], self._policy)
        kind = self._kinds.get(name, Kind.READ)
        if kind is not Kind.READ:
            paired["p95_ratio"] = live_ratio(self._pairs[name])
        rows = []
        for place, (exposure, tally) in enumerate(sorted(self._tallies[name].items(), key=_served_last)):
            first = place == 0
            of_all = paired if first else {"p95_ratio": paired["p95_ratio"]}
            rows.append(
                OperationEvidence(
                    operation=name,
                    kind=kind,
                    exposure=exposure,
                    **self._counted(name, exposure, tally, first=first),
                    excluded_returned=tally.sums["excluded_returned"],
                    excluded_apart=tally.sums[f"excluded_{SUPERSEDED}"],
                    critical=tally.sums["diverged_critical"],
                    clusters=tuple(_clusters(tally.clusters, self._pairs[name].clusters if first else {})),
                    window=_window(self._hour, self._lately.get((name, exposure), Counter())),
                    **of_all,
                )
            )
        return rows

    def _counted(self, name: str, exposure: Exposure, tally: _Tally, *, first: bool) -> dict[str, Any]:
        """Return funnel and outcomes of a row; before it is captured, nothing says which exposure a call had.

        So what ended before stands with the first row, and `missed` says which of it concerns whom.
        """
        funnel = self.funnels[name]
        others = sum(each.settled for other, each in self._tallies[name].items() if other is not exposure)
        captured = funnel["captured"] - others if first else tally.settled
        outcomes = {field: tally.sums[field] for field in _SETTLED} | {"pending": captured - tally.settled}
        counted = {field: funnel[field] for field in Funnel.__struct_fields__} if first else {}
        whole = Funnel(**counted)
        eligible = whole.eligible - funnel["captured"] + captured if first else captured
        missed = funnel[MISSED_SERVED]
        if exposure is Exposure.SHADOW:
            missed = max(0, whole.wanted - whole.captured - missed)
        return {
            "funnel": Funnel(**{**counted, "eligible": eligible, "captured": captured}),
            "outcomes": Outcomes(**outcomes),
            "missed": missed,
        }


def _served_last(item: tuple[Exposure, _Tally]) -> bool:
    return item[0] is Exposure.SERVED


def _share_out(tallies: dict[Exposure, _Tally], lost: int) -> None:
    """Lay what is lost to the exposures by what is known of each, in favour of neither: rounded against the served."""
    if not lost:
        return
    settled = {exposure: tally.settled for exposure, tally in tallies.items()}
    served = -(-lost * settled.get(Exposure.SERVED, 0) // max(1, sum(settled.values())))
    for exposure, count in ((Exposure.SERVED, served), (Exposure.SHADOW, lost - served)):
        if count:
            tallies.setdefault(exposure, _Tally(Counter(), [])).sums["lost"] += count


def _window(number: int, counts: Counter[str]) -> Window:
    """Return the hour under way."""
    outcomes = Outcomes(**{name: counts[name] for name in Outcomes.__struct_fields__})
    calls = ClusterEvidence.of(-1, outcomes, counts["excluded_returned"])
    return Window(number=number, good=calls.successes + calls.unknown, trials=calls.trials)


def _without_allowed(sums: PairSums, rules: RuleSet) -> PairSums:
    """Return pairs without the noise in what rules allow: those divergences are not counted, so it excuses none."""
    noise = [field for field in sums.noise if not rules.names(field.operation, field.path, field.kind)]
    return replace(sums, noise=noise) if len(noise) < len(sums.noise) else sums


def _epoch(row: EpochRow) -> Epoch:
    return Epoch(
        number=row.epoch,
        stage=Stage(row.share),
        build=row.build,
        rule_set=str(row.rules_version),
        policy=row.policy,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
    )


def _clusters(rows: Sequence[Cluster], pairs: Mapping[int, tuple[int, int]]) -> Iterator[ClusterEvidence]:
    """Yield clusters, with pairs where they are told of; there are pairs of users without a call of this exposure."""
    for row in rows:
        wins, losses = pairs.get(row.cluster, (0, 0))
        judged = row.answered + row.failed + row.unknown
        yield ClusterEvidence(
            cluster=row.cluster,
            successes=row.answered + row.excluded_returned,
            trials=judged + row.excluded_returned,
            divergent=row.diverged,
            judged=judged,
            unknown=row.unknown,
            critical=row.critical,
            wins=wins,
            losses=losses,
        )
    for cluster in sorted(pairs.keys() - {row.cluster for row in rows}):
        wins, losses = pairs[cluster]
        yield ClusterEvidence(cluster=cluster, wins=wins, losses=losses)
