"""Where every call of a lane is accounted for: what its senders counted, how much is done, and what is lost.

All of it is written under the lock of the lane's row, so a commit and a sweep never count the same growth twice.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select, update

from ledger.facts import FUNNEL, MISSED_SERVED, CallsKey, LaneCommit, Outcome, Position
from ledger.models import FunnelRow, LaneRow, LossRow, ReasonRow, SenderRow, StandingRow, TallyRow
from ledger.senders import Seen, Sent, count_key, grown
from ledger.standings import everyone_of
from ledger.upsert import add_new, add_up, put

NOBODY: Final = -1  # the cluster of what is lost: nobody knows whose calls those were
LOST: Final = "gone with Redis"
_COUNTED: Final = frozenset({*FUNNEL, MISSED_SERVED})
_NAMES: Final = (*sorted(_COUNTED), "done", "lost")
# built once: every commit asks, and whoever takes a lane
_SEEN: Final = select(SenderRow.producer, SenderRow.read, SenderRow.missing).where(
    SenderRow.lane == bindparam("lane_asked")
)
_KNOWN: Final = select(SenderRow.__table__).where(
    SenderRow.lane == bindparam("lane_asked"), SenderRow.producer.in_(bindparam("producers", expanding=True))
)


@dataclass(frozen=True, slots=True)
class SenderAccount:
    """What a process has sent to a lane, as far as the ledger knows."""

    counts: Mapping[str, int]
    seen: Seen


@dataclass(frozen=True, slots=True)
class LaneAccount:
    """How a lane stands: its position, the captures done or lost, those captured, and who sent them."""

    position: Position
    done: int
    captured: int
    senders: Mapping[str, SenderAccount]


def lock(connection: Connection, lanes: Iterable[int]) -> None:
    """Keep everybody else from accounting for these lanes until the transaction ends."""
    for lane in sorted(lanes):
        add_new(connection, LaneRow, [{"lane": lane}])
        connection.execute(update(LaneRow).where(LaneRow.lane == lane).values(fence=LaneRow.fence))


def take_in(
    connection: Connection,
    lane: int,
    sent: Mapping[str, Sent],
    *,
    seen: Mapping[str, Seen] | None = None,
    done: Mapping[CallsKey, int] | None = None,
) -> None:
    """Add what senders have counted since they were last asked, and what is done; the lane's row is locked."""
    fresh = seen or {}
    known = _known(connection, lane, {*sent, *fresh})
    grew = {producer: grown(known[producer].counts, told.counts) for producer, told in sent.items()}
    add_up(connection, FunnelRow, _rows(lane, grew.values(), done or {}))
    changed = [producer for producer in {*sent, *fresh} if grew.get(producer) or producer in fresh]
    put(
        connection,
        SenderRow,
        [_sender(lane, producer, known[producer], grew.get(producer, {}), fresh.get(producer)) for producer in changed],
    )


def of_lanes(connection: Connection) -> dict[int, LaneAccount]:
    """Return how every lane stands that was ever taken."""
    summed = select(FunnelRow.lane, func.sum(FunnelRow.captured)).group_by(FunnelRow.lane)
    captured = {lane: int(count) for lane, count in connection.execute(summed)}
    senders: defaultdict[int, dict[str, SenderAccount]] = defaultdict(dict)
    for row in connection.execute(select(SenderRow)).mappings():
        senders[row["lane"]][row["producer"]] = _account(row)
    return {
        row["lane"]: LaneAccount(
            position=Position((row["read_ms"], row["read_seq"]), (row["cut_us"], row["cut_id"])),
            done=row["done"],
            captured=captured.get(row["lane"], 0),
            senders=senders[row["lane"]],
        )
        for row in connection.execute(select(LaneRow)).mappings()
    }


def _account(row: RowMapping) -> SenderAccount:
    return SenderAccount(row["counts"], Seen(row["read"], frozenset(row["missing"])))


def senders(connection: Connection, lane: int) -> dict[str, Seen]:
    """Return which entries of each process were read."""
    rows = connection.execute(_SEEN, {"lane_asked": lane})
    return {row.producer: Seen(row.read, frozenset(row.missing)) for row in rows}


def book_lost(connection: Connection, commit: LaneCommit) -> Counter[CallsKey]:
    """Book as lost what was captured and can never be done: the lane is empty, and everything sent was counted.

    Its users may lack writes from then on: the lane is in a gap, unless nothing but reads are lost.
    """
    assert commit.settling is not None
    lost = _missing(connection, commit.lane)
    if not lost:
        return lost
    _book(connection, commit.lane, lost)
    if any(operation not in commit.settling.reads for operation, _ in lost):
        gap = {"lane": commit.lane, "opened_us": 0, "until_us": commit.settling.now_us, "closed_us": None}
        put(connection, StandingRow, [{**gap, "user_digest": everyone_of(commit.lane), "reason": "lost"}])
        _add_to_lane(connection, commit.lane, standings=1)
    return lost


def take_back(connection: Connection, lane: int) -> None:
    """Take back what was booked as lost and has come after all."""
    rows = connection.execute(select(FunnelRow).where(FunnelRow.lane == lane)).mappings().all()
    surplus = sum(row["done"] + row["lost"] - row["captured"] for row in rows)
    returned = dict[CallsKey, int]()
    for row in rows:
        if row["lost"] > 0 and surplus > 0:
            returned[row["operation"], row["epoch"]] = -min(row["lost"], surplus)
            surplus -= min(row["lost"], surplus)
    if returned:
        _book(connection, lane, returned)


def _missing(connection: Connection, lane: int) -> Counter[CallsKey]:
    """Return what is missing from a lane, by operation and epoch.

    Lines that nobody can read are done under another operation than they were counted under: so what is missing is
    told of the lane as a whole, and no more than that is laid to any of them.
    """
    query = select(FunnelRow).where(FunnelRow.lane == lane).order_by(FunnelRow.operation, FunnelRow.epoch)
    rows = connection.execute(query).mappings().all()
    apart = {(row["operation"], row["epoch"]): row["captured"] - row["done"] - row["lost"] for row in rows}
    left, missing = sum(apart.values()), Counter[CallsKey]()
    for key, count in apart.items():
        if count > 0 and left > 0:
            missing[key] = min(count, left)
            left -= missing[key]
    return missing


def _book(connection: Connection, lane: int, lost: Mapping[CallsKey, int]) -> None:
    keyed = [({"operation": operation, "epoch": epoch}, count) for (operation, epoch), count in lost.items()]
    zeros = dict.fromkeys(_NAMES, 0)
    add_up(connection, FunnelRow, [{"lane": lane, **key, **zeros, "lost": count} for key, count in keyed])
    nobodys = {"exposure": "shadow", "cluster": NOBODY}
    add_up(connection, TallyRow, [{**key, **nobodys, "lost": count} for key, count in keyed])
    why = {"outcome": str(Outcome.LOST), "reason": LOST}
    add_up(connection, ReasonRow, [{**key, **why, "count": count} for key, count in keyed])
    connection.execute(insert(LossRow), [{"lane": lane, **key, "captures": count} for key, count in keyed])
    _add_to_lane(connection, lane, done=sum(lost.values()))


def _add_to_lane(connection: Connection, lane: int, **counts: int) -> None:
    grown_by = {name: getattr(LaneRow, name) + count for name, count in counts.items()}
    connection.execute(update(LaneRow).where(LaneRow.lane == lane).values(**grown_by))


def _known(connection: Connection, lane: int, producers: Iterable[str]) -> defaultdict[str, SenderAccount]:
    found: defaultdict[str, SenderAccount] = defaultdict(lambda: SenderAccount({}, Seen()))
    asked = {"lane_asked": lane, "producers": sorted(producers)}
    for row in connection.execute(_KNOWN, asked).mappings() if asked["producers"] else ():
        found[row["producer"]] = _account(row)
    return found


def _rows(lane: int, grew: Iterable[Mapping[str, int]], done: Mapping[CallsKey, int]) -> list[dict[str, Any]]:
    rows: defaultdict[CallsKey, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_NAMES, 0))
    for counts in grew:
        for name, count in counts.items():
            key = count_key(name)
            if key and key[2] in _COUNTED:
                rows[key[0], key[1]][key[2]] += count
    for calls, count in done.items():
        rows[calls]["done"] += count
    return [{"lane": lane, "operation": operation, "epoch": epoch, **row} for (operation, epoch), row in rows.items()]


def _sender(
    lane: int, producer: str, known: SenderAccount, grew: Mapping[str, int], seen: Seen | None
) -> dict[str, Any]:
    counts = {**known.counts, **{name: known.counts.get(name, 0) + count for name, count in grew.items()}}
    now = seen or known.seen
    return {
        "lane": lane,
        "producer": producer,
        "counts": counts,
        "read": now.read,
        "missing": sorted(now.missing),
        "changed_us": time.time_ns() // 1_000,
    }
