"""How PostgreSQL is connected to: directly, or through a pooler as PgBouncer is.

A pooler may give every transaction to another session. So nothing must belong to a session then:
no limits of time, which go along with each transaction, and no prepared statements.
"""

from __future__ import annotations

from typing import Any

import psycopg
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, ExceptionContext

#: How many connections one process keeps, and how many more it opens for a while.
POOL, OVERFLOW = 5, 10

#: How long a request waits for one of them, in seconds.
POOL_WAIT = 5.0

#: SQLSTATE of a change that is refused as nothing can be changed: the server is a standby, or the
#: session was begun while it was to be read only, and stays so whatever became of that.
READ_ONLY = "25006"

#: The beginnings of SQLSTATEs that say that a connection is no good any more, broken or not: read
#: only, ended by an administrator or a time limit, without the statements that it had prepared
#: (by a pooler in between, or as their tables changed).
_NO_GOOD = (READ_ONLY, "25P03", "57P", "08", "26000", "42P05", "0A000")

#: For how long a statement may run, and a process may stand still in a transaction, which is not
#: to hold up the others; in milliseconds.
_LIMITS = {"statement_timeout": 15_000, "idle_in_transaction_session_timeout": 3000}

#: A connection to a machine that is gone is given up within some seconds (times in s or in ms).
_CONNECT: dict[str, str] = {
    "options": " ".join(f"-c {name}={limit}" for name, limit in _LIMITS.items()),
    "connect_timeout": "3",
    "tcp_user_timeout": "4000",
    "keepalives_idle": "3",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "application_name": "shop",
}

#: The limits as a session says them that was begun with `_CONNECT`.
_ARE_SET = "SELECT " + " AND ".join(
    f"current_setting('{name}')::interval = '{limit} ms'" for name, limit in _LIMITS.items()
)

#: What PgBouncer says to the options of a connection, if it isn't set up to ignore them.
_NO_OPTIONS = "unsupported startup parameter"


def connect_to(url: URL) -> Engine:
    """Return what gives connections; none is opened yet.

    They are in autocommit; a transaction is begun by what stands in the execution option
    `shop_begin`, and the limits of time hold in it however the database is reached.
    """
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        connect_args={k: v for k, v in _CONNECT.items() if k not in url.query},
        pool_size=POOL,
        max_overflow=OVERFLOW,
        pool_timeout=POOL_WAIT,
        pool_use_lifo=True,
        hide_parameters=True,  # what buyers typed has no place in a log
    )
    way = _Way(own_options="options" in url.query)
    event.listen(engine, "do_connect", way.connect)
    event.listen(engine, "connect", way.connected)
    event.listen(engine, "begin", way.begin)
    event.listen(engine, "handle_error", _replace_no_good)
    return engine


class _Way:
    """The way to the database, found out when the first connection is opened."""

    def __init__(self, *, own_options: bool) -> None:
        """Take whether the database's address has options of its own, in the place of ours."""
        self._own_options = own_options
        self._pooled = False

    def connect(self, dialect: Any, _record: Any, words: Any, options: dict[str, Any]) -> Any:
        """Open a connection, without options if a pooler takes none."""
        if not self._pooled:
            try:
                return dialect.connect(*words, **options)
            except psycopg.OperationalError as error:
                if _NO_OPTIONS not in str(error):
                    raise
                self._pooled = True
        return dialect.connect(*words, **{k: v for k, v in options.items() if k != "options"})

    def connected(self, connection: Any, _record: Any) -> None:
        """Find out whether a pooler has ignored the options; keep what is another session's."""
        if not self._pooled and not self._own_options:
            self._pooled = connection.execute(_ARE_SET).fetchone() != (True,)
        if self._pooled:
            connection.prepare_threshold = None

    def begin(self, connection: Connection) -> None:
        """Begin a transaction, with all that is to hold for it in the same round trip."""
        begin = connection.get_execution_options().get("shop_begin")
        if not begin:
            return
        if self._pooled:
            first, _, others = begin.partition("; ")
            limits = [f"SET LOCAL {name} = {limit}" for name, limit in _LIMITS.items()]
            begin = "; ".join(filter(None, [first, *limits, others]))
        connection.exec_driver_sql(begin)


def _replace_no_good(failed: ExceptionContext) -> None:
    """Have a connection that is no good leave the pool, with all that were opened before now."""
    state = getattr(failed.original_exception, "sqlstate", None) or ""
    if state.startswith(_NO_GOOD):
        failed.is_disconnect = True
