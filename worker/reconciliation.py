"""Holds the second sum against what can be counted apart: what was sent, what is done, and what lies in the lanes.

The ledger tells what is pending by subtraction, which always adds up. Here the captures that wait are counted where
they lie; what is neither done nor there is missing, and that is told with its size.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ledger import LaneAccount, Ledger, Position, Sent
from ledger.senders import grown
from worker.lane_entries import LaneEntries
from worker.lanes import LaneStore

TRIES: Final = 4  # a lane that moves while it is looked at is looked at again
PAGE: Final = 64  # entries
NOTHING: Final = LaneAccount(Position(), 0, 0, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneBalance:
    """One lane at one moment."""

    lane: int
    captured: int
    done: int
    waiting: int

    @property
    def missing(self) -> int:
        """Captures that are neither done nor in the lane; below 0: so many too many."""
        return self.captured - self.done - self.waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What was found of all lanes; those that never stood still, or hold too much to count, are left out."""

    balances: tuple[LaneBalance, ...] = ()
    unchecked: tuple[int, ...] = ()
    sent: Mapping[str, int] = field(default_factory=dict)  #: eligible calls told, by live process

    @property
    def off(self) -> dict[int, int]:
        """The lanes that do not add up, and by how much."""
        return {balance.lane: balance.missing for balance in self.balances if balance.missing}

    @property
    def waiting(self) -> int:
        """Captures counted in the lanes."""
        return sum(balance.waiting for balance in self.balances)


def reconcile(lanes: LaneStore, ledger: Ledger, numbers: Iterable[int]) -> Reconciliation:
    """Look at every lane until it stands still, a few times at most."""
    wanted, found = set(numbers), dict[int, _Looked]()
    before = _accounts(ledger)
    for _ in range(TRIES):
        looked = {lane: _look(lanes, lane, before.get(lane, NOTHING)) for lane in sorted(wanted)}
        after = _accounts(ledger)
        found |= {lane: seen for lane, seen in looked.items() if after.get(lane) == before.get(lane)}
        wanted, before = wanted - set(found), after
        if not wanted:
            break
    unchecked = wanted | {lane for lane, seen in found.items() if seen.balance is None}
    return Reconciliation(
        balances=tuple(found[lane].balance for lane in sorted(set(found) - unchecked)),  # type: ignore[misc]
        unchecked=tuple(sorted(unchecked)),
        sent=sum((seen.sent for seen in found.values()), Counter()),
    )


@dataclass(frozen=True, slots=True)
class _Looked:
    balance: LaneBalance | None  # None: too much waits to be counted
    sent: Counter[str]


def _accounts(ledger: Ledger) -> dict[int, LaneAccount]:
    with ledger.reading() as reading:
        return reading.accounts()


def _look(lanes: LaneStore, lane: int, account: LaneAccount) -> _Looked:
    """Count what waits in a lane: the entries that were read before one by one, for some of theirs are done."""
    entries = LaneEntries({name: sender.seen for name, sender in account.senders.items()}, account.position)
    while True:
        page = lanes.read(lane, entries.last, PAGE).entries
        entries.take(page)
        if len(page) < PAGE or not any(entry.known for entry in entries.waiting[-len(page) :]):
            break
    stock = lanes.senders.stock(lane, entries.last)
    totals = _totals(account, stock.sent)
    if stock.captures is None:
        return _Looked(None, totals)
    cut = account.position.cut
    here = sum(not (entry.known and item.order <= cut) for entry in entries.waiting for item in entry.items)
    captured = account.captured + _grown(account, stock.sent)
    balance = LaneBalance(lane=lane, captured=captured, done=account.done, waiting=here + stock.captures)
    return _Looked(balance, totals)


def _grown(account: LaneAccount, sent: Mapping[str, Sent]) -> int:
    """Return how many captures were sent that the ledger has not taken in yet."""
    known = {name: sender.counts for name, sender in account.senders.items()}
    fresh = [grown(known.get(name, {}), told.counts) for name, told in sent.items()]
    return sum(count for counts in fresh for name, count in counts.items() if name.endswith("|captured"))


def _totals(account: LaneAccount, sent: Mapping[str, Sent]) -> Counter[str]:
    """Return the eligible calls that each process has told of, ever."""
    totals: Counter[str] = Counter()
    for producer in {*account.senders, *sent}:
        known = account.senders[producer].counts if producer in account.senders else {}
        told = sent[producer].counts if producer in sent else {}
        names = {name for name in (*known, *told) if name.endswith("|eligible")}
        totals[producer] += sum(max(known.get(name, 0), told.get(name, 0)) for name in names)
    return totals
