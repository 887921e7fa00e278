"""The database: its engine, short transactions, and SQLite's manners.

SQLite's calls never yield to other greenlets. So a write transaction takes the write lock
up front (BEGIN IMMEDIATE), makes no cooperative call inside, and a busy database is waited
for out here, by sleeping (cooperatively under gevent), never by SQLite's own busy timeout,
which would stop every tab of the process.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session

#: How long a writer waits for the write lock, in seconds, before it gives up.
WRITE_WAIT = 15.0

#: How long a reader waits in place, in milliseconds; nearly never needed.
READ_WAIT = 100

T = TypeVar("T")


class Base(DeclarativeBase):
    """What all tables derive from."""


class DatabaseBusy(Exception):
    """The write lock was not to be had in time. Nothing was changed."""


class Database:
    """One database: read what is true, write in short transactions."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.engine = _engine(url)
        self._file = Path(str(url.database))
        self._inode: int | None = None
        #: when this process opened the file that stands there, in milliseconds since 1970
        self.opened = now_ms()
        # One writer of this process waits for the lock and holds a connection; the others wait
        # here, so that they leave the pool's connections to those who only read.
        self._turn = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that reads one consistent state. It must not outlive a request."""
        with Session(self.engine, autoflush=False) as session:
            yield session

    def write(
        self,
        work: Callable[[Session], T],
        *,
        durable: bool = True,
        patience: float = WRITE_WAIT,
    ) -> T:
        """Run `work(session)` in one transaction that holds the write lock, then commit.

        `work` must not wait for anything but the database, and may be called only once: all
        waiting is for the lock, before it starts. An exception rolls everything back.

        Args:
            durable: whether what was committed must survive a power cut. A crash of the process
                it survives anyway.
            patience: how long to wait for the write lock, in seconds.

        Returns:
            What `work` returned.

        Raises:
            DatabaseBusy: other writers held the lock for longer than that.
            OperationalError: the database is away.
        """
        self.check_in_place()
        deadline = time.monotonic() + patience
        if not self._turn.acquire(timeout=patience):
            raise DatabaseBusy
        try:
            return self._write(work, deadline, "FULL" if durable else "NORMAL")
        finally:
            self._turn.release()

    def _write(self, work: Callable[[Session], T], deadline: float, synchronous: str) -> T:
        with self.engine.connect().execution_options(shop_write=synchronous) as connection:
            _begin(connection, deadline)
            with Session(connection, expire_on_commit=False) as session:
                result = work(session)
                session.flush()
                session.expunge_all()
            connection.commit()
            return result

    def ping(self) -> None:
        """Ask the database for something, raising what it raises when it does not answer."""
        self.check_in_place()
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1 FROM products LIMIT 1").all()

    def check_in_place(self) -> None:
        """See to it that the open connections are to the file that stands there now.

        A file that was deleted stays alive for those who have it open: what is written to it
        then is lost with them.

        Raises:
            OperationalError: there is no file.
        """
        try:
            inode = self._file.stat().st_ino
        except OSError as error:
            raise OperationalError("opening the database", None, error) from error
        if self._inode not in (None, inode):
            self.engine.dispose()
            self.opened = now_ms()
        self._inode = inode

    def close(self) -> None:
        """Put everything into the one file, as far as nobody else uses it, and let it go."""
        with suppress(DatabaseError), self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            if raw is not None:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.engine.dispose()


def now_ms() -> int:
    """The wall clock in milliseconds, the ground that versions grow from."""
    return time.time_ns() // 1_000_000


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether SQLite refused for now, as another connection holds a lock."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _begin(connection: Connection, deadline: float) -> None:
    while True:
        try:
            connection.begin()
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise OperationalError("BEGIN IMMEDIATE", None, error) from error
            if time.monotonic() > deadline:
                raise DatabaseBusy from error
        time.sleep(random.uniform(0.004, 0.016))


def _engine(url: URL) -> Engine:
    # timeout=0: never SQLite's own waiting, see above. Connections move between greenlets,
    # one at a time, which the pool sees to.
    options: dict[str, Any] = {"timeout": 0, "check_same_thread": False}
    engine = create_engine(url, connect_args=options, pool_size=5, max_overflow=45)
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _emit_begin)
    return engine


def _prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin on its own: _emit_begin does
    try:
        _switch_to_wal(connection)
        connection.execute("PRAGMA foreign_keys=ON")
    except sqlite3.Error as error:
        raise OperationalError("opening the database", None, error) from error


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch a fresh database to WAL, for which it is needed alone for a moment."""
    deadline = time.monotonic() + 2
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _emit_begin(connection: Connection) -> None:
    synchronous = connection.get_execution_options().get("shop_write")
    # A reader is refused only for the moments in which another process opens the database after
    # a crash: that is worth waiting for in place. A writer's wait is `_begin`'s.
    # Past SQLAlchemy, which would take ten times as long for these as SQLite does.
    sqlite = connection.connection.driver_connection
    if sqlite is None:
        raise RuntimeError("a transaction begins on a connection that is closed")
    sqlite.execute(f"PRAGMA busy_timeout={0 if synchronous else READ_WAIT}")
    if synchronous:
        sqlite.execute(f"PRAGMA synchronous={synchronous}")
        sqlite.execute("BEGIN IMMEDIATE")
    else:
        sqlite.execute("BEGIN")


class CommitWatch:
    """Notices that anybody, in this process or another, committed something.

    `PRAGMA data_version` costs microseconds and changes when another connection commits;
    so this watch keeps a connection of its own, on which nothing is ever written.
    See https://www.sqlite.org/pragma.html#pragma_data_version
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._seen: int | None = None
        self._opened = database.opened

    def happened(self) -> bool:
        """Tell whether there was a commit since the last call; the first call says yes.

        Raises:
            OperationalError: the database is away. The next call after its return says yes.
        """
        try:
            self._database.check_in_place()
            if self._opened != self._database.opened:  # another file stands there now
                self.close()
                self._opened = self._database.opened
            version = self._read()
        except OperationalError:
            self.close()
            raise
        except sqlite3.Error as error:
            self.close()
            raise OperationalError("PRAGMA data_version", None, error) from error
        happened, self._seen = version != self._seen, version
        return happened

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._seen = None

    def _read(self) -> int:
        if self._connection is None:
            # mode=rw: a database that was taken away must not come back as an empty file.
            name = f"file:{quote(str(self._database.url.database))}?mode=rw"
            self._connection = sqlite3.connect(
                name,
                uri=True,
                timeout=READ_WAIT / 1000,
                isolation_level=None,
                check_same_thread=False,
            )
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version
