"""An order's address in parts, and what it costs besides its lines: shipping and tax."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

#: As text: so SQLite needn't make the tables anew, with their triggers. By default, as a server of
#: the release before may still run and place orders.
_PARTS = ("street", "street2", "postcode", "town", "country", "phone")
_COSTS = (
    "shipping BIGINT NOT NULL DEFAULT 0 CONSTRAINT shipping_not_negative CHECK (shipping >= 0)",
    "tax BIGINT NOT NULL DEFAULT 0 CONSTRAINT tax_not_negative CHECK (tax >= 0)",
    "shipping_tax BIGINT NOT NULL DEFAULT 0"
    " CONSTRAINT shipping_tax_within_tax CHECK (shipping_tax >= 0 AND shipping_tax <= tax)",
    "tax_rate INTEGER NOT NULL DEFAULT 0 CONSTRAINT tax_rate_not_negative CHECK (tax_rate >= 0)",
    "tax_kind VARCHAR NOT NULL DEFAULT '' CONSTRAINT tax_kind_known"
    " CHECK (tax_kind IN ('included', 'added') OR (tax_kind = '' AND tax = 0 AND tax_rate = 0))",
)
_LINE_TAX = "tax BIGINT NOT NULL DEFAULT 0 CONSTRAINT line_tax_not_negative CHECK (tax >= 0)"

#: An order is written into the books once its lines are there, and with a total that is right.
_WRONG_TOTAL = (
    "EXISTS (SELECT 1 FROM orders WHERE id = NEW.order_id AND (total, tax) <> ("
    "(SELECT coalesce(sum(price), 0) FROM order_lines WHERE order_id = orders.id)"
    " + shipping + CASE tax_kind WHEN 'added' THEN tax ELSE 0 END,"
    " (SELECT coalesce(sum(tax), 0) FROM order_lines WHERE order_id = orders.id) + shipping_tax))"
)
_IS_MADE = "NEW.before IS NULL AND NEW.line_id IS NULL"


def upgrade() -> None:
    for part in _PARTS:
        op.execute(f"ALTER TABLE orders ADD COLUMN {part} VARCHAR NOT NULL DEFAULT ''")
    for column in _COSTS:
        op.execute(f"ALTER TABLE orders ADD COLUMN {column}")
    op.execute(f"ALTER TABLE order_lines ADD COLUMN {_LINE_TAX}")
    for statement in _triggers(op.get_bind().dialect.name):
        op.execute(statement)


def _triggers(dialect: str) -> list[str]:
    if dialect == "sqlite":
        return [
            "CREATE TRIGGER check_order_changes_total BEFORE INSERT ON order_changes"
            f" WHEN {_IS_MADE} AND {_WRONG_TOTAL}"
            " BEGIN SELECT RAISE(ABORT, 'its total is not what its lines come to'); END"
        ]
    return [
        "CREATE FUNCTION check_total() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {_WRONG_TOTAL} THEN RAISE EXCEPTION 'its total is not what its lines come to'"
        " USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER check_order_changes_total BEFORE INSERT ON order_changes"
        f" FOR EACH ROW WHEN ({_IS_MADE}) EXECUTE FUNCTION check_total()",
    ]


def downgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    on = " ON order_changes" if postgresql else ""
    op.execute(f"DROP TRIGGER check_order_changes_total{on}")
    if postgresql:
        op.execute("DROP FUNCTION check_total")
    op.execute("ALTER TABLE order_lines DROP COLUMN tax")
    # The last first: constraints name the columns before them.
    for column in (*reversed(_COSTS), *reversed(_PARTS)):
        op.execute(f"ALTER TABLE orders DROP COLUMN {column.split()[0]}")
