"""The outbox, and for each order a name that nobody guesses."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TOKENS = {
    "sqlite": "lower(hex(randomblob(24)))",
    "postgresql": "replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')",
}


def upgrade() -> None:
    # NULL, as a server of the release before may still run and add rows.
    op.add_column("orders", sa.Column("token", sa.String))
    token = _TOKENS[op.get_bind().dialect.name]
    op.execute(f"UPDATE orders SET token = {token}")  # noqa: S608
    op.create_index("ix_orders_token", "orders", ["token"], unique=True)
    op.create_table(
        "mails",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.id"), nullable=False),
        sa.Column("queued", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("held_until", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("error", sa.Text, nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'given up')", name="mail_state_known"),
    )
    _index("mails_waiting", ["priority", "id"], "state = 'waiting'")
    _index("one_receipt_an_order", ["order_id"], "kind = 'receipt'", unique=True)
    _index("mails_of_order", ["order_id"], "kind <> 'receipt'")


def _index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    only = sa.text(where)
    op.create_index(name, "mails", columns, unique=unique, sqlite_where=only, postgresql_where=only)


def downgrade() -> None:
    op.drop_table("mails")
    op.drop_index("ix_orders_token", "orders")
    op.drop_column("orders", "token")
