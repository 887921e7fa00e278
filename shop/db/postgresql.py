"""What is particular to PostgreSQL.

Its calls yield to other greenlets (psycopg waits with gevent's select), and many write at once. So
a transaction locks what it decides on, in one order for all, and is tried again when the
database had to choose between two of them.

Connections are in autocommit, so that a single question takes one round trip; a transaction is
begun by hand, with what is to hold for it in the same round trip.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import gevent
from sqlalchemy import Executable, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shop.db.base import Database, DatabaseBusy, DatabaseReadOnly, Done
from shop.db.connecting import READ_ONLY, connect_to
from shop.db.transaction import Values

#: How many of a process's connections writers may have, who may wait on them for what others
#: hold: whoever only reads is not to wait with them.
WRITERS = 10

#: How long the answer to one question may take, in seconds, where greenlets ask.
ANSWER = 3.0

#: How often a transaction is tried, of which the database had to end one for another's sake.
TRIES = 5

#: How long what was read may be shown without looking again, in seconds, if nobody tells this
#: process of the commits of others; and if somebody does.
POLL, POLL_WITH_RELAY = 0.02, 0.25

#: How long a database that did not answer is left alone by those who can do without, in seconds.
PAUSE = 0.5

#: SQLSTATEs: a transaction that was ended for the sake of others (serialization failure, deadlock,
#: standing still), and one that waited too long (lock not available, query canceled).
_AGAIN = ("40001", "40P01", "25P03")
_TOO_LONG = ("55P03", "57014")

#: The shop's processes, by the name that they connect under; an operator's psql is none.
_OTHERS = text(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = current_setting('application_name') AND pid <> pg_backend_pid()"
)


T = TypeVar("T")


class PostgreSQL(Database):
    """A database on a server, which several machines share."""

    poll = 0.1
    overlap = 20.0  # longer than a transaction can last

    def __init__(self, url: URL) -> None:
        super().__init__(url, WRITERS)
        self.engine = connect_to(url)
        #: how old what is shown may be, in seconds: shorter while nobody tells of commits
        self.poll_gap = POLL
        #: until when writers needn't try, on the clock that is never set: it is read only
        self._read_only_until = 0.0

    def rows(self, question: Executable, values: Values | None = None) -> Sequence[Any]:
        """Ask one question; see `Database.rows`.

        A connection that turns out to be dead, as the server was restarted, is replaced.
        """
        try:
            return self._rows(question, values)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._rows(question, values)

    def _rows(self, question: Executable, values: Values | None) -> Sequence[Any]:
        # The server's own limit says nothing when it is the server that stands still.
        limit = gevent.Timeout.start_new(ANSWER)
        try:
            with self._connected("") as connection:
                return connection.execute(question, values).all()
        except gevent.Timeout as ended:
            if ended is not limit:
                raise
            raise DatabaseBusy("the database does not answer") from None
        finally:
            limit.close()

    def _write_by(
        self, deadline: float, work: Callable[[Connection], Done[T]], durable: bool
    ) -> Done[T]:
        if time.monotonic() < self._read_only_until:
            raise DatabaseReadOnly("the database could not be written just now")
        tries = refused = 0
        while True:
            tries += 1
            try:
                return self._write(work, _begin(deadline, durable))
            except _ReadOnly as error:
                refused += 1
                if refused == 2:  # by a new connection as well: it isn't the connection
                    self._read_only_until = time.monotonic() + PAUSE
                    raise DatabaseReadOnly("the database can only be read") from error.__cause__
            except _NotDone as error:
                if tries == TRIES or time.monotonic() > deadline:
                    raise DatabaseBusy("others were faster, again and again") from error.__cause__
            time.sleep(random.uniform(0.002, 0.02))

    def _write(self, work: Callable[[Connection], Done[T]], begin: str) -> Done[T]:
        """Try once.

        Raises:
            _NotDone: nothing was changed, and it is worth another try.
        """
        committing = False
        try:
            with self._connected(begin) as connection:
                connection.begin()
                done = work(connection)
                committing = True
                connection.commit()
                return done
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state in _TOO_LONG:
                raise DatabaseBusy("what others hold was waited for too long") from error
            if state == READ_ONLY:
                raise _ReadOnly from error
            # A connection that broke while it committed: whether it did, nobody knows.
            if state in _AGAIN or (error.connection_invalidated and not committing):
                raise _NotDone from error
            raise

    def watch(self) -> PollingWatch:
        return PollingWatch(self)

    def relay_changed(self, up: bool) -> None:
        """Look less often while others' commits are announced; see `Database.relay_changed`."""
        self.poll_gap = POLL_WITH_RELAY if up else POLL

    def in_use(self) -> bool:
        return bool(self.rows(_OTHERS))

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _connected(
        self, begin: str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    ) -> Iterator[Connection]:
        try:
            connection = self.engine.connect().execution_options(shop_begin=begin)
        except PoolTimeout as error:
            raise DatabaseBusy("all connections are taken") from error
        with connection:
            yield connection


def _begin(deadline: float, durable: bool) -> str:
    """Return what begins a transaction that waits for no lock for longer than until then."""
    left = max(1, int((deadline - time.monotonic()) * 1000))
    begin = f"BEGIN; SET LOCAL lock_timeout = {left}"
    return begin if durable else f"{begin}; SET LOCAL synchronous_commit = off"


class _NotDone(Exception):
    """A transaction that was rolled back and can be tried again."""


class _ReadOnly(_NotDone):
    """One that was refused because nothing can be changed, over this connection at least."""


class PollingWatch:
    """Decides when to look at PostgreSQL again, which has no cheap sign of a commit."""

    def __init__(self, database: PostgreSQL) -> None:
        self._database = database
        self._marked = True
        self._looked = 0.0
        self._paused_until = 0.0

    def happened(self) -> bool:
        """Tell whether it is time to look again; see `CommitWatch`.

        Raises:
            DatabaseBusy: there was no answer just now.
        """
        now = time.monotonic()
        if now < self._paused_until:
            raise DatabaseBusy("the database did not answer just now")
        if not self._marked and now - self._looked < self._database.poll_gap:
            return False
        self._marked = False
        self._looked = now
        return True

    def mark(self) -> None:
        self._marked = True

    def close(self) -> None:
        """Look again, but not at once: there was no answer."""
        self._marked = True
        self._paused_until = time.monotonic() + PAUSE
