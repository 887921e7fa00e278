"""Which products were changed last, so that a sale is read without the rest of the catalogue."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = ("products", "items")

#: A row that is written by hand, or by an earlier release, gets a version as well, by which that is
#: found.
_GIVE_VERSION = """
CREATE FUNCTION give_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := greatest(NEW.version, OLD.version + 1, nextval('version_numbers'));
  RETURN NEW;
END $$
"""


# That a product sold out is noted by a trigger, and found with the size that was sold.
_IS_CHANGED = {
    "products": "NEW.version <> OLD.version"
    " OR NEW.sold_out_at IS NOT DISTINCT FROM OLD.sold_out_at",
    "items": "true",
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # A row for each product would have the buyers of its sizes wait for one another.
        op.execute(_GIVE_VERSION)
        for table in _TABLES:
            op.create_index(f"ix_{table}_version", table, ["version"])
            op.execute(
                f"CREATE TRIGGER give_version BEFORE UPDATE ON {table} FOR EACH ROW "
                f"WHEN ({_IS_CHANGED[table]}) EXECUTE FUNCTION give_version()"
            )
        return
    op.create_table(
        "catalog_changes",
        sa.Column("product_id", sa.Integer, primary_key=True),
        sa.Column("change", sa.BigInteger, nullable=False, index=True),
    )
    for name, statement in _triggers().items():
        op.execute(f"DROP TRIGGER {name}")
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in _TABLES:
            op.execute(f"DROP TRIGGER give_version ON {table}")
            op.drop_index(f"ix_{table}_version", table)
        op.execute("DROP FUNCTION give_version")
        return
    for name in _triggers():
        table, change = name.removeprefix("count_").split("_of_")[::-1]
        op.execute(f"DROP TRIGGER {name}")
        op.execute(
            f"CREATE TRIGGER {name} AFTER {change} ON {table} "  # noqa: S608
            "BEGIN UPDATE catalog_stamp SET changes = changes + 1; END"
        )
    op.drop_table("catalog_changes")


def _triggers() -> dict[str, str]:
    """Return the triggers of the first migration, by name, with the product noted as well.

    A migration that makes one of these tables anew must make its triggers anew as well.
    """
    triggers = {}
    for table in _TABLES:
        for change in ("insert", "update", "delete"):
            row = "OLD" if change == "delete" else "NEW"
            product = f"{row}.{'id' if table == 'products' else 'product_id'}"
            name = f"count_{change}_of_{table}"
            triggers[name] = (
                f"CREATE TRIGGER {name} AFTER {change} ON {table} BEGIN "  # noqa: S608
                "UPDATE catalog_stamp SET changes = changes + 1; "
                "INSERT INTO catalog_changes (product_id, change) "
                f"VALUES ({product}, (SELECT changes FROM catalog_stamp)) "
                "ON CONFLICT (product_id) DO UPDATE SET change = excluded.change; END"
            )
    return triggers
