"""Partition what grows with time by day (PostgreSQL), so that retention drops tables instead of deleting rows.

Revision 0005, after 0004.

What is there already becomes one partition, up to the end of the day of the migration: nothing is copied. Workers of
the version before go on writing: the column that they do not know has a default.
"""

from datetime import date

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MEMBER_OF = "fk_group_members_capture_id_divergences"
#: table → what it is partitioned by, its key before, its key from now on
_TABLES = {
    "divergences": ("called_at", ("capture_id",), ("capture_id", "called_at")),
    "group_members": ("called_at", ("group_id", "capture_id"), ("group_id", "called_at", "capture_id")),
    "minutes": ("minute", ("operation", "epoch", "exposure", "minute"), ("operation", "epoch", "exposure", "minute")),
}
#: the indexes that each has: name → columns
_INDEXES: dict[str, dict[str, tuple[str, ...]]] = {
    "divergences": {
        "ix_divergences_epoch": ("epoch", "operation"),
        "ix_divergences_user_digest": ("user_digest",),
        "ix_divergences_called_at": ("called_at",),
    },
    "group_members": {"ix_group_members_capture_id": ("capture_id",)},
    "minutes": {},
}
_EPOCH = 719_163  # the ordinal of 1970-01-01
_CALLED_AT = """
UPDATE group_members SET called_at = d.called_at FROM divergences d WHERE d.capture_id = group_members.capture_id
"""
_ORPHANS = """
DELETE FROM group_members m WHERE NOT EXISTS (SELECT FROM divergences d WHERE d.capture_id = m.capture_id)
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _upgrade_postgres()
    else:
        _rebuild_members(called_at=True)
        _rebuild_divergences(_TABLES["divergences"][2])
        op.create_index("ix_divergences_called_at", "divergences", ["called_at"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _downgrade_postgres()
    else:
        op.drop_index("ix_divergences_called_at", table_name="divergences")
        _rebuild_divergences(_TABLES["divergences"][1])
        _rebuild_members(called_at=False)


# --- PostgreSQL


def _upgrade_postgres() -> None:
    op.drop_constraint(_MEMBER_OF, "group_members")
    op.add_column(
        "group_members",
        sa.Column("called_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.execute(_CALLED_AT)
    op.create_index("ix_divergences_called_at", "divergences", ["called_at"])
    tomorrow = op.get_bind().scalar(sa.text("SELECT date_trunc('day', now() AT TIME ZONE 'UTC')::date + 1"))
    for table in _TABLES:
        _partition(table, tomorrow)


def _partition(table: str, tomorrow: date) -> None:
    column, _, key = _TABLES[table]
    before, bound = f"{table}_before_{tomorrow:%Y%m%d}", _bound(column, tomorrow)
    op.drop_constraint(f"pk_{table}", table)
    op.rename_table(table, before)
    for name in _INDEXES[table]:
        op.execute(f"ALTER INDEX {name} RENAME TO {name.replace(table, before)}")
    op.execute(f"CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS) PARTITION BY RANGE ({column})")
    op.create_primary_key(f"pk_{table}", table, list(key))
    for name, columns in _INDEXES[table].items():
        op.create_index(name, table, list(columns))
    if table == "group_members":
        op.create_foreign_key("fk_group_members_group_id_groups", table, "groups", ["group_id"], ["id"])
    op.execute(f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT")
    # of a clock that is ahead
    op.execute(
        f"WITH moved AS (DELETE FROM {before} WHERE {column} >= {bound} RETURNING *) "
        f"INSERT INTO {table} SELECT * FROM moved"
    )
    if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT FROM {before})")):
        op.execute(f"ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ({bound})")
    else:
        op.drop_table(before)


def _bound(column: str, day: date) -> str:
    if column == "minute":
        return f"{(day.toordinal() - _EPOCH) * 1_440}"
    return f"timestamptz '{day:%Y-%m-%d} 00:00:00+00'"


def _downgrade_postgres() -> None:
    for table in _TABLES:
        _gather(table)
    # a member whose divergence is gone by retention
    op.execute(
        "DELETE FROM group_members m WHERE NOT EXISTS (SELECT FROM divergences d WHERE d.capture_id = m.capture_id)"
    )
    op.drop_column("group_members", "called_at")
    op.create_foreign_key(_MEMBER_OF, "group_members", "divergences", ["capture_id"], ["capture_id"])
    op.drop_index("ix_divergences_called_at", "divergences")


def _gather(table: str) -> None:
    """Make one table of the partitions."""
    _, key, _ = _TABLES[table]
    op.execute(f"CREATE TABLE {table}_whole (LIKE {table} INCLUDING DEFAULTS)")
    columns = ", ".join(key)
    op.execute(f"INSERT INTO {table}_whole SELECT DISTINCT ON ({columns}) * FROM {table} ORDER BY {columns}")
    op.drop_table(table)
    op.rename_table(f"{table}_whole", table)
    op.create_primary_key(f"pk_{table}", table, list(key))
    for name, indexed in _INDEXES[table].items():
        op.create_index(name, table, list(indexed))
    if table == "group_members":
        op.create_foreign_key("fk_group_members_group_id_groups", table, "groups", ["group_id"], ["id"])


# --- SQLite: one table each, with the same keys


def _rebuild_divergences(key: tuple[str, ...]) -> None:
    found = sa.Table("divergences", sa.MetaData(), autoload_with=op.get_bind())
    for name in ("ix_divergences_epoch", "ix_divergences_user_digest"):
        op.drop_index(name, table_name="divergences")
    columns = [sa.Column(column.name, column.type, nullable=column.nullable) for column in found.columns]
    op.create_table("divergences_new", *columns, sa.PrimaryKeyConstraint(*key, name="pk_divergences"))
    op.execute("INSERT INTO divergences_new SELECT * FROM divergences")
    op.drop_table("divergences")
    op.rename_table("divergences_new", "divergences")
    op.create_index("ix_divergences_epoch", "divergences", ["epoch", "operation"])
    op.create_index("ix_divergences_user_digest", "divergences", ["user_digest"])


def _rebuild_members(*, called_at: bool) -> None:
    op.drop_index("ix_group_members_capture_id", table_name="group_members")
    added = sa.Column("called_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)
    divergence = sa.ForeignKeyConstraint(["capture_id"], ["divergences.capture_id"], name=_MEMBER_OF)
    op.create_table(
        "group_members_new",
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.Column("capture_id", sa.String(length=64), nullable=False),
        added if called_at else divergence,
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_group_members_group_id_groups"),
        sa.PrimaryKeyConstraint(*_TABLES["group_members"][2 if called_at else 1], name="pk_group_members"),
    )
    names = "group_id, capture_id" + (", called_at" if called_at else "")
    op.execute(
        f"INSERT INTO group_members_new ({names}) "
        f"SELECT {names.replace('capture_id', 'm.capture_id')} FROM group_members m "
        "JOIN divergences d ON d.capture_id = m.capture_id"
    )
    op.drop_table("group_members")
    op.rename_table("group_members_new", "group_members")
    op.create_index("ix_group_members_capture_id", "group_members", ["capture_id"])
