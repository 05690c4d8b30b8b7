"""The tables: made and unmade by migrations that agree with the models, and refused where they are not ours."""

import threading

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from ledger import Ledger, LedgerSchemaError
from ledger.base import Base
from ledger.partitions import is_partition
from ledger.schema import config


@pytest.fixture
def url(empty_url) -> str:
    """Begin without tables: they are what is tested."""
    return empty_url


@pytest.fixture
def ledger(open_ledger) -> Ledger:
    """Give a ledger migrated just now."""
    made = open_ledger()
    made.migrate()
    return made


def names(engine) -> set[str]:
    return {name for name in sa.inspect(engine).get_table_names() if not is_partition(name)}


def test_migrations_make_the_tables_and_take_them_away_again(ledger, dump):
    """Up, down to nothing, up again: the same ledger, usable."""
    made = names(ledger._engine)
    assert made == {*Base.metadata.tables, "alembic_version"}
    with ledger._engine.begin() as connection:
        command.downgrade(config(connection), "base")
    assert names(ledger._engine) == {"alembic_version"}
    ledger.migrate()
    ledger.check()
    assert names(ledger._engine) == made
    assert [row["epoch"] for row in dump()["epochs"]] == [1]


def test_the_models_are_what_the_migrations_make(ledger):
    """Nothing is left to migrate: tables, columns, types, indexes, keys."""
    with ledger._engine.connect() as connection:
        opts = {"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or not is_partition(name)}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_twice_changes_nothing(ledger, dump):
    """A second migration, by another process say, finds everything there."""
    before = dump()
    ledger.migrate()
    assert dump() == before


def test_several_hosts_may_migrate_at_once(open_ledger):
    """Every one of them succeeds, and the ledger is there once."""
    ledgers = [open_ledger() for _ in range(4)]
    together, problems = threading.Barrier(4), []

    def migrate(ledger: Ledger) -> None:
        together.wait(10)
        try:
            ledger.migrate()
        except Exception as error:
            problems.append(repr(error))

    threads = [threading.Thread(target=migrate, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    for ledger in ledgers:
        ledger.check()


def test_a_ledger_without_tables_is_refused_by_name(open_ledger):
    """The message says what to do."""
    with pytest.raises(LedgerSchemaError, match=r"no tables yet.*gnomon migrate"):
        open_ledger().check()


def test_a_ledger_of_another_version_is_refused(ledger):
    """The message names both revisions."""
    with ledger._engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(LedgerSchemaError, match=r"revision 0000.*works with 0"):
        ledger.check()


def test_a_ledger_of_another_namespace_is_refused(ledger, open_ledger, dump):
    """Neither checked nor migrated, and its owner does not notice."""
    before = dump()
    other = open_ledger(namespace="homes")
    with pytest.raises(LedgerSchemaError, match="belongs to namespace 'default', not 'homes'"):
        other.check()
    with pytest.raises(LedgerSchemaError, match="'homes'"):
        other.migrate()
    ledger.check()
    assert dump() == before


def test_a_lane_that_was_never_taken_starts_at_nothing(ledger):
    """The first holder gets fence 1 and the position before everything; each further one a higher fence."""
    assert [ledger.take(7)[:3] for _ in range(3)] == [(fence, ((0, 0), (0, "")), 0) for fence in (1, 2, 3)]
