"""One counter for all versions, where each server went by its own clock."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: Microseconds for which a clock doesn't reach the first number: so servers of the release before,
#: which may still run, find it in what they count on from, and tabs can go to them and back.
_AN_HOUR = 3600 * 1_000_000

#: How far apart numbers are drawn (see `shop.versions`).
_STEP = 1000

#: A clock beyond this is wrong, and JavaScript counts to 9 * 10^15.
_LAST_CLOCK = 2 * 10**15


def upgrade() -> None:
    tables = ("products", "items", "carts")
    asked = (sa.text(f"SELECT max(version) FROM {table}") for table in tables)  # noqa: S608
    largest = max(op.get_bind().scalar(question) or 0 for question in asked)
    first = max(largest, min(time.time_ns() // 1000, _LAST_CLOCK)) + _AN_HOUR
    for table in ("products", "items"):
        op.execute(f"UPDATE {table} SET version = {first}")  # noqa: S608
    if op.get_bind().dialect.name == "sqlite":
        op.create_table("version_numbers", sa.Column("last_value", sa.BigInteger, nullable=False))
        op.execute(f"INSERT INTO version_numbers VALUES ({first - _STEP})")  # noqa: S608
    else:
        op.execute(f"CREATE SEQUENCE version_numbers INCREMENT BY {_STEP}")
        op.execute(f"SELECT setval('version_numbers', {first - _STEP})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("version_numbers")
    else:
        op.execute("DROP SEQUENCE version_numbers")
