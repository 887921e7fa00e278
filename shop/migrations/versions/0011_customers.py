"""By what customers are known, where a shop limits what each may buy."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customer_keys",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("order_id", sa.Integer, sa.ForeignKey("orders.id"), primary_key=True, index=True),
    )


def downgrade() -> None:
    op.drop_table("customer_keys")
