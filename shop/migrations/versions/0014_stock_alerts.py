"""Who wants to know when a size is back; mails that are about no order."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_COLUMNS = "id, kind, priority, order_id, queued, due, held_until, attempts, state, ended, error"

_INDEXES = (
    ("mails_waiting", ["priority", "id"], "state = 'waiting'", False),
    ("one_receipt_an_order", ["order_id"], "kind = 'receipt'", True),
    ("mails_of_order", ["order_id"], "kind <> 'receipt'", False),
)


def upgrade() -> None:
    _create_alerts()
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("mails", "order_id", nullable=True)
        op.add_column("mails", sa.Column("alert_id", sa.BigInteger))
        op.create_foreign_key("mails_alert", "mails", "stock_alerts", ["alert_id"], ["id"])
        op.create_check_constraint("mail_is_about_something", "mails", _ABOUT)
        return
    # SQLite can't have a column be empty that couldn't before, so the table is made anew.
    op.execute("ALTER TABLE mails RENAME TO mails_before")
    for name, *_ in _INDEXES:
        op.drop_index(name)
    _create_mails()
    op.execute(f"INSERT INTO mails ({_COLUMNS}) SELECT {_COLUMNS} FROM mails_before")  # noqa: S608
    op.drop_table("mails_before")


_ABOUT = "(order_id IS NULL) <> (alert_id IS NULL)"


def _create_alerts() -> None:
    op.create_table(
        "stock_alerts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id"), nullable=False),
        sa.Column("email", sa.String, nullable=False),
        sa.Column("mailbox", sa.String, nullable=False),
        sa.Column("token", sa.String, nullable=False, unique=True),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("mailed_at", sa.BigInteger),
    )
    only = sa.text("mailed_at IS NULL")
    op.create_index(
        *("stock_alerts_waiting", "stock_alerts", ["item_id", "mailbox"]),
        unique=True, sqlite_where=only, postgresql_where=only,
    )  # fmt: skip
    op.create_index("stock_alerts_mailbox", "stock_alerts", ["mailbox"])


def _create_mails() -> None:
    op.create_table(
        "mails",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.id")),
        sa.Column("queued", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("held_until", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("alert_id", sa.BigInteger, sa.ForeignKey("stock_alerts.id")),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'given up')", name="mail_state_known"),
        sa.CheckConstraint(_ABOUT, name="mail_is_about_something"),
    )
    for name, columns, where, unique in _INDEXES:
        op.create_index(name, "mails", columns, unique=unique, sqlite_where=sa.text(where))


def downgrade() -> None:
    op.execute("DELETE FROM mails WHERE order_id IS NULL")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("mail_is_about_something", "mails")
        op.drop_column("mails", "alert_id")
        op.alter_column("mails", "order_id", nullable=False)
    op.drop_table("stock_alerts")
