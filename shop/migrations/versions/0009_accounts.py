"""The stock ledger, pairs held and sold beside those left, and the states of orders."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_STATES = "'held','in_doubt','placed','paid','fulfilled','expired','cancelled','returned'"

#: Which state may follow which; the same as in `shop.models.order_state`.
_TRANSITIONS = {
    "held": ("paid", "expired", "in_doubt", "cancelled"),
    "in_doubt": ("paid", "expired", "cancelled"),
    "placed": ("paid", "cancelled"),
    "paid": ("fulfilled", "cancelled"),
    "fulfilled": ("returned",),
}

#: What is written once, and never changed or deleted.
_WRITTEN_ONCE = ("movements", "order_changes")

#: Columns that tables get. As text: so SQLite needn't make the tables anew, with their triggers.
_COLUMNS = {
    "items": (
        "held BIGINT NOT NULL DEFAULT 0 CONSTRAINT held_not_negative CHECK (held >= 0)",
        "sold BIGINT NOT NULL DEFAULT 0 CONSTRAINT sold_not_negative CHECK (sold >= 0)",
    ),
    "orders": (
        # By default, as a server of the release before may still run and place orders.
        "state VARCHAR NOT NULL DEFAULT 'placed'"
        f" CONSTRAINT order_state_known CHECK (state IN ({_STATES}))",
        "tracking VARCHAR NOT NULL DEFAULT ''",
    ),
    "order_lines": (
        "ended VARCHAR NOT NULL DEFAULT ''"
        " CONSTRAINT line_end_known CHECK (ended IN ('', 'cancelled', 'returned'))",
    ),
}


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    # Found by their state, those that are long done aside.
    op.create_index("ix_orders_state", "orders", ["state", "id"])
    _create_movements()
    _create_order_changes()
    _open_the_books()
    for statement in _triggers(op.get_bind().dialect.name):
        op.execute(statement)


def _create_movements() -> None:
    op.create_table(
        "movements",
        _id(),
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id"), nullable=False),
        sa.Column("delta", sa.BigInteger, nullable=False),
        sa.Column("held_delta", sa.BigInteger, nullable=False),
        sa.Column("sold_delta", sa.BigInteger, nullable=False),
        sa.Column("count_after", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.id")),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("count_after >= 0", name="count_after_not_negative"),
        sa.CheckConstraint(
            "kind IN ('opening', 'sale', 'hold', 'release', 'cancellation', 'return',"
            " 'correction', 'import', 'counter sale', 'demo')",
            name="movement_kind_known",
        ),
        # Nothing else brings pairs in or loses any.
        sa.CheckConstraint(
            "kind IN ('opening', 'correction', 'import', 'demo')"
            " OR delta + held_delta + sold_delta = 0",
            name="pairs_kept",
        ),
    )
    op.create_index("ix_movements_item", "movements", ["item_id", "id"])


def _create_order_changes() -> None:
    op.create_table(
        "order_changes",
        _id(),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.id"), nullable=False, index=True),
        sa.Column("line_id", sa.Integer, sa.ForeignKey("order_lines.id")),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("before", sa.String),
        sa.Column("after", sa.String, nullable=False),
        sa.Column("why", sa.String, nullable=False),
    )


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)


def _open_the_books() -> None:
    """Enter what there is: what lies on the shelf, and what was ordered before."""
    op.execute(
        "UPDATE items SET sold = n FROM"
        " (SELECT item_id, count(*) AS n FROM order_lines GROUP BY item_id) AS ordered"
        " WHERE ordered.item_id = items.id"
    )
    op.execute(
        "INSERT INTO movements (item_id, delta, held_delta, sold_delta, count_after, kind,"  # noqa: S608
        " order_id, reason, who, at)"
        " SELECT id, available, 0, sold, available, 'opening', NULL, '', 'shop',"
        f" {int(time.time() * 1000)} FROM items ORDER BY id"
    )
    op.execute(
        "INSERT INTO order_changes (order_id, line_id, at, who, before, after, why)"
        " SELECT id, NULL, placed * 1000, 'shop', NULL, state, '' FROM orders ORDER BY id"
    )


def _triggers(dialect: str) -> list[str]:
    allowed = " OR ".join(
        f"(OLD.state = '{before}' AND NEW.state IN ({', '.join(map(repr, after))}))"
        for before, after in _TRANSITIONS.items()
    )
    refused = {
        "orders": ("state", f"NEW.state <> OLD.state AND NOT ({allowed})"),
        "order_lines": ("ended", "NEW.ended <> OLD.ended AND OLD.ended <> ''"),
    }
    return _on_sqlite(refused) if dialect == "sqlite" else _on_postgresql(refused)


def _on_sqlite(refused: dict[str, tuple[str, str]]) -> list[str]:
    statements = [
        f"CREATE TRIGGER keep_{table}_{event.lower()} BEFORE {event} ON {table} BEGIN"
        f" SELECT RAISE(ABORT, '{table} are never changed or deleted'); END"
        for table in _WRITTEN_ONCE
        for event in ("UPDATE", "DELETE")
    ]
    return statements + [
        f"CREATE TRIGGER check_{table}_{column} BEFORE UPDATE OF {column} ON {table}"
        f" WHEN {when} BEGIN SELECT RAISE(ABORT, 'no such change of {column}'); END"
        for table, (column, when) in refused.items()
    ]


def _on_postgresql(refused: dict[str, tuple[str, str]]) -> list[str]:
    statements = [
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'no such change of %', TG_TABLE_NAME USING ERRCODE = 'check_violation';"
        " END $$"
    ]
    for table in _WRITTEN_ONCE:
        statements += [
            f"CREATE TRIGGER keep_{table} BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()",
            f"CREATE TRIGGER keep_all_{table} BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
        ]
    return statements + [
        f"CREATE TRIGGER check_{table}_{column} BEFORE UPDATE OF {column} ON {table}"
        f" FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse_change()"
        for table, (column, when) in refused.items()
    ]


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    for table, column in (("orders", "state"), ("order_lines", "ended")):
        on = "" if dialect == "sqlite" else f" ON {table}"
        op.execute(f"DROP TRIGGER check_{table}_{column}{on}")
    for table in reversed(_WRITTEN_ONCE):
        op.drop_table(table)
    if dialect == "postgresql":
        op.execute("DROP FUNCTION refuse_change")
    op.drop_index("ix_orders_state", "orders")
    for table, columns in _COLUMNS.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column.split()[0]}")
