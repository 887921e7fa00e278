"""SQLite's own driver, for what shoppers do: statements compiled once, connections kept at hand.

To execute a statement by SQLAlchemy's connection takes ten times as long as SQLite needs for it,
and a shopper's action executes half a dozen. SQLAlchemy still writes the SQL, says what types the
rows are of, and opens the connections.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import ClauseElement, Executable, PoolProxiedConnection
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

from shop.db.transaction import Transaction, Values

#: How many statements are kept, of some thirty that the shop has.
_CACHE_SIZE = 256

_DIALECT = sqlite_dialect(paramstyle="named")

#: Stands for what is given with each call.
_GIVEN = object()

#: How many connections are kept at hand; the pool has the others, for those who come by it.
_MOST_IDLE = 4


class Prepared:
    """A statement, its text, and how its rows are read."""

    def __init__(self, statement: Executable, shape: tuple[tuple[str, int | None], ...]) -> None:
        """Compile a statement.

        Args:
            shape: the names of its values; for each list how many are in it.
        """
        given = {name: _GIVEN if size is None else [_GIVEN] * size for name, size in shape}
        text = cast(ClauseElement, statement)
        compiled = cast(SQLCompiler, text.compile(dialect=_DIALECT, column_keys=[*given]))
        expanded = compiled.construct_expanded_state(given)
        self._sql = expanded.statement
        #: what stands in the statement itself
        self._own = {k: v for k, v in expanded.parameters.items() if v is not _GIVEN}
        self._reads = _reads(statement)
        self._row: Callable[[Sequence[Any]], Any] | None = None

    def execute(self, connection: sqlite3.Connection, values: Values) -> list[Any]:
        """Execute it, and return the rows that it answers with."""
        cursor = connection.execute(self._sql, {**self._own, **values})
        if cursor.description is None:
            return []
        if self._row is None:
            self._row = _row_type([column[0] for column in cursor.description])._make
        if not self._reads:
            return [self._row(row) for row in cursor]
        return [self._row(self._read(row)) for row in cursor]

    def execute_each(self, connection: sqlite3.Connection, rows: Sequence[Values]) -> None:
        """Execute it with each of these values, of the same names all."""
        own = self._own
        connection.executemany(self._sql, [{**own, **values} for values in rows] if own else rows)

    def _read(self, row: Sequence[Any]) -> list[Any]:
        read = list(row)
        for position, convert in self._reads:
            read[position] = convert(read[position])
        return read


def _row_type(names: list[str]) -> Any:
    kind: Any = namedtuple  # by names that only the statement knows
    return kind("Row", names, rename=True)


def _reads(statement: Executable) -> list[tuple[int, Callable[[Any], Any]]]:
    """Return the columns whose values the driver gives otherwise than they are, and the way."""
    columns = enumerate(getattr(statement, "exported_columns", ()))
    ways = (
        (at, column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None))
        for at, column in columns
    )
    return [(at, way) for at, way in ways if way is not None]


_prepare = lru_cache(maxsize=_CACHE_SIZE)(Prepared)


def execute(
    connection: sqlite3.Connection, statement: Executable, values: Values | None = None
) -> list[Any]:
    """Execute a statement on a connection and return the rows that it answers with.

    It is kept: statements are to be made once, with parameters, and not for each call.

    Raises:
        sqlite3.Error.
    """
    given = dict(values or {})
    shape: list[tuple[str, int | None]] = []
    for name, value in (values or {}).items():
        if isinstance(value, list):
            del given[name]
            padded = _padded(value)
            given.update((f"{name}_{n}", each) for n, each in enumerate(padded, 1))
            shape.append((name, len(padded)))
        else:
            shape.append((name, None))
    return _prepare(statement, tuple(shape)).execute(connection, given)


def _padded(values: list[Any]) -> list[Any]:
    """Fill a list up to one of few lengths: not for every number of values another statement."""
    length = 1 << (len(values) - 1).bit_length() if values else 0
    return values + values[-1:] * (length - len(values))


class OnDriver(Transaction):
    """A transaction on a connection of the driver."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self._connection = connection

    def execute(self, statement: Executable, values: Values | None = None) -> Sequence[Any]:
        """Execute a statement; see `Transaction`."""
        return execute(self._connection, statement, values)

    def execute_each(self, statement: Executable, rows: Sequence[Values]) -> None:
        """Execute a statement with each of these values; see `Transaction`."""
        shape = tuple((name, None) for name in rows[0])
        _prepare(statement, shape).execute_each(self._connection, rows)


class Pooled:
    """The engine's connections as the driver knows them, a few of them idle for the next user.

    To have the engine's pool hand one out, and take it back, takes longer than most questions.
    """

    def __init__(self, engine: Engine, *prepare: str) -> None:
        """Take an engine, and what is executed once on a connection before it is handed out."""
        self._engine = engine
        self._prepare = prepare
        self._idle: list[PoolProxiedConnection] = []
        #: counts how often all were let go; one that is in use meanwhile does not come back
        self._round = 0

    @contextmanager
    def pooled(self) -> Iterator[sqlite3.Connection]:
        """Hand out a connection. What isn't committed is rolled back; errors are SQLAlchemy's."""
        began = self._round
        try:
            pooled = self._taken()
            connection = cast(sqlite3.Connection, pooled.driver_connection)
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.rollback()
                if began == self._round and len(self._idle) < _MOST_IDLE:
                    self._idle.append(pooled)
                else:
                    pooled.close()
        except sqlite3.Error as error:
            raise _as_dbapi_error(error) from error

    def _taken(self) -> PoolProxiedConnection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._opened()

    def _opened(self) -> PoolProxiedConnection:
        pooled = self._engine.raw_connection()
        for statement in self._prepare:
            cast(sqlite3.Connection, pooled.driver_connection).execute(statement)
        return pooled

    def let_go(self) -> None:
        """Give back all that are idle; those in use follow."""
        self._round += 1
        idle, self._idle = self._idle, []
        for pooled in idle:
            pooled.close()


def _as_dbapi_error(error: sqlite3.Error) -> BaseException:
    """Return an error of the driver as one of SQLAlchemy's, which all others here are."""
    return DBAPIError.instance(None, None, error, sqlite3.Error, hide_parameters=True)
