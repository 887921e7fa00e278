"""What is particular to SQLite.

Its calls never yield to other greenlets. So a write transaction takes the write lock up front
(BEGIN IMMEDIATE), makes no cooperative call inside, and a busy database is waited for out here,
by sleeping (cooperatively under gevent), never by SQLite's own busy timeout, which would stop
every tab of the process.
"""

from __future__ import annotations

import fcntl
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Executable
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from shop.db.base import Database, DatabaseBusy, Done
from shop.db.commits import DataVersion
from shop.db.driver import OnDriver, Pooled, execute
from shop.db.sqlite_connections import (
    BEGIN,
    IMPATIENT,
    PATIENT,
    READ_WAIT,
    is_busy,
    reading_engine,
    synchronous,
    writing_engine,
)
from shop.db.transaction import Transaction, Values

#: Where SQLite's locks lie in a file, for programs of all kinds to see. See
#: https://www.sqlite.org/lockingv3.html and `SHARED_FIRST` in SQLite's source, src/os.h.
_SHARED_FIRST, _SHARED_SIZE = 0x4000_0002, 510

#: What SQLite says of a file that can't be written at present, by its primary result codes.
_UNFIT = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)

T = TypeVar("T")


class SQLite(Database):
    """A file in SQLite, which processes of one machine share."""

    poll = 0.03
    overlap = 0.0  # one writer at a time: versions are committed in the order they are drawn

    def __init__(self, url: URL, *, read_only: bool = False) -> None:
        super().__init__(url, writers=1)
        self.engine = reading_engine(url) if read_only else writing_engine(url)
        self._readers = Pooled(self.engine, PATIENT)
        #: by whether what they write outlasts a power cut
        self._writing = {
            durable: Pooled(self.engine, IMPATIENT, synchronous(_mode(durable)))
            for durable in (True, False)
        }
        self._read_only = read_only
        self._path = str(url.database)
        self._inode: int | None = None

    def rows(self, question: Executable, values: Values | None = None) -> Sequence[Any]:
        """Ask one question; see `Database.rows`."""
        with self._readers.pooled() as connection:  # one question sees one state, by itself
            return execute(connection, question, values)

    def _write_by(
        self, deadline: float, work: Callable[[Connection], Done[T]], durable: bool
    ) -> Done[T]:
        """Work in one transaction; see `Database`.

        All waiting is for the write lock, before `work` starts: it is called once.
        """
        write = {"shop_write": _mode(durable)}
        with self._unfit_let_go(), self.engine.connect().execution_options(**write) as connection:
            _begin(connection.begin, deadline)
            done = work(connection)
            connection.commit()
            return done

    def _transact_by(
        self, deadline: float, work: Callable[[Transaction], T], durable: bool
    ) -> Done[T]:
        """Work in one transaction past SQLAlchemy's connection; see `_write_by`."""
        with self._unfit_let_go(), self._writing[durable].pooled() as connection:
            _begin(partial(connection.execute, BEGIN), deadline)
            transaction = OnDriver(connection)
            result = work(transaction)
            connection.execute("COMMIT")
            return result, frozenset(transaction.noted)

    @contextmanager
    def _unfit_let_go(self) -> Iterator[None]:
        """Let go of connections when the file could not be written: they may not heal with it.

        One that was opened while it could only be read stays so.
        """
        try:
            yield
        except DBAPIError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _UNFIT:
                self._let_go()
            raise

    def watch(self) -> DataVersion:
        return DataVersion(self, READ_WAIT)

    def check_in_place(self) -> None:
        """See to it that the open connections are to the file that stands there now.

        A file that was deleted stays alive for those who have it open: what is written to it
        then is lost with them.

        Raises:
            OperationalError: there is no file.
        """
        try:
            inode = os.stat(self._path).st_ino  # noqa: PTH116  (for each page, at half the time)
        except OSError as error:
            raise OperationalError("opening the database", None, error) from error
        if self._inode not in (None, inode):
            self._let_go()
            self.opened += 1
        self._inode = inode

    def in_use(self) -> bool:
        # SQLite locks these bytes shared for as long as a connection to a file in WAL is open.
        # What this process has locked itself would be let go by closing the file.
        with suppress(PermissionError), open(self._path, "rb+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
            except BlockingIOError:
                return True
        return False

    def close(self) -> None:
        """Put everything into the one file, as far as nobody else uses it, and let it go."""
        self._let_go_idle()
        if not self._read_only:
            self._put_into_one_file()
        self.engine.dispose()

    def _let_go(self) -> None:
        self._let_go_idle()
        self.engine.dispose()

    def _let_go_idle(self) -> None:
        for pooled in (self._readers, *self._writing.values()):
            pooled.let_go()

    def _put_into_one_file(self) -> None:
        with suppress(DatabaseError), self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            if raw is not None:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            yield connection


def _mode(durable: bool) -> str:
    return "FULL" if durable else "NORMAL"


def _begin(begin: Callable[[], object], deadline: float) -> None:
    while True:
        try:
            begin()
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise OperationalError("BEGIN IMMEDIATE", None, error) from error
            if time.monotonic() > deadline:
                raise DatabaseBusy("another process holds the write lock") from error
        time.sleep(random.uniform(0.004, 0.016))
