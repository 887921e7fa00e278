"""Pictures of products: the originals, what was made of them, and which product shows which."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pictures",
        sa.Column("hash", sa.String, primary_key=True),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("widths", sa.String, nullable=False),
        # Last, as SQLite reads a row up to the last column that is asked for.
        sa.Column("original", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("width > 0 AND height > 0", name="picture_has_size"),
    )
    op.create_table(
        "renditions",
        sa.Column("hash", sa.String, sa.ForeignKey("pictures.hash"), primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "product_pictures",
        sa.Column("product_id", sa.Integer, sa.ForeignKey("products.id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("hash", sa.String, sa.ForeignKey("pictures.hash"), nullable=False, index=True),
        sa.Column("alt", sa.String, nullable=False),
        sa.Column("reference", sa.String, nullable=False),
    )


def downgrade() -> None:
    for table in ("product_pictures", "renditions", "pictures"):
        op.drop_table(table)
