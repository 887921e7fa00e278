"""When products open, opened and sold out; sizes that are marked to be put into a cart then."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COLUMNS = ("opens_at", "opened_at", "sold_out_at")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("products", sa.Column(name, sa.BigInteger, nullable=True))
    marked = sa.Column("marked", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("cart_items", marked)
    for statement in _TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER note_sold_out ON items")
        op.execute("DROP FUNCTION note_sold_out")
    else:
        op.execute("DROP TRIGGER note_sold_out")
    op.execute("DELETE FROM cart_items WHERE marked")
    op.drop_column("cart_items", "marked")
    for name in reversed(_COLUMNS):
        op.drop_column("products", name)


# By a trigger, as every way in which a count changes has to note it, and none may forget: it does
# something only when the last piece of a size goes, or the first one comes back.
_NOTE = """
  UPDATE products SET sold_out_at = {now}
  WHERE id = NEW.product_id AND released AND NEW.available = 0 AND NOT EXISTS
    (SELECT 1 FROM items WHERE product_id = NEW.product_id AND available > 0);
  UPDATE products SET sold_out_at = NULL
  WHERE id = NEW.product_id AND sold_out_at IS NOT NULL AND NEW.available > 0;
"""

_SQLITE = f"""
CREATE TRIGGER note_sold_out AFTER UPDATE OF available ON items
WHEN (NEW.available = 0) <> (OLD.available = 0)
BEGIN
  {_NOTE.format(now="CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)")}
END;
"""

# Two buyers may take the last two sizes in one moment, and neither sees what the other did: the
# lock has one of them wait, and the statement after it sees what is committed by then.
_FUNCTION = f"""
CREATE FUNCTION note_sold_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM products WHERE id = NEW.product_id FOR NO KEY UPDATE;
  {_NOTE.format(now="CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")}
  RETURN NULL;
END $$
"""

_TRIGGERS = {
    "sqlite": [_SQLITE],
    "postgresql": [
        _FUNCTION,
        "CREATE TRIGGER note_sold_out AFTER UPDATE OF available ON items FOR EACH ROW "
        "WHEN ((NEW.available = 0) <> (OLD.available = 0)) EXECUTE FUNCTION note_sold_out()",
    ],
}
