"""Keep standings: whose replays may be trusted, and since when they may not.

Revision 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "standings",
        sa.Column("user_digest", sa.String(length=16), nullable=False),
        sa.Column("lane", sa.BigInteger(), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("closed_us", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("user_digest", name="pk_standings"),
    )
    is_open = sa.text("closed_us IS NULL")
    op.create_index("ix_standings_open", "standings", ["reason"], sqlite_where=is_open, postgresql_where=is_open)
    op.add_column("lanes", sa.Column("standings", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("lanes", "standings")
    op.drop_index("ix_standings_open", table_name="standings")
    op.drop_table("standings")
