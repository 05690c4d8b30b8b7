"""Several lanes in one transaction: the same rows as of one after another, and each fenced alone."""

import itertools
import threading

import pytest

from comparators import Difference, Kind, Severity
from ledger import FencedError, KeptDifference, LaneCommit, Ledger, Outcome, Seen, Sent, Settling, Standing
from ledger.base import Base

LANES = 3


def differing(name):
    return (KeptDifference.of("memory.recent", Difference(f"$.{name}", Kind.CHANGED, Severity.MAJOR, 1, 2)),)


@pytest.fixture
def findings(finding):
    """Make what a lane has found: users of its own and of others, groups and reasons that lanes share."""

    def of(lane: int):
        return (
            finding(user=f"u{lane}"),
            finding(user="everywhere"),
            finding(Outcome.DIVERGED, user=f"u{lane}", differences=differing("shared")),
            finding(Outcome.DIVERGED, user="everywhere", differences=differing(f"of_{lane}")),
            finding(Outcome.EXCLUDED, reason="concurrent", user=f"u{lane}"),
            finding(Outcome.PARKED, reason="poison", user=f"u{lane}", payload=b"x", epoch=2),
        )

    return of


def whole(lane, holder, found) -> LaneCommit:
    """A commit with something of everything."""
    commit = holder.next(*found)
    sent = {"p": Sent(lane + 1, {"memory.recent|1|eligible": 9, "memory.recent|1|captured": len(found)})}
    standing = Standing(digest=f"digest-{lane}", opened_us=5, until_us=9, closed_us=None, reason="lost")
    return LaneCommit(
        lane=lane,
        fence=commit.fence,
        before=commit.before,
        after=commit.after,
        findings=found,
        sent=sent,
        seen={"p": Seen(1)},
        standings=(standing,),
    )


NOW = {"committed_at", "parked_at", "changed_us", "recorded_at", "decided_at"}


def rows(dump):
    """Every row, but for what tells the time of day."""
    return {
        table: sorted(repr({name: value for name, value in row.items() if name not in NOW}) for row in found)
        for table, found in dump().items()
    }


def test_it_is_the_same_as_one_after_another(open_ledger, hold, findings, dump):
    """Every table, row by row."""
    ledger = open_ledger()
    found = {lane: findings(lane) for lane in range(LANES)}
    holders = {lane: hold(ledger, lane) for lane in found}
    commits = [whole(lane, holder, found[lane]) for lane, holder in holders.items()]
    assert ledger.commit_together(commits[::-1]) == {0, 1, 2}
    together = rows(dump)
    with ledger._engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name not in ("about", "epochs"):
                connection.execute(table.delete())
    for lane, its in found.items():
        ledger.commit(whole(lane, hold(ledger, lane), its))
    assert rows(dump) == together


def test_a_lane_that_was_taken_is_left_out(open_ledger, hold, findings, read):
    """Nothing of it is written, and the others are."""
    ledger = open_ledger()
    holders = [hold(ledger, lane) for lane in range(LANES)]
    commits = [whole(lane, holder, findings(lane)) for lane, holder in enumerate(holders)]
    open_ledger().take(1)
    assert ledger.commit_together(commits) == {0, 2}
    assert read(ledger, "done") == 2 * 6
    assert {group.path: group.count for group in read(ledger, "groups")} == {"$.shared": 2, "$.of_0": 1, "$.of_2": 1}
    assert read(ledger, "positions")[1] == holders[1].position


def test_the_same_again_goes_in_nowhere(open_ledger, hold, findings, dump):
    """As when nobody knows whether a commit went in: it is made again, and changes nothing."""
    ledger = open_ledger()
    commits = [whole(lane, hold(ledger, lane), findings(lane)) for lane in range(LANES)]
    ledger.commit_together(commits)
    before = rows(dump)
    assert ledger.commit_together(commits) == set()
    with pytest.raises(FencedError):
        ledger.commit(commits[0])
    assert rows(dump) == before


def test_where_one_cannot_be_written_none_is(open_ledger, hold, finding, dump):
    """It is one transaction."""
    ledger = open_ledger()
    holders = [hold(ledger, lane) for lane in range(LANES)]
    before = rows(dump)
    commits = [holder.next(finding(user=f"u{holder.lane}")) for holder in holders]
    broken = holders[2].next(finding(called_at_us="no number"))
    with pytest.raises(TypeError):
        ledger.commit_together([*commits[:2], broken])
    assert rows(dump) == before


def test_what_may_not_share_a_transaction_says_so(ledger, hold, finding):
    """What is counted a second time, what settles a lane, what sets one back."""
    holder = hold(ledger)
    plain = holder.next(finding())
    fields = {name: getattr(plain, name) for name in ("lane", "fence", "before", "after", "findings")}
    assert plain.plain
    assert not LaneCommit(**fields, set_back_us=1).plain
    assert not LaneCommit(**fields, settling=Settling(now_us=1, reads=frozenset())).plain
    assert not holder.next(finding(unparks="0:p-1")).plain


def test_workers_that_commit_several_lanes_wait_for_each_other_in_no_circle(open_ledger, hold, finding, read):
    """Each holds lanes of its own, and all of them count into the same rows."""
    commits, problems = 12, []
    names = ("a", "b", "c")

    def drain(ledger: Ledger, lanes, order) -> None:
        try:
            holders = [hold(ledger, lane) for lane in lanes]
            for n in range(commits):
                due = []
                for holder in holders:
                    found = [finding(Outcome.DIVERGED, user=f"u{x}", differences=differing(x)) for x in order]
                    due.append(holder.next(*found, finding(user=f"u{n}")))
                assert ledger.commit_together(due) == set(lanes)
                for holder, commit in zip(holders, due, strict=True):
                    holder.position = commit.after
        except Exception as error:
            problems.append(error)

    sides = [((5, 1, 3), names), ((0, 2, 4), names[::-1])]
    threads = [threading.Thread(target=drain, args=(open_ledger(), *side)) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    ledger = open_ledger()
    assert read(ledger, "done") == 6 * commits * 4
    assert {group.path: group.count for group in read(ledger, "groups")} == {f"$.{x}": 6 * commits for x in names}
    lanes = itertools.chain(*(lanes for lanes, _ in sides))
    assert all(read(ledger, "positions")[lane].read[0] == commits for lane in lanes)
