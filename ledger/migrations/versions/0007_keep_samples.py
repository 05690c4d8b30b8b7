"""Keep samples: a few divergences of each group as a whole, and in which epochs the group was seen.

Revision 0007, after 0006. Of groups seen before it is not known when; 0 says so.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_EPOCHS = ("first_epoch", "last_epoch", "regressed_epoch")


def upgrade() -> None:
    for name in _EPOCHS:
        op.add_column("groups", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "group_samples",
        sa.Column("group_id", sa.String(length=40), nullable=False),
        sa.Column("slot", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("capture_id", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("called_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_digest", sa.String(length=16), nullable=False),
        sa.Column("sample", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name="fk_group_samples_group_id_groups"),
        sa.PrimaryKeyConstraint("group_id", "slot", name="pk_group_samples"),
    )


def downgrade() -> None:
    op.drop_table("group_samples")
    for name in reversed(_EPOCHS):
        op.drop_column("groups", name)
