"""Gathers the evidence of the open epoch from the ledger's tallies: the one place where the gate's input is read."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec

from comparators import RuleSet
from gnomon import Kind
from ledger import Measure, OperationSums, PairSums, Reading
from ledger.models import EpochRow
from rollout.evidence import ClusterEvidence, Evidence, Exposure, Funnel, OperationEvidence, Outcomes, Window
from rollout.pairing import paired_evidence
from rollout.policy import Policy
from rollout.stages import Epoch, Stage

_DEFAULT: Final = Policy()
_HOUR_S: Final = 3600


def gather(
    reading: Reading,
    kinds: Mapping[str, Kind],
    *,
    oldest_pending: datetime | None = None,
    policy: Policy = _DEFAULT,
) -> Evidence:
    """Return the evidence of the open epoch.

    `policy` gives the level at which bounds of measured times are to hold.

    `kinds` names the operations that must be proven, with their kind; `oldest_pending` is when the oldest capture that
    waits was made: where captures wait and it is not known, they are taken to be as old as the epoch. Raises
    LedgerError where the ledger does not answer.
    """
    row = reading.epoch()
    sums = reading.sums(row.epoch)
    clusters, pairs = reading.clusters(row.epoch), reading.pairs(row.epoch, [Measure.RATIO])
    now = reading.now()
    waiting_since = (oldest_pending or row.opened_at) if any(found.pending for found in sums.values()) else now
    rules = reading.in_force()
    hour, opened = (int(moment.timestamp()) // _HOUR_S for moment in (now, row.opened_at))
    lately = reading.since(row.epoch, hour * _HOUR_S // 60)
    paired = {name: _without_allowed(pairs.get(name, PairSums()), rules) for name in sums}
    operations = [
        msgspec.structs.replace(
            _operation(name, kinds.get(name, Kind.READ), sums[name], clusters.get(name, []), paired[name]),
            window=_window(hour - opened + 1, lately.get(name, Counter())),
            **paired_evidence(paired[name], policy),
        )
        for name in sums
    ]
    return Evidence(
        epoch=_epoch(row),
        share=row.share / 100,
        age_s=(now - row.opened_at).total_seconds(),
        hours_with_data=reading.hours(row.epoch),
        distinct_users=reading.distinct_users(row.epoch),
        lag_s=max(0.0, (now - waiting_since).total_seconds()),
        open_complaints=0,
        complaint_feed_age_s=None,
        operations=tuple(operations),
        required=tuple(kinds),
    )


def _window(number: int, counts: Counter[str]) -> Window:
    """Return the hour under way; the database's clock may have been set back to before the epoch."""
    outcomes = Outcomes(**{name: counts[name] for name in Outcomes.__struct_fields__})
    calls = ClusterEvidence.of(-1, outcomes, counts["excluded_returned"])
    return Window(number=max(1, number), good=calls.successes + calls.unknown, trials=calls.trials)


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
        opened_at=row.opened_at,
        closed_at=row.closed_at,
    )


def _operation(
    name: str, kind: Kind, sums: OperationSums, clusters: list[dict[str, Any]], pairs: PairSums
) -> OperationEvidence:
    """Nobody is served yet, so all evidence has the exposure `shadow`."""
    outcomes = {str(outcome): sums.outcomes[outcome] for outcome in Outcomes.__struct_fields__}
    outcomes["pending"] = sums.pending
    return OperationEvidence(
        operation=name,
        kind=kind,
        exposure=Exposure.SHADOW,
        funnel=Funnel(**{field: sums.funnel[field] for field in Funnel.__struct_fields__}),
        outcomes=Outcomes(**outcomes),
        excluded_returned=sums.excluded_returned,
        critical=sums.diverged_critical,
        clusters=tuple(_cluster(row, pairs) for row in clusters),
    )


def _cluster(row: Mapping[str, Any], pairs: PairSums) -> ClusterEvidence:
    counted = {field: row[field] for field in Outcomes.__struct_fields__ if field != "pending"}
    return ClusterEvidence.of(
        row["cluster"],
        Outcomes(**counted),
        row["excluded_returned"],
        critical=row["diverged_critical"],
        pairs=pairs.clusters.get(row["cluster"], (0, 0)),
    )
