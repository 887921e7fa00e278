"""How Alembic reaches the database: through the shop's own engine, set up as it is."""

from alembic import context

import shop.models  # noqa: F401  (the tables that it compares with)
from shop.db import Base

#: In PostgreSQL: changing large tables may take its time.
_BEGIN = "BEGIN; SET LOCAL statement_timeout = 0"

database = context.config.attributes["database"]
with database.engine.connect().execution_options(
    shop_write="FULL", shop_begin=_BEGIN
) as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
