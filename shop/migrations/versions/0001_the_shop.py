"""Products, items, carts, orders."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "products",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("sku", sa.String, nullable=False, unique=True),
        sa.Column("brand", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("color", sa.String, nullable=False),
        sa.Column("price", sa.Integer, nullable=False),
        sa.Column("main_image", sa.String, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("released", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.CheckConstraint("price >= 0", name="price_not_negative"),
    )
    op.create_table(
        "items",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "product_id", sa.Integer, sa.ForeignKey("products.id"), nullable=False, index=True
        ),
        sa.Column("sku", sa.String, nullable=False, unique=True),
        sa.Column("size", sa.String, nullable=False),
        sa.Column("available", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.CheckConstraint("available >= 0", name="available_not_negative"),
    )
    op.create_table(
        "carts",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False, index=True),
        sa.Column("purchases", sa.Integer, nullable=False),
        sa.Column("merged_into", sa.String, nullable=True),
    )
    op.create_table(
        "cart_items",
        sa.Column("cart_id", sa.String, sa.ForeignKey("carts.id"), primary_key=True),
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id"), primary_key=True, index=True),
    )
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("number", sa.String, nullable=False, unique=True),
        sa.Column("cart_ref", sa.String, nullable=False),
        sa.Column("purchase", sa.Integer, nullable=False),
        sa.Column("email", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("placed", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.UniqueConstraint("cart_ref", "purchase", name="purchase_made_once"),
    )
    op.create_table(
        "order_lines",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.id"), nullable=False, index=True),
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id"), nullable=False),
        sa.Column("sku", sa.String, nullable=False),
        sa.Column("brand", sa.String, nullable=False),
        sa.Column("product", sa.String, nullable=False),
        sa.Column("color", sa.String, nullable=False),
        sa.Column("size", sa.String, nullable=False),
        sa.Column("price", sa.Integer, nullable=False),
        sa.Column("main_image", sa.String, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        _count_changes()


def _count_changes() -> None:
    """Keep a counter by which a change of the catalogue is noticed; see `catalog_stamp`."""
    op.create_table(
        "catalog_stamp",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("changes", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO catalog_stamp (id, changes) VALUES (1, 0)")
    for table, change in _COUNTED:
        # A migration that makes one of these tables anew must make its triggers anew as well.
        op.execute(
            f"CREATE TRIGGER count_{change}_of_{table} AFTER {change} ON {table} "  # noqa: S608
            "BEGIN UPDATE catalog_stamp SET changes = changes + 1; END"
        )


_COUNTED = [(t, c) for t in ("products", "items") for c in ("insert", "update", "delete")]


def downgrade() -> None:
    for table in ("order_lines", "orders", "cart_items", "carts", "items", "products"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("catalog_stamp")
