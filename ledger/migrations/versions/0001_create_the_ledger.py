"""Create the ledger.

Revision 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "about",
        sa.Column("namespace", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", name="pk_about"),
    )
    op.create_table(
        "divergences",
        sa.Column("capture_id", sa.String(length=64), nullable=False),
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("exposure", sa.String(length=10), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=100), nullable=False),
        sa.Column("user_digest", sa.String(length=16), nullable=False),
        sa.Column("called_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("differences", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("capture_id", name="pk_divergences"),
    )
    op.create_index("ix_divergences_epoch", "divergences", ["epoch", "operation"], unique=False)
    op.create_index("ix_divergences_user_digest", "divergences", ["user_digest"], unique=False)
    op.create_table(
        "epoch_users",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_digest", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("epoch", "user_digest", name="pk_epoch_users"),
    )
    op.create_table(
        "epochs",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("share", sa.BigInteger(), nullable=False),
        sa.Column("build", sa.String(length=200), nullable=False),
        sa.Column("rules_version", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("epoch", name="pk_epochs"),
    )
    op.create_table(
        "funnel",
        sa.Column("lane", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("eligible", sa.BigInteger(), nullable=False),
        sa.Column("not_sampled", sa.BigInteger(), nullable=False),
        sa.Column("unserialisable", sa.BigInteger(), nullable=False),
        sa.Column("oversize", sa.BigInteger(), nullable=False),
        sa.Column("shed", sa.BigInteger(), nullable=False),
        sa.Column("publish_failed", sa.BigInteger(), nullable=False),
        sa.Column("captured", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "operation", "epoch", name="pk_funnel"),
    )
    op.create_table(
        "groups",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("path", sa.String(length=500), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("explanation", sa.String(length=500), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("example", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_groups"),
    )
    op.create_table(
        "lanes",
        sa.Column("lane", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("read_ms", sa.BigInteger(), nullable=False),
        sa.Column("read_seq", sa.BigInteger(), nullable=False),
        sa.Column("cut_us", sa.BigInteger(), nullable=False),
        sa.Column("cut_id", sa.String(length=64), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("lane", name="pk_lanes"),
    )
    op.create_table(
        "minutes",
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("exposure", sa.String(length=10), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("match", sa.BigInteger(), nullable=False),
        sa.Column("ignored", sa.BigInteger(), nullable=False),
        sa.Column("diverged", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("inconclusive", sa.BigInteger(), nullable=False),
        sa.Column("excluded", sa.BigInteger(), nullable=False),
        sa.Column("excluded_returned", sa.BigInteger(), nullable=False),
        sa.Column("parked", sa.BigInteger(), nullable=False),
        sa.Column("expired", sa.BigInteger(), nullable=False),
        sa.Column("discarded", sa.BigInteger(), nullable=False),
        sa.Column("erased", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("operation", "epoch", "exposure", "minute", name="pk_minutes"),
    )
    op.create_table(
        "parked",
        sa.Column("capture_id", sa.String(length=64), nullable=False),
        sa.Column("lane", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=100), nullable=False),
        sa.Column("user_digest", sa.String(length=16), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("parked_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("capture_id", name="pk_parked"),
    )
    op.create_table(
        "reasons",
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=100), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("operation", "epoch", "outcome", "reason", name="pk_reasons"),
    )
    op.create_table(
        "tallies",
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("exposure", sa.String(length=10), nullable=False),
        sa.Column("cluster", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("match", sa.BigInteger(), nullable=False),
        sa.Column("ignored", sa.BigInteger(), nullable=False),
        sa.Column("diverged", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("inconclusive", sa.BigInteger(), nullable=False),
        sa.Column("excluded", sa.BigInteger(), nullable=False),
        sa.Column("excluded_returned", sa.BigInteger(), nullable=False),
        sa.Column("parked", sa.BigInteger(), nullable=False),
        sa.Column("expired", sa.BigInteger(), nullable=False),
        sa.Column("discarded", sa.BigInteger(), nullable=False),
        sa.Column("erased", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("operation", "epoch", "exposure", "cluster", name="pk_tallies"),
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.Column("capture_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["capture_id"], ["divergences.capture_id"], name="fk_group_members_capture_id_divergences"
        ),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_group_members_group_id_groups"),
        sa.PrimaryKeyConstraint("group_id", "capture_id", name="pk_group_members"),
    )
    op.create_index("ix_group_members_capture_id", "group_members", ["capture_id"], unique=False)
    op.create_table(
        "group_users",
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.Column("user_digest", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_group_users_group_id_groups"),
        sa.PrimaryKeyConstraint("group_id", "user_digest", name="pk_group_users"),
    )


def downgrade() -> None:
    op.drop_table("group_users")
    op.drop_index("ix_group_members_capture_id", table_name="group_members")
    op.drop_table("group_members")
    op.drop_table("tallies")
    op.drop_table("reasons")
    op.drop_table("parked")
    op.drop_table("minutes")
    op.drop_table("lanes")
    op.drop_table("groups")
    op.drop_table("funnel")
    op.drop_table("epochs")
    op.drop_table("epoch_users")
    op.drop_index("ix_divergences_user_digest", table_name="divergences")
    op.drop_index("ix_divergences_epoch", table_name="divergences")
    op.drop_table("divergences")
    op.drop_table("about")
