"""Retention: days end whole, what never ends stays, nothing that is committed finds no place; on both databases."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic import command

from comparators import Difference, Kind, Severity
from ledger import KeptDifference, Ledger, Outcome, Sample, partitions, retention
from ledger.schema import config

DAY = timedelta(days=1)
GROWING = ("divergences", "group_members", "minutes")
DIFFERENCES = (KeptDifference.of("memory.recent", Difference("$.content", Kind.CHANGED, Severity.MAJOR, 1, 2)),)


@pytest.fixture
def url(empty_url) -> str:
    """Begin without tables: partitions are made by what is tested."""
    return empty_url


@pytest.fixture
def ledger(open_ledger) -> Ledger:
    """Give a ledger migrated just now."""
    made = open_ledger()
    made.migrate()
    return made


@pytest.fixture
def fill(hold, finding):
    """Commit a divergence of each of some days ago, and a match beside it."""

    def filled(ledger: Ledger, *days_ago: float) -> None:
        holder = hold(ledger)
        for days in days_ago:
            at = int((datetime.now(UTC) - days * DAY).timestamp() * 1e6)
            found = finding(Outcome.DIVERGED, differences=DIFFERENCES, called_at_us=at)
            holder.commit(found, finding(called_at_us=at))

    return filled


def ages(dump) -> dict[str, list[int]]:
    """How many days old the rows are of what grows, table by table."""
    tables, now = dump(), datetime.now(UTC).replace(tzinfo=None)
    instants = {
        "divergences": [row["called_at"].replace(tzinfo=None) for row in tables["divergences"]],
        "group_members": [row["called_at"].replace(tzinfo=None) for row in tables["group_members"]],
        "minutes": [datetime(1970, 1, 1) + timedelta(minutes=row["minute"]) for row in tables["minutes"]],  # noqa: DTZ001
    }
    return {name: sorted((now - at + timedelta(minutes=2)).days for at in found) for name, found in instants.items()}


def all_of(days: list[int]) -> dict[str, list[int]]:
    return dict.fromkeys(GROWING, days)


def names(ledger: Ledger) -> set[str]:
    if ledger._engine.dialect.name != "postgresql":
        return set()
    with ledger._engine.connect() as connection:
        return {each.name for table in GROWING for each in partitions.existing(connection, table)}


def endless(ledger: Ledger, read, dump) -> list:
    """What never ends: sums, tallies, groups and their users."""
    tables = dump()
    asked = [read(ledger, name) for name in ("sums", "groups", "done")]
    return [*asked, *(tables[name] for name in ("tallies", "reasons", "group_users", "epoch_users"))]


def on_postgres(ledger: Ledger) -> bool:
    return ledger._engine.dialect.name == "postgresql"


def test_what_grows_ends_with_its_day_and_the_sums_do_not(ledger, fill, read, dump):
    """Kept are so many days and today; tallies, groups, users and sums stay as they were."""
    fill(ledger, 0, 1, 9, 11, 40)
    before = endless(ledger, read, dump)
    assert ages(dump) == all_of([0, 1, 9, 11, 40])
    assert ledger.retain(10).deleted > 0
    assert ages(dump) == all_of([0, 1, 9])
    assert endless(ledger, read, dump) == before
    again = ledger.retain(10)
    assert (again.made, again.dropped, again.deleted) == (0, 0, 0)


def test_deleting_one_by_one_goes_in_small_steps_and_ends_some_time(ledger, fill, dump, monkeypatch):
    """No transaction takes more than a chunk, no look more than some; the next one goes on."""
    monkeypatch.setattr(retention, "CHUNK", 2)
    monkeypatch.setattr(retention, "MOST_CHUNKS", 2)
    fill(ledger, 0, *(20 + number for number in range(9)))
    seen = []
    for _ in range(4):
        ledger.retain(10)
        seen.append({name: len(found) for name, found in ages(dump).items()})
    assert [each["divergences"] for each in seen] == [6, 2, 1, 1]
    assert seen[-1] == dict.fromkeys(GROWING, 1)


def test_a_ledger_of_the_version_before_keeps_its_rows(open_ledger, fill, read, dump):
    """Up with rows, down with rows, and up again: nothing is lost, counted anew, or left without its group."""
    ledger = open_ledger()
    ledger.migrate()
    fill(ledger, 0, 3, 40)
    groups = [replace(group, first_epoch=0, last_epoch=0) for group in read(ledger, "groups")]  # a newer version's
    for _ in range(2):
        with ledger._engine.begin() as connection:
            command.downgrade(config(connection), "0004")
        old = dump()
        assert [len(old[name]) for name in GROWING] == [3, 3, 3]
        assert {row["capture_id"] for row in old["group_members"]} == {row["capture_id"] for row in old["divergences"]}
        assert not any(map(partitions.is_partition, old))
        ledger.migrate()
        assert ages(dump) == all_of([0, 3, 40])
    assert read(ledger, "groups") == groups
    fill(ledger, 0, 0.5)
    ledger.retain(10)
    assert len(dump()["divergences"]) == 4
    assert [row["called_at"] for row in sorted(dump()["divergences"], key=lambda row: row["capture_id"])] == [
        row["called_at"] for row in sorted(dump()["group_members"], key=lambda row: row["capture_id"])
    ]


def test_samples_end_with_their_day(ledger, hold, finding, read):
    """They hold what users said, if masked."""
    holder = hold(ledger)
    for slot, days in enumerate((0, 9, 11)):
        at = int((datetime.now(UTC) - days * DAY).timestamp() * 1e6)
        sample = Sample(slot=slot, args={}, legacy=1, enhanced=2)
        holder.commit(finding(Outcome.DIVERGED, differences=DIFFERENCES, called_at_us=at, sample=sample))
    ledger.retain(10)
    [group] = read(ledger, "groups")
    assert len(read(ledger, "samples", group.id)) == 2


def test_a_day_that_is_over_is_dropped_as_a_whole(ledger, fill, dump):
    """Each is made ahead and dropped when all of it is too old, and so is what an older version left."""
    if not on_postgres(ledger):
        pytest.skip("SQLite has no partitions")
    fill(ledger, 0)
    with ledger._engine.begin() as connection:
        command.downgrade(config(connection), "0004")
    ledger.migrate()
    tomorrow = datetime.now(UTC).date() + DAY
    before = {f"{table}_before_{tomorrow:%Y%m%d}" for table in GROWING}
    assert before <= names(ledger)
    assert all(f"{table}_{tomorrow:%Y%m%d}" in names(ledger) for table in GROWING)
    kept = {each.name for each in map(partitions.Partition.named, names(ledger)) if not each.is_over(tomorrow)}
    assert names(ledger) - kept == before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "today", lambda _: tomorrow + 10 * DAY)
        done = ledger.retain(10)
    assert done.dropped == len(before)
    assert before.isdisjoint(names(ledger))
    assert ages(dump) == all_of([])


def test_a_commit_finds_a_place_where_no_day_was_made(ledger, fill, dump):
    """Nobody looked after partitions for long, or a clock was ahead: rows wait in the rest, and move to their day."""
    if not on_postgres(ledger):
        pytest.skip("SQLite has no partitions")
    fill(ledger, -20, -20.01, 100)
    with ledger._engine.connect() as connection:
        count = sa.text("SELECT count(*) FROM divergences_rest")
        assert connection.scalar(count) == 3
        connection.rollback()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(partitions, "today", lambda _: (datetime.now(UTC) + 15 * DAY).date())
            done = ledger.retain(200)
        assert done.made == 8 * len(GROWING)
        assert connection.scalar(count) == 1
    assert len(dump()["divergences"]) == 3


def test_commits_go_on_while_partitions_come_and_go(ledger, fill, hold, finding, read, dump):
    """A partition whose lock is not to be had is made the next time: no commit waits behind it for long."""
    if not on_postgres(ledger):
        pytest.skip("SQLite has no partitions")
    with ledger._engine.begin() as connection:
        for partition in [each for table in GROWING for each in partitions.existing(connection, table)]:
            if partition.day:
                partitions.drop(connection, partition)
    fill(ledger, 0)
    with ledger._engine.begin() as committing, pytest.MonkeyPatch.context() as patch:
        committing.execute(sa.text("UPDATE divergences SET reason = 'busy'"))
        patch.setattr(partitions, "LOCK_MS", 50)
        blocked = ledger.retain(10)  # the rest is in use: tried again the next time
    assert blocked.made == 8 * len(GROWING) - 8
    assert ledger.retain(10).made == 8
    assert ages(dump) == all_of([0])


def test_names_of_partitions_say_what_they_hold():
    """And no other table's name is taken for one."""
    day = date(2026, 11, 29)
    named = partitions.Partition.named
    assert named("minutes_20261129") == partitions.Partition("minutes_20261129", "minutes", day)
    assert named("divergences_rest") == partitions.Partition("divergences_rest", "divergences", None)
    assert [named(name) for name in ("tallies_20261129", "minutes", "group_users", "minutes_rest_1")] == [None] * 4
    over = {name: named(name).is_over(day) for name in ("minutes_20261128", "minutes_20261129", "minutes_rest")}
    assert over == {"minutes_20261128": True, "minutes_20261129": False, "minutes_rest": False}
    assert [named(f"minutes_before_202611{d}").is_over(day) for d in (29, 30)] == [True, False]
