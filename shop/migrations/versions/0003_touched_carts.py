"""When a cart was last changed, so that those that nobody touches any more can be deleted."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Carts that there are count as touched now; so do those that a server of the release before,
    # which may still run, makes until it is replaced.
    now = str(int(time.time()))
    touched = sa.Column("touched", sa.BigInteger, nullable=False, server_default=sa.text(now))
    op.add_column("carts", touched)
    op.create_index("ix_carts_touched", "carts", ["touched"])


def downgrade() -> None:
    op.drop_index("ix_carts_touched", "carts")
    op.drop_column("carts", "touched")
