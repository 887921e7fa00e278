"""Which of two is newer: the one place that says so.

What a page shows of a cart or a product carries a number, its version, and nothing takes its
place that carries a smaller one. So the invariant is: **what is seen differently has a larger
number than all that anybody was shown of it before**, whichever process shows it, on whichever
machine, before or after a restart, a reset, or a backup that was put back. No clock is trusted.

1. Numbers are drawn from one counter of the database, in the transaction that makes the change
   (`advance`, `next_version`). Whoever changes what another one committed draws a larger number.
2. What is put together of several things has the newest of their numbers (`newest`).
3. Numbers are drawn a `STEP` apart. A process that sees something differently under the same
   number counts on between them (`succeed`): PostgreSQL may commit what drew first after what drew
   later, and an operator may write to a table by hand.
4. What is not in the database is as new as all that had been drawn when it was looked for
   (`as_of`).
5. A database that is opened may be older than what tabs show of it, or another one. So a process
   that is to show things first raises the counter above all that this machine has shown: that
   stands in a file beside the database (`Floor`). It is raised to the clock as well, for a machine
   that has lost that file; a clock that is wrong does no harm.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, column, select, table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from shop.db import Database, DatabaseBusy, Transaction

#: How far apart the numbers are that are drawn.
STEP = 1000

#: How far above the last number the file reaches, so that it is written once in a million changes.
RESERVE = 1_000_000 * STEP

#: Microseconds since 1970 above which a clock is not looked at: JavaScript counts to 9 * 10^15.
_LAST_CLOCK = 8 * 10**15

#: How long a process that starts waits to raise the counter, in seconds, until it does without.
_TIMEOUT = 0.5

#: Has the counter's one row, or is PostgreSQL's sequence, which reads like a table of one row.
NUMBERS = table("version_numbers", column("last_value", BigInteger))

#: The last number that was drawn, in a question.
LAST = NUMBERS.c.last_value


class next_version(FunctionElement[int]):
    """The version that a row's change gives it, in an UPDATE: of the row's `version` column.

    The transaction must have called `advance` before. That a row is always above itself is for
    numbers that the counter knows nothing of, such as an earlier release's.
    """

    type = BigInteger()
    inherit_cache = True


@compiles(next_version, "sqlite")
def _next_in_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    before = compiler.process(element.clauses, **options)
    return f"max({before} + 1, (SELECT last_value FROM version_numbers))"  # noqa: S608


@compiles(next_version, "postgresql")
def _next_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    # Drawn when the row is locked: whoever waited for it draws after who held it.
    before = compiler.process(element.clauses, **options)
    return f"greatest({before} + 1, nextval('version_numbers'))"


def advance(transaction: Transaction) -> None:
    """Draw a number for the changes of a transaction, which is to be called before each of them."""
    if transaction.dialect == "sqlite":  # PostgreSQL draws where the number is used
        transaction.execute(_ADVANCE)


def draw(transaction: Transaction) -> int:
    """Draw a number for the version of rows that are inserted."""
    ((number,),) = transaction.execute(_DRAW[transaction.dialect])
    return int(number)


def newest(*versions: int) -> int:
    """Return the version of what is put together of several things."""
    return max(versions)


def succeed(shown: int, version: int) -> int:
    """Return the version under which to show another state than the one shown last.

    Args:
        shown: what that one was shown under.
        version: what this one has by itself.
    """
    return max(version, shown + 1)


def as_of(last: int) -> int:
    """Return a version above all that was shown until a number was the last one drawn."""
    return last + STEP - 1


def last_number(database: Database) -> int:
    """Return the last number that was drawn."""
    ((last,),) = database.rows(_LAST)
    return int(last)


def carry_over(source: Connection, target: Connection) -> None:
    """Have a copy of a database go on counting where that one was."""
    target.execute(_LIFT[target.dialect.name], {"to": source.scalar(_LAST)})


class Floor:
    """Keeps a process from showing anything as older than what this machine has shown before."""

    def __init__(self, database: Database, file: Path) -> None:
        """Take a database, and the file that says up to where numbers may have been shown."""
        self._database = database
        self._file = file
        self._floor = 0
        self._reserved = 0

    def raise_counter(self) -> int:
        """Raise the counter of a database that was just opened above all that was shown.

        Returns:
            A number that nothing is to be shown below.
        """
        self._floor = max(self._read(), _clock())
        self._raise()
        self._floor = max(self._floor, last_number(self._database))
        self.note(self._floor)
        return self._floor

    def note(self, last: int) -> None:
        """Note that numbers are shown up to this one. Mostly that was foreseen.

        A counter that could not be raised when the database was opened is raised now.
        """
        if last < self._floor:
            self._raise()
        if last <= self._reserved - RESERVE // 2:
            return
        self._reserved = last + RESERVE
        with suppress(OSError), self._locked() as file:
            if _number_in(file) < self._reserved:
                os.pwrite(file, b"%019d\n" % self._reserved, 0)

    def _raise(self) -> None:
        with suppress(DatabaseBusy, DBAPIError):  # busy or read-only for now: there is time
            self._database.transact(
                lambda transaction: _lift(transaction, self._floor),
                durable=False,
                timeout=_TIMEOUT,
            )

    def _read(self) -> int:
        with suppress(OSError), self._locked() as file:
            return _number_in(file)
        return 0

    @contextmanager
    def _locked(self) -> Iterator[int]:
        file = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


class Horizon:
    """From which number on to look for what other processes committed."""

    def __init__(self, overlap: float) -> None:
        """Take by how many seconds a number may be committed later than it was drawn."""
        self._overlap = overlap
        #: what was the last number at some moments of the monotonic clock
        self._seen: deque[tuple[float, int]] = deque()

    @property
    def since(self) -> int | None:
        """All that wasn't looked for yet has a larger number; None: nothing was looked for."""
        return self._seen[0][1] if self._seen else None

    def reached(self, last: int) -> None:
        """Note that everything was looked for that is committed, with this as the last number."""
        now = time.monotonic()
        self._seen.append((now, last))
        while len(self._seen) > 1 and self._seen[1][0] <= now - self._overlap:
            self._seen.popleft()

    def forget(self) -> None:
        """Note that nobody looks any more."""
        self._seen.clear()


def _clock() -> int:
    """Return the wall clock in microseconds since 1970; nothing if it is far from the truth."""
    now = time.time_ns() // 1000
    return now if now < _LAST_CLOCK else 0


def _lift(transaction: Transaction, to: int) -> None:
    if transaction.dialect == "postgresql":  # several servers start at once
        transaction.execute(_ALONE)
    transaction.execute(_LIFT[transaction.dialect], {"to": to})


def _number_in(file: int) -> int:
    found = os.pread(file, 32, 0).strip()
    return int(found) if found.isdigit() else 0


# Made once: making a statement takes longer than running it.
_LAST: Select[tuple[int]] = select(LAST)
_ADVANCE = text(f"UPDATE version_numbers SET last_value = last_value + {STEP}")  # noqa: S608
_DRAW = {
    "sqlite": text(f"{_ADVANCE.text} RETURNING last_value"),
    "postgresql": text("SELECT nextval('version_numbers')"),
}
#: Draws a number that is at least `to`.
_LIFT = {
    "sqlite": text(f"UPDATE version_numbers SET last_value = max(last_value + {STEP}, :to)"),  # noqa: S608
    "postgresql": text(
        f"SELECT setval('version_numbers', greatest(last_value + {STEP}, :to)) FROM version_numbers"  # noqa: S608
    ),
}
_ALONE = text("SELECT pg_advisory_xact_lock(1409875970)")  # any number, but always this one
