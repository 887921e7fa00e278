"""What goes wrong with a shop's database for a while."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.support.running import RunningShop

#: Ends all of the shop's sessions on PostgreSQL, so that it begins new ones.
END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'shop'"
)


@contextmanager
def only_read(shop: RunningShop) -> Iterator[None]:
    """Have the database refuse what writes: no file of the server's may grow, or no session may.

    On PostgreSQL sessions that were begun meanwhile stay so afterwards.
    """
    if shop.on_sqlite:
        assert shop.process is not None
        pid, limit = shop.process.pid, resource.RLIMIT_FSIZE
        before = resource.prlimit(pid, limit, (0, resource.RLIM_INFINITY))
        yield
        resource.prlimit(pid, limit, before)
        return
    _set_read_only(shop, "on")
    shop.sql(END_SESSIONS)
    try:
        yield
    finally:
        _set_read_only(shop, "off")


def _set_read_only(shop: RunningShop, mode: str) -> None:
    name = shop.database_url.database
    with closing(shop.connect()) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {mode}')
