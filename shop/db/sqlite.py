"""What is particular to SQLite.

Its calls never yield to other greenlets. So a write transaction takes the write lock up front
(BEGIN IMMEDIATE), makes no cooperative call inside, and a busy database is waited for out here,
by sleeping (cooperatively under gevent), never by SQLite's own busy timeout, which would stop
every tab of the process.
"""

from __future__ import annotations

import fcntl
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Executable, create_engine, event, text
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from shop.db.base import Database, DatabaseBusy, Done
from shop.db.commits import DataVersion
from shop.db.driver import OnDriver, Pooled, execute
from shop.db.transaction import Transaction, Values

#: How long a reader waits in place, in milliseconds; nearly never needed.
READ_WAIT = 100

#: A reader is refused only for the moments in which another process opens the database after a
#: crash: that is worth waiting for in place. A writer's wait is `_begin`'s.
_PATIENT = f"PRAGMA busy_timeout={READ_WAIT}"
_IMPATIENT = "PRAGMA busy_timeout=0"

#: Where SQLite's locks lie in a file, for programs of all kinds to see. See
#: https://www.sqlite.org/lockingv3.html and `SHARED_FIRST` in SQLite's source, src/os.h.
_SHARED_FIRST, _SHARED_SIZE = 0x4000_0002, 510

#: Made once, as `execute` keeps what it is given.
_PING = text("SELECT 1 FROM products LIMIT 1")

#: What keeps tabs and buyers from waiting for each other needs memory that processes share by a
#: file: https://www.sqlite.org/wal.html, "All processes using a database must be on the same host".
_NO_WAL = (
    "SQLite can't keep a write-ahead log on this file system, as on most network file systems: "
    "put the database on a disk of this machine, or use PostgreSQL"
)

_NO_SHARED_MEMORY = (
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMLOCK,
    sqlite3.SQLITE_IOERR_SHMMAP,
    sqlite3.SQLITE_PROTOCOL,
)

#: What SQLite says of a file that can't be written at present, by its primary result codes.
_UNFIT = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)

T = TypeVar("T")


class SQLite(Database):
    """A file in SQLite, which processes of one machine share."""

    poll = 0.03
    overlap = 0.0  # one writer at a time: versions are committed in the order they are drawn

    def __init__(self, url: URL, *, read_only: bool = False) -> None:
        super().__init__(url, writers=1)
        self.engine = _reading_engine(url) if read_only else _engine(url)
        self._readers = Pooled(self.engine, _PATIENT)
        self._writer = Pooled(self.engine, _IMPATIENT)
        self._read_only = read_only
        self._file = Path(str(url.database))
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
        with self._unfit_let_go(), self._writer.pooled() as connection:
            _begin(partial(_begin_writing, connection, _mode(durable)), deadline)
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

    def ping(self) -> None:
        self.check_in_place()
        self.rows(_PING)

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
            self._let_go()
            self.opened += 1
        self._inode = inode

    def in_use(self) -> bool:
        # SQLite locks these bytes shared for as long as a connection to a file in WAL is open.
        # What this process has locked itself would be let go by closing the file.
        with suppress(PermissionError), self._file.open("rb+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
            except BlockingIOError:
                return True
        return False

    def close(self) -> None:
        """Put everything into the one file, as far as nobody else uses it, and let it go."""
        self._readers.let_go()
        self._writer.let_go()
        if not self._read_only:
            self._put_into_one_file()
        self.engine.dispose()

    def _let_go(self) -> None:
        self._readers.let_go()
        self._writer.let_go()
        self.engine.dispose()

    def _put_into_one_file(self) -> None:
        with suppress(DatabaseError), self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            if raw is not None:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            yield connection


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether SQLite refused for now, as another connection holds a lock."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


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


def _engine(url: URL) -> Engine:
    # timeout=0: never SQLite's own waiting, see above. Connections move between greenlets,
    # one at a time, which the pool sees to.
    options: dict[str, Any] = {"timeout": 0, "check_same_thread": False}
    engine = create_engine(
        url, connect_args=options, pool_size=5, max_overflow=45, hide_parameters=True
    )
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _emit_begin)
    return engine


def _reading_engine(url: URL) -> Engine:
    file = f"file:{quote(str(url.database))}"
    only_read = url.set(database=file, query={"mode": "ro", "uri": "true"})
    engine = create_engine(only_read, connect_args={"timeout": 0}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_reader)
    event.listen(engine, "begin", _emit_begin)
    return engine


def _prepare_reader(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # as below
    # A text that is no UTF-8 can be read all the same, so that who reads it can say where it is.
    connection.text_factory = lambda raw: str(raw, "utf-8", "surrogateescape")


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
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                raise sqlite3.NotSupportedError(_NO_WAL)
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1")  # needs the shared memory
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in _NO_SHARED_MEMORY:
                raise sqlite3.NotSupportedError(f"{_NO_WAL} (or it is full)") from error
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _emit_begin(connection: Connection) -> None:
    synchronous = connection.get_execution_options().get("shop_write")
    # Past SQLAlchemy, which would take ten times as long for these as SQLite does.
    sqlite = connection.connection.driver_connection
    if sqlite is None:
        raise RuntimeError("a transaction begins on a connection that is closed")
    if synchronous:
        sqlite.execute(_IMPATIENT)
        _begin_writing(sqlite, synchronous)
    else:
        sqlite.execute(_PATIENT)
        sqlite.execute("BEGIN")


def _begin_writing(connection: sqlite3.Connection, synchronous: str) -> None:
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("BEGIN IMMEDIATE")
