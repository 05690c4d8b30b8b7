"""Several workers on one ledger: whatever they do to each other, every finding counts once."""

import subprocess
import sys
import threading
from collections import Counter
from functools import partial

import pytest

from comparators import Difference, Kind, Severity
from ledger import FencedError, KeptDifference, Outcome

COMMITS = 15


def differing(*names):
    return tuple(
        KeptDifference.of("memory.recent", Difference(f"$.{name}", Kind.CHANGED, Severity.MAJOR, 1, 2))
        for name in names
    )


def together(*works):
    """Run the works side by side, started at once; return what they raised."""
    barrier, raised = threading.Barrier(len(works)), []

    def run(work) -> None:
        barrier.wait(10)
        try:
            work()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return raised


def test_workers_on_their_own_lanes_add_up(open_ledger, read, hold, finding):
    """The same tallies, minutes, reasons, users and groups from all sides: no sum loses anything, nobody deadlocks."""
    names = ("a", "b", "c")

    def work(lane: int):
        ledger = open_ledger()

        def drain() -> None:
            holder = hold(ledger, lane)
            for n in range(COMMITS):
                # in another order from each side
                order = names if lane % 2 else names[::-1]
                found = [finding(Outcome.DIVERGED, user=f"u{name}", differences=differing(name)) for name in order]
                skipped = [finding(Outcome.EXCLUDED, reason=f"r{name}", user=f"u{name}") for name in order]
                holder.commit(*found, *skipped, finding(user=f"u{n}"))

        return drain

    assert together(*(work(lane) for lane in range(4))) == []
    ledger = open_ledger()
    assert read(ledger, "done") == 4 * COMMITS * 7
    assert +read(ledger, "sums")["memory.recent"].outcomes == Counter(
        diverged=4 * COMMITS * 3, excluded=4 * COMMITS * 3, match=4 * COMMITS
    )
    assert {group.path: (group.count, group.users) for group in read(ledger, "groups")} == {
        f"$.{name}": (4 * COMMITS, 1) for name in names
    }
    assert {row[2]: row[3] for row in read(ledger, "reasons")} == {f"r{name}": 4 * COMMITS for name in names}
    assert read(ledger, "distinct_users", 1) == 3 + COMMITS


def test_of_two_holders_of_one_position_one_commits(open_ledger, read, hold, finding):
    """The same commit from two sides at once: one goes in, the other is fenced."""
    ledgers = [open_ledger(), open_ledger()]
    holder = hold(ledgers[0])
    for _ in range(COMMITS):
        commit = holder.next(finding(), finding())
        raised = together(*(partial(ledger.commit, commit) for ledger in ledgers))
        assert [type(error) for error in raised] == [FencedError]
        holder.position = commit.after
    assert read(ledgers[0], "done") == 2 * COMMITS
    assert read(ledgers[1], "positions") == {0: holder.position}


def test_workers_that_take_a_lane_from_each_other_count_each_commit_once(open_ledger, read, hold, finding):
    """Whoever is overtaken between taking and committing counts nothing; the lane's sums are those that went in."""
    went_in: list[int] = []

    def work():
        ledger = open_ledger()

        def snatch() -> None:
            for _ in range(COMMITS):
                holder = hold(ledger)
                try:
                    holder.commit(finding(), finding(), finding())
                    went_in.append(3)
                except FencedError:
                    pass

        return snatch

    assert together(*(work() for _ in range(4))) == []
    ledger = open_ledger()
    assert went_in
    assert read(ledger, "done") == sum(went_in) == read(ledger, "sums")["memory.recent"].outcomes["match"]


PROCESS = """
import sys
from ledger import FencedError, Finding, LaneCommit, Ledger, Outcome, Position
url, name, commits = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger, went_in = Ledger(url), 0
print("ready", flush=True)
sys.stdin.readline()
for n in range(commits):
    for lane in (0, 1):
        fence, before, *_ = ledger.take(lane)
        after = Position((before.read[0] + 1, 0), (before.cut[0] + 1, ""))
        found = tuple(
            Finding(capture_id=f"{name}-{lane}-{n}-{i}", operation="o", epoch=1, user=f"u{i}", called_at_us=1,
                    outcome=Outcome.FAILED if i else Outcome.MATCH)
            for i in range(3)
        )
        try:
            ledger.commit(LaneCommit(lane=lane, fence=fence, before=before, after=after, findings=found))
            went_in += len(found)
        except FencedError:
            pass
print(went_in)
"""


@pytest.mark.slow
def test_processes_on_one_ledger_add_up(url, open_ledger, read, dump):
    """Not only threads: worker processes share nothing but the database."""
    commands = [[sys.executable, "-c", PROCESS, url, name, str(COMMITS)] for name in ("a", "b")]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for command in commands]
    try:
        assert [worker.stdout.readline() for worker in workers] == ["ready\n", "ready\n"]
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        said = [worker.communicate(timeout=60) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [complaint for _, complaint in said] == ["", ""]
    went_in = sum(int(counted) for counted, _ in said)
    ledger = open_ledger()
    assert read(ledger, "done") == read(ledger, "sums")["o"].outcomes.total() == went_in > 0
    assert len(dump()["divergences"]) == went_in // 3 * 2
