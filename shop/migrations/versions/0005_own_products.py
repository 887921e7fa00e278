"""What an operator's own products need: a description, being hidden or removed, sizes in order."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With defaults, as a server of the release before may still run and add rows.
    op.add_column("products", sa.Column("description", sa.Text, nullable=False, server_default=""))
    for name in ("hidden", "removed"):
        column = sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())
        op.add_column("products", column)
    op.add_column("items", sa.Column("position", sa.Integer, nullable=False, server_default="0"))
    if op.get_bind().dialect.name == "postgresql":  # SQLite's integers are as large already
        op.alter_column("products", "price", type_=sa.BigInteger)
        op.alter_column("order_lines", "price", type_=sa.BigInteger)


def downgrade() -> None:
    op.drop_column("items", "position")
    for name in ("removed", "hidden", "description"):
        op.drop_column("products", name)
