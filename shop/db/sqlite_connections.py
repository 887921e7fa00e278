"""Connections to a file of SQLite's: opened in WAL, and begun without waiting inside."""

from __future__ import annotations

import sqlite3
import time
from typing import Any
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import OperationalError

#: How long a reader waits in place, in milliseconds; nearly never needed.
READ_WAIT = 100

#: A reader is refused only for the moments in which another process opens the database after a
#: crash: that is worth waiting for in place. A writer's wait is `sqlite._begin`'s.
PATIENT = f"PRAGMA busy_timeout={READ_WAIT}"
IMPATIENT = "PRAGMA busy_timeout=0"

#: Takes the write lock, or is refused at once.
BEGIN = "BEGIN IMMEDIATE"

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


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether SQLite refused for now, as another connection holds a lock."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def writing_engine(url: URL) -> Engine:
    """Make what connects to a file that is written; it is created where none is."""
    # timeout=0: never SQLite's own waiting, see `sqlite`. Connections move between greenlets,
    # one at a time, which the pool sees to.
    options: dict[str, Any] = {"timeout": 0, "check_same_thread": False}
    engine = create_engine(
        url, connect_args=options, pool_size=5, max_overflow=45, hide_parameters=True
    )
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _emit_begin)
    return engine


def reading_engine(url: URL) -> Engine:
    """Make what connects to a file that is only read."""
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
    mode = connection.get_execution_options().get("shop_write")
    # Past SQLAlchemy, which would take ten times as long for these as SQLite does.
    sqlite = connection.connection.driver_connection
    if sqlite is None:
        raise RuntimeError("a transaction begins on a connection that is closed")
    if mode:
        for statement in (IMPATIENT, synchronous(mode), BEGIN):
            sqlite.execute(statement)
    else:
        sqlite.execute(PATIENT)
        sqlite.execute("BEGIN")


def synchronous(mode: str) -> str:
    """Return what has writes outlast a power cut ("FULL"), or be quicker ("NORMAL")."""
    return f"PRAGMA synchronous={mode}"
