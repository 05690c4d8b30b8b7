"""Pairs in a ledger: added up with their lane's commit, once, and read as sums; on both databases."""

from collections import Counter
from dataclasses import replace

import pytest
import sqlalchemy as sa
from alembic import command

from comparators import Difference, Kind, Severity
from ledger import Comparison, FencedError, Field, Ledger, Measure, Noise, PairedRuns, PairSums, Unpaired
from ledger.schema import config, migrate

SCORE = Field.of("memory.recent", Difference("$[0].score", Kind.CHANGED, Severity.MINOR))
GRAVER = Field.of("memory.recent", Difference("$[1].score", Kind.CHANGED, Severity.MAJOR))
TEXT = Field.of("memory.recent", Difference("$[0].content", Kind.CHANGED, Severity.MAJOR))


def pair(**more) -> PairedRuns:
    facts = {"capture_id": "p-1", "operation": "memory.recent", "epoch": 1, "exposure": "shadow", "user": "ann"}
    runs = {"first_ns": 3_000_000, "legacy_ns": 2_000_000, "enhanced_ns": 1_000_000, "wait_us": 400_000}
    return PairedRuns(**{**facts, **runs, **more})


MADE = (
    pair(
        repeated=Comparison(diverged=True, fields=(SCORE,)), compared=Comparison(diverged=True, fields=(GRAVER, TEXT))
    ),
    pair(user="bob", enhanced_ns=5_000_000, repeated=Comparison(diverged=False), compared=Comparison(diverged=False)),
    pair(user="bob", failed=True, enhanced_ns=0),
    pair(unpaired=Unpaired.CAPPED),
    pair(operation="note.list", exposure="served"),
    pair(epoch=2),
)


def committed(holder, *pairs: PairedRuns) -> None:
    commit = replace(holder.next(), pairs=pairs)
    holder.ledger.commit(commit)
    holder.position = commit.after


@pytest.mark.parametrize("batches", [[6], [1, 2, 3], [1] * 6])
def test_pairs_add_up_however_they_are_committed(ledger, hold, read, batches):
    """All at once or one by one, by one lane or by several."""
    left = list(MADE)
    for lane, size in enumerate(batches):
        committed(hold(ledger, lane), *(left.pop() for _ in range(size)))
    found = read(ledger, "pairs", 1)
    assert set(found) == {"memory.recent", "note.list"}
    recent = found["memory.recent"]
    assert (recent.pairs, recent.unpaired["capped"], sum(recent.unpaired.values())) == (3, 1, 1)
    assert recent.counts == recent.counts | Counter(
        wins=1, losses=2, failed=1, repeated=2, noisy=1, compared=2, differing=1
    )
    assert sorted(recent.clusters.values()) == [(0, 2), (1, 0)]
    assert recent.histograms[Measure.RATIO].total() == recent.histograms[Measure.LEGACY].total() == 3
    assert recent.histograms[Measure.ENHANCED].total() == 2
    facts = {"operation": "memory.recent", "kind": str(Kind.CHANGED)}
    assert sorted(recent.noise, key=lambda field: field.path) == [
        Noise(**facts, path="$[*].content", severity="major", repeated=0, compared=1),
        Noise(**facts, path="$[*].score", severity="major", repeated=1, compared=1),
    ]
    assert read(ledger, "pairs")["memory.recent"].pairs == 4


def test_a_commit_that_was_overtaken_adds_nothing(ledger, hold, read):
    """Neither one that is repeated, nor one of a holder whose lane another took."""
    first = hold(ledger)
    commit = replace(first.next(), pairs=MADE)
    ledger.commit(commit)
    with pytest.raises(FencedError):
        ledger.commit(commit)
    first.position = commit.after
    hold(ledger)
    with pytest.raises(FencedError):
        committed(first, *MADE)
    assert read(ledger, "pairs", 1)["memory.recent"].pairs == 3


def test_without_pairs_there_is_nothing_to_read(ledger, hold, read):
    """And nothing is written."""
    committed(hold(ledger))
    assert (read(ledger, "pairs"), PairSums().pairs) == ({}, 0)


def test_names_that_no_database_takes_are_taken(ledger, hold, read):
    """An operation's name and a path come from outside."""
    odd = Field.of("odd", Difference("$['" + "\0\ud800x" * 400 + "']", Kind.CHANGED, Severity.MINOR))
    committed(hold(ledger), pair(operation="o" * 300 + "\0", compared=Comparison(diverged=True, fields=(odd,))))
    (found,) = read(ledger, "pairs").values()
    assert (found.pairs, len(found.noise)) == (1, 1)


def test_divergences_counted_before_are_taken_for_the_worst(empty_url):
    """How grave they were was not counted: nothing critical may hide among them."""
    ledger = Ledger(empty_url)
    migrate(ledger._engine, "default", revision="0003")
    with ledger._engine.begin() as connection:
        tallies = sa.Table("tallies", sa.MetaData(), autoload_with=connection)
        row = {column.name: 0 for column in tallies.columns}
        named = {"operation": "memory.recent", "epoch": 1, "exposure": "shadow", "cluster": 3, "diverged": 7}
        connection.execute(tallies.insert().values({**row, **named}))
    ledger.migrate()
    with ledger.reading() as reading:
        assert reading.sums()["memory.recent"].diverged_critical == 7
    with ledger._engine.begin() as connection:
        command.downgrade(config(connection), "0003")
        assert "diverged_critical" not in {column["name"] for column in sa.inspect(connection).get_columns("tallies")}
    ledger.close()
