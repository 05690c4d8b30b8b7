"""Keep every call accounted for: what each process sent, what was lost, how calls failed, what people decided.

Revision 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FAILED = ("failed_error", "failed_timeout", "failed_refused", "failed_garbage", "failed_oversize")
_PARKED = (
    ("epoch", sa.BigInteger(), "0"),
    ("exposure", sa.String(length=10), "shadow"),
    ("cluster", sa.BigInteger(), "0"),
    ("minute", sa.BigInteger(), "0"),
    ("state", sa.String(length=10), "parked"),
    ("retries", sa.BigInteger(), "0"),
    ("decided_by", sa.String(length=200), ""),
    ("why", sa.String(length=500), ""),
)


def upgrade() -> None:
    _count("lanes", "retrying")
    for table in ("tallies", "minutes"):
        _count(table, *_FAILED)
    _count("funnel", "done", "lost")
    _create_senders()
    _create_losses()
    for name, kind, default in _PARKED:
        op.add_column("parked", sa.Column(name, kind, server_default=default, nullable=False))
    op.add_column("parked", sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_parked_state", "parked", ["state", "lane"])


def downgrade() -> None:
    op.drop_index("ix_parked_state", table_name="parked")
    for name in ("decided_at", *(name for name, _, _ in _PARKED)):
        op.drop_column("parked", name)
    op.drop_table("losses")
    op.drop_table("senders")
    for table, names in (("funnel", ("done", "lost")), ("minutes", _FAILED), ("tallies", _FAILED)):
        for name in names:
            op.drop_column(table, name)
    op.drop_column("lanes", "retrying")


def _count(table: str, *names: str) -> None:
    for name in names:
        op.add_column(table, sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))


def _create_senders() -> None:
    op.create_table(
        "senders",
        sa.Column("lane", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("producer", sa.String(length=64), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("read", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.JSON(), nullable=False),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "producer", name="pk_senders"),
    )


def _create_losses() -> None:
    op.create_table(
        "losses",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lane", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("captures", sa.BigInteger(), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_losses"),
    )
