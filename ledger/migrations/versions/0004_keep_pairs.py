"""Keep pairs: reads that workers made of both systems, how fast each was, and what differs of itself.

Revision 0004, after 0003.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PAIRS = (
    *("wins", "losses", "ties", "failed", "log_sum", "log_squares", "repeated", "noisy", "compared", "differing"),
    *("capped", "behind", "superseded", "legacy_failed", "given_up"),
)


def upgrade() -> None:
    for table in ("tallies", "minutes"):
        op.add_column(table, sa.Column("diverged_critical", sa.BigInteger(), server_default="0", nullable=False))
        # how grave they were was not counted: nothing critical may hide among them
        counted = sa.table(table, sa.column("diverged"), sa.column("diverged_critical"))
        op.execute(counted.update().values(diverged_critical=counted.c.diverged))
    op.create_table(
        "pairs",
        *_key(),
        sa.Column("cluster", sa.BigInteger(), autoincrement=False, nullable=False),
        *(_counter(name) for name in _PAIRS),
        sa.PrimaryKeyConstraint("operation", "epoch", "exposure", "cluster", name="pk_pairs"),
    )
    op.create_table(
        "latencies",
        *_key(),
        sa.Column("measure", sa.String(length=20), nullable=False),
        sa.Column("bin", sa.BigInteger(), autoincrement=False, nullable=False),
        _counter("count"),
        sa.PrimaryKeyConstraint("operation", "epoch", "exposure", "measure", "bin", name="pk_latencies"),
    )
    op.create_table(
        "noise",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("path", sa.String(length=500), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        _counter("repeated"),
        _counter("compared"),
        sa.PrimaryKeyConstraint("epoch", "group_id", name="pk_noise"),
    )


def downgrade() -> None:
    for table in ("noise", "latencies", "pairs"):
        op.drop_table(table)
    for table in ("minutes", "tallies"):
        op.drop_column(table, "diverged_critical")


def _key() -> list[sa.Column[Any]]:
    return [
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("exposure", sa.String(length=10), nullable=False),
    ]


def _counter(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)
