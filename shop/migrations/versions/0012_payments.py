"""Payments through a provider, the holds that go with them, and refunds."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_STATES = "'waiting','open','pending','paid','ended'"

#: An order can't be paid without the money, nor can its pairs go back while they can be paid.
_AGAINST_ITS_PAYMENT = (
    "EXISTS (SELECT 1 FROM payments WHERE order_id = NEW.id AND ("
    "(NEW.state = 'paid' AND state <> 'paid')"
    " OR (NEW.state IN ('expired', 'cancelled') AND state <> 'ended')))"
)
#: What was paid through a provider is paid back before its pair is anybody else's.
_AGAINST_ITS_REFUND = (
    "NEW.price > 0 AND EXISTS (SELECT 1 FROM payments"
    " WHERE order_id = NEW.order_id AND state = 'paid') AND NOT EXISTS (SELECT 1 FROM refunds"
    " WHERE line_id = NEW.id AND state = 'done')"
)
_ENDS = "OLD.ended = '' AND NEW.ended <> ''"
_WHILE_HELD = "OLD.state IN ('held', 'in_doubt') AND NEW.state <> OLD.state"
_OVER = "OLD.state IN ('paid', 'ended') AND NEW.state <> OLD.state"


def upgrade() -> None:
    _create_payments()
    op.create_table(
        "payment_messages",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "payment_pace",
        sa.Column("call", sa.String, primary_key=True),
        sa.Column("free_at", sa.BigInteger, nullable=False),
    )
    _create_refunds()
    _create_demo_payments()
    op.execute("ALTER TABLE carts ADD COLUMN hold BIGINT")
    for statement in _triggers(op.get_bind().dialect.name):
        op.execute(statement)


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.id"), primary_key=True),
        sa.Column("cart_id", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.Column("state", sa.String, nullable=False, server_default="waiting"),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("lasts_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("error", sa.String, nullable=False, server_default=""),
        sa.Column("session_id", sa.String, unique=True),
        sa.Column("url", sa.String),
        sa.Column("reference", sa.String),
        sa.Column("hold_ends", sa.BigInteger),
        sa.Column("extended", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("ending", sa.String, nullable=False, server_default=""),
        sa.Column("ended_by", sa.String, nullable=False, server_default=""),
        sa.Column("ended_why", sa.String, nullable=False, server_default=""),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("leased_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.CheckConstraint(f"state IN ({_STATES})", name="payment_state_known"),
    )
    active = sa.text("state IN ('waiting','open','pending')")
    op.create_index(
        "ix_payments_due", "payments", ["due"], sqlite_where=active, postgresql_where=active
    )
    op.create_index(
        "ix_payments_cart", "payments", ["cart_id"], sqlite_where=active, postgresql_where=active
    )


def _create_refunds() -> None:
    op.create_table(
        "refunds",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.id"), nullable=False, index=True),
        sa.Column("line_id", sa.Integer, sa.ForeignKey("order_lines.id")),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("reference", sa.String),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("amount > 0", name="refund_above_zero"),
        sa.CheckConstraint("state IN ('wanted', 'done')", name="refund_state_known"),
    )


def _create_demo_payments() -> None:
    """The books of the provider that moves no money: what came of its pages."""
    op.create_table(
        "demo_payments",
        sa.Column("session_id", sa.String, primary_key=True),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("outcome IN ('paid', 'expired')", name="demo_outcome_known"),
    )
    op.create_table(
        "demo_refunds",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("session_id", sa.String, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def _triggers(dialect: str) -> list[str]:
    if dialect == "sqlite":
        return [
            "CREATE TRIGGER check_orders_payment BEFORE UPDATE OF state ON orders"
            f" WHEN {_WHILE_HELD} AND {_AGAINST_ITS_PAYMENT}"
            " BEGIN SELECT RAISE(ABORT, 'its payment says otherwise'); END",
            "CREATE TRIGGER check_order_lines_refund BEFORE UPDATE OF ended ON order_lines"
            f" WHEN {_ENDS} AND {_AGAINST_ITS_REFUND}"
            " BEGIN SELECT RAISE(ABORT, 'it was not paid back'); END",
            "CREATE TRIGGER check_payments_state BEFORE UPDATE OF state ON payments"
            f" WHEN {_OVER} BEGIN SELECT RAISE(ABORT, 'no such change of state'); END",
        ]
    return [
        "CREATE FUNCTION check_payment() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {_AGAINST_ITS_PAYMENT} THEN"
        " RAISE EXCEPTION 'its payment says otherwise' USING ERRCODE = 'check_violation';"
        " END IF; RETURN NEW; END $$",
        "CREATE TRIGGER check_orders_payment BEFORE UPDATE OF state ON orders"
        f" FOR EACH ROW WHEN ({_WHILE_HELD}) EXECUTE FUNCTION check_payment()",
        "CREATE FUNCTION check_refund() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {_AGAINST_ITS_REFUND} THEN"
        " RAISE EXCEPTION 'it was not paid back' USING ERRCODE = 'check_violation';"
        " END IF; RETURN NEW; END $$",
        "CREATE TRIGGER check_order_lines_refund BEFORE UPDATE OF ended ON order_lines"
        f" FOR EACH ROW WHEN ({_ENDS}) EXECUTE FUNCTION check_refund()",
        "CREATE TRIGGER check_payments_state BEFORE UPDATE OF state ON payments"
        f" FOR EACH ROW WHEN ({_OVER}) EXECUTE FUNCTION refuse_change()",
    ]


def downgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    for table, trigger in (("orders", "payment"), ("order_lines", "refund")):
        on = f" ON {table}" if postgresql else ""
        op.execute(f"DROP TRIGGER check_{table}_{trigger}{on}")
        if postgresql:
            op.execute(f"DROP FUNCTION check_{trigger}")
    op.execute("ALTER TABLE carts DROP COLUMN hold")
    tables = ("demo_refunds", "demo_payments", "refunds", "payment_pace", "payment_messages")
    for table in (*tables, "payments"):
        op.drop_table(table)
