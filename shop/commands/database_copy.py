"""A shop's data copied from one database into an empty one: all of it or nothing, and compared.

The rows are copied in batches, so that memory is bounded whatever their number, in one
transaction of the target. Before it is committed, every row is read again on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, LargeBinary, Row, Table, func, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError, StatementError

import shop.models  # noqa: F401  (the tables)
from shop.db import Base, Database
from shop.versions import carry_over

#: How many rows are copied at a time, and how many of a table with files in it, which have up to
#: 30 MB each.
BATCH = 1000
BATCH_OF_FILES = 2

#: How much of a row's key is shown where it is refused: a cart's whole id is its visitor's secret.
_SHOWN = 12

#: Told of each batch how many rows it had.
Progress = Callable[[int], None]

#: For each table how many rows it has, and a sum over what is in them.
Contents = dict[str, tuple[int, int]]


class NotEmpty(Exception):
    """The target holds rows. Nothing was changed."""


class RowRefused(Exception):
    """The target can't take a row, named by the message. Nothing was changed."""


class Different(Exception):
    """A table, named by the message, is not the same in both. Nothing was changed."""


def tables() -> list[Table]:
    """Return all tables of the shop, each after those that its rows refer to.

    What only tells of the moment is left out.
    """
    return [t for t in Base.metadata.sorted_tables if not t.info.get("of_the_moment")]


def count_rows(database: Connection) -> int:
    """Return how many rows there are to be copied."""
    return sum(_count(database, table) for table in tables())


def check_empty(database: Connection) -> None:
    """See to it that there is nothing yet in any of the shop's tables that are there.

    Raises:
        NotEmpty: the message says what there is.
    """
    there = inspect(database).get_table_names()
    counts = {t.name: _count(database, t) for t in tables() if t.name in there}
    if any(counts.values()):
        raise NotEmpty(", ".join(f"{name}: {n:,}" for name, n in counts.items() if n))


def take_time(database: Connection) -> None:
    """Lift the limits of time that requests are under, until this transaction's end."""
    if database.dialect.name == "postgresql":
        database.execute(text("SET LOCAL statement_timeout = 0"))
        database.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def copy(source: Connection, target: Database, progress: Progress) -> dict[str, int]:
    """Copy all rows into a database that has the tables and nothing in them; compare; commit.

    Args:
        source: in a transaction that reads one state, with time; see `take_time`.
        progress: told of each row three times: copied, and then read again on either side.

    Returns:
        For each table how many rows it has.

    Raises:
        NotEmpty, RowRefused, Different: nothing was changed.
        DatabaseBusy: somebody else works on the target.
    """

    def work(into: Connection) -> dict[str, int]:
        take_time(into)
        _keep_others_out(into)
        check_empty(into)
        for table in tables():
            _carry(source, into, table, progress)
        counts = _compare(contents(source, progress), contents(into, progress))
        _number_on(into)
        carry_over(source, into)
        return counts

    return target.load(work)


def contents(database: Connection, progress: Progress) -> Contents:
    """Return what is in a database, to be compared with what is in another one, of any kind."""
    return {table.name: _contents(database, table, progress) for table in tables()}


def _count(database: Connection, table: Table) -> int:
    return database.scalar(select(func.count()).select_from(table)) or 0


def _keep_others_out(target: Connection) -> None:
    """Let nobody else write until this transaction's end. In SQLite nobody can anyway."""
    if target.dialect.name == "postgresql":
        names = ", ".join(table.name for table in tables())
        target.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))


def _carry(source: Connection, target: Connection, table: Table, progress: Progress) -> None:
    for batch in _batches(source, table):
        _insert(target, table, [row._asdict() for row in batch])
        progress(len(batch))


def _batches(database: Connection, table: Table) -> Iterable[Any]:
    files = any(isinstance(column.type, LargeBinary) for column in table.columns)
    options = {"yield_per": BATCH_OF_FILES if files else BATCH}
    return database.execute(select(table), execution_options=options).partitions()


def _insert(target: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or say which of them is refused.

    Raises:
        RowRefused: the first one that the target doesn't take.
    """
    try:
        with target.begin_nested():
            target.execute(insert(table), rows)
    except (StatementError, UnicodeError) as error:
        if _is_away(error):
            raise
        if len(rows) == 1:
            raise RowRefused(f"{_named(table, rows[0])}: {_reason(error)}") from error
        for row in rows:
            _insert(target, table, [row])
        raise  # each was taken alone: so it is no row's fault


def _is_away(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _named(table: Table, row: dict[str, Any]) -> str:
    keys = (str(row[column.name]) for column in table.primary_key)
    short = (key if len(key) <= _SHOWN else f"{key[:_SHOWN]}…" for key in keys)
    return f"{table.name}, row {', '.join(short)}".encode(errors="replace").decode()


def _reason(error: Exception) -> str:
    """Return what a database has against a row, without what is in the row."""
    if isinstance(error, UnicodeError):
        return "a text in it is not UTF-8"
    original = error.orig if isinstance(error, StatementError) else error
    said = getattr(getattr(original, "diag", None), "message_primary", None) or str(original)
    return str(said).partition("\n")[0]


def _contents(database: Connection, table: Table, progress: Progress) -> tuple[int, int]:
    """Count a table's rows and add up their digests: rows have no order that databases share."""
    count = total = 0
    for batch in _batches(database, table):
        count += len(batch)
        total += sum(map(_digest, batch))
        progress(len(batch))
    return count, total % 2**128


def _digest(row: Row[Any]) -> int:
    # A file stands there by a digest of its own: written out, it would be four times as long.
    values = [_digest_of(v) if isinstance(v, bytes) else v for v in row]
    said = repr(tuple(values)).encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(said, digest_size=16).digest(), "big")


def _digest_of(file: bytes) -> bytes:
    return blake2b(file, digest_size=16).digest()


def _compare(source: Contents, target: Contents) -> dict[str, int]:
    for name, contents in source.items():
        if contents != target[name]:
            raise Different(f"{name} (rows: {contents[0]:,} and {target[name][0]:,})")
    return {name: rows for name, (rows, _) in target.items()}


def _number_on(target: Connection) -> None:
    """Have new rows numbered behind the copied ones. SQLite goes on from the largest by itself."""
    if target.dialect.name != "postgresql":
        return
    for table in tables():
        if (column := table.autoincrement_column) is not None:
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            next_one = func.greatest(func.max(column), 0) + 1
            target.execute(select(func.setval(sequence, next_one, False)))
