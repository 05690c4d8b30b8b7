"""Keep the rollout: which policy an epoch is under, what was decided of it and by whom, reviews and complaints.

Revision 0008, after 0007. Users seen before have no bucket: nobody can tell whether they were inside.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NOW = sa.text("CURRENT_TIMESTAMP")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_COUNTING = ("tallies", "minutes")
_EPOCH_COLUMNS = {"policy": 64, "opened_by": 200, "why": 500}


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), server_default="", nullable=False)


def _moment(name: str, *, optional: bool = False) -> sa.Column[object]:
    if optional:
        return sa.Column(name, sa.DateTime(timezone=True), nullable=True)
    return sa.Column(name, sa.DateTime(timezone=True), server_default=_NOW, nullable=False)


def upgrade() -> None:
    for name, length in _EPOCH_COLUMNS.items():
        op.add_column("epochs", _text(name, length))
    op.add_column("epochs", sa.Column("flags", sa.BigInteger(), server_default="-1", nullable=False))
    op.add_column("epoch_users", sa.Column("bucket", sa.BigInteger(), nullable=True))
    op.create_index("ix_minutes_epoch", "minutes", ["epoch", "minute"])  # hours that saw calls, and the one under way
    op.create_index("ix_epoch_users_epoch", "epoch_users", ["epoch", "bucket"])
    for table in _COUNTING:
        op.add_column(table, sa.Column("excluded_superseded", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("funnel", sa.Column("missed_served", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "rollout",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        _text("state", 20),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("clean", sa.BigInteger(), nullable=True),
        sa.Column("rolled_back", sa.Boolean(), server_default=sa.false(), nullable=False),
        _text("taken_back", 500),
        sa.Column("barred", sa.String(length=200), nullable=True),
        _text("switched_off", 200),
        _text("summary", 1_000),
        _moment("evaluated_at", optional=True),
        _moment("complaints_read_at", optional=True),
        sa.PrimaryKeyConstraint("id", name="pk_rollout"),
    )
    op.create_table(
        "pauses",
        sa.Column("id", _ID, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        _moment("paused_at"),
        _text("paused_by", 200),
        _text("why", 500),
        _moment("resumed_at", optional=True),
        _text("resumed_by", 200),
        sa.PrimaryKeyConstraint("id", name="pk_pauses"),
    )
    op.create_table(
        "evaluations",
        sa.Column("id", _ID, nullable=False),
        _moment("at"),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("share", sa.BigInteger(), nullable=False),
        _text("state", 20),
        _text("digest", 64),
        _text("summary", 1_000),
        sa.PrimaryKeyConstraint("id", name="pk_evaluations"),
    )
    op.create_index("ix_evaluations_at", "evaluations", ["at"])
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_table(
        "audit_head",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
    )
    op.create_table(
        "reviews",
        sa.Column("id", _ID, nullable=False),
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.Column("decision", sa.String(length=10), nullable=False),
        _text("by", 200),
        _text("why", 500),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        _moment("at"),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_reviews_group_id_groups"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
    )
    op.create_index("ix_reviews_group_id", "reviews", ["group_id"])
    op.create_table(
        "approvals",
        sa.Column("id", _ID, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("evidence", sa.String(length=64), nullable=False),
        sa.Column("review", sa.String(length=64), nullable=False),
        _text("by", 200),
        _text("why", 500),
        _moment("at"),
        sa.PrimaryKeyConstraint("id", name="pk_approvals"),
    )
    op.create_table(
        "complaints",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("user_digest", sa.String(length=16), nullable=False),
        _text("text", 2_000),
        _text("conversation", 200),
        _moment("at"),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("share", sa.BigInteger(), nullable=False),
        _text("filed_by", 200),
        sa.Column("state", sa.String(length=10), server_default="open", nullable=False),
        _text("decided_by", 200),
        _text("why", 500),
        _moment("decided_at", optional=True),
        sa.PrimaryKeyConstraint("id", name="pk_complaints"),
    )
    op.create_index("ix_complaints_state", "complaints", ["state"])


def downgrade() -> None:
    for table in ("complaints", "approvals", "reviews", "audit_head", "audit", "evaluations", "pauses", "rollout"):
        op.drop_table(table)
    op.drop_column("funnel", "missed_served")
    for table in reversed(_COUNTING):
        op.drop_column(table, "excluded_superseded")
    op.drop_index("ix_epoch_users_epoch", "epoch_users")
    op.drop_index("ix_minutes_epoch", "minutes")
    op.drop_column("epoch_users", "bucket")
    for name in ("flags", *reversed(_EPOCH_COLUMNS)):
        op.drop_column("epochs", name)
