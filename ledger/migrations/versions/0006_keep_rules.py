"""Keep rules: what people allow, by version, how often each hit, and where a divergence is counted.

Revision 0006, after 0005. Divergences kept before have no cluster: they cannot be re-judged, and stay as they are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("divergences", sa.Column("cluster", sa.BigInteger(), nullable=True))
    op.create_table(
        "rules",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        *(_text(name, length) for name, length in (("operation", 200), ("path", 500), ("kind", 40))),
        *(_text(name, length) for name, length in (("author", 200), ("reason", 500))),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        *(_text(name, length) for name, length in (("ended_by", 200), ("ended_why", 500))),
        sa.PrimaryKeyConstraint("id", name="pk_rules"),
    )
    op.create_table(
        "rule_sets",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        *(_text(name, length) for name, length in (("change", 10), ("author", 200))),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("rejudged_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("version", name="pk_rule_sets"),
    )
    op.create_table(
        "rule_hits",
        sa.Column("rule_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "epoch", name="pk_rule_hits"),
    )


def downgrade() -> None:
    for table in ("rule_hits", "rule_sets", "rules"):
        op.drop_table(table)
    op.drop_column("divergences", "cluster")


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=False)
