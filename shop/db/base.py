"""What every database of the shop can do, whichever it is."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Executable, Select, bindparam, text
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session

from shop.db.transaction import Transaction, Values, statements_in

#: How long a writer waits for what others hold, in seconds, before it gives up.
WRITE_WAIT = 15.0

#: How many rows are read at a time of what may have any number of them.
PAGE = 1000

T = TypeVar("T")

#: What a transaction comes to: its result, and the names that were noted.
Done = tuple[T, frozenset[str]]

_NOTHING: frozenset[str] = frozenset()

_PING = text("SELECT 1 FROM products LIMIT 1")


class Base(DeclarativeBase):
    """What all tables derive from."""


class DatabaseBusy(Exception):
    """What others hold was not to be had in time. Nothing was changed."""


class DatabaseReadOnly(DatabaseBusy):
    """The database answers, but takes no changes at present. Nothing was changed."""


class CommitWatch(Protocol):
    """Tells whether it is worth looking at the database again."""

    def happened(self) -> bool:
        """Tell whether there may have been a commit since the last call; the first says yes.

        Raises:
            OperationalError: the database is away. The next call after its return says yes.
        """

    def mark(self) -> None:
        """Have the next call say yes: somebody says that there was a commit."""

    def close(self) -> None:
        """Let go of what the watch holds; the next call says yes."""


class Database(ABC):
    """One database: read what is true, write in short transactions."""

    engine: Engine

    #: how often another process's commits are to be looked for, in seconds, if nobody tells
    poll: float

    #: by how many seconds a commit may come later than the version that it drew
    overlap: float

    def __init__(self, url: URL, writers: int) -> None:
        """Take the address, and how many may write at once; more than that wait for their turn.

        Who writes holds a connection and may wait on it for what others hold: those beyond wait
        without one, so that connections are left to those who only read.
        """
        self.url = url
        self._writers = threading.BoundedSemaphore(writers)
        #: counts the databases that stood at this address since this process knows it
        self.opened = 1
        #: called after each commit with the names that were noted in it
        self.on_commit: Callable[[frozenset[str]], None] = lambda names: None

    @property
    def shown_url(self) -> str:
        """The address as it may be shown: without a password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that reads one consistent state. It must not outlive a request."""
        with self._connected() as connection, Session(connection, autoflush=False) as session:
            yield session

    @abstractmethod
    def rows(self, question: Executable, values: Values | None = None) -> Sequence[Any]:
        """Ask one question and return all that is answered.

        Raises:
            DatabaseBusy, DBAPIError: there is no answer.
        """

    def pages(
        self, question: Select[*tuple[Any, ...]], key: InstrumentedAttribute[int]
    ) -> Iterator[Any]:
        """Ask one question page by page, each of `PAGE` rows at most and a question by itself.

        So nothing is held between two pages, however long whoever takes them is busy with one.

        Args:
            key: the column that rows are numbered by; it is among what is asked for.
        """
        page = question.where(key > bindparam("after")).order_by(key).limit(PAGE)
        rows = self.rows(page, {"after": -1})
        while rows:
            yield rows
            rows = self.rows(page, {"after": getattr(rows[-1], key.key)})

    def transact(
        self,
        work: Callable[[Transaction], T],
        *,
        durable: bool = True,
        timeout: float = WRITE_WAIT,
    ) -> T:
        """Run `work(transaction)`, commit, then announce what was noted in it: the way to write.

        `work` must wait for nothing but the database. It may be called several times, each in a
        transaction of its own of which the earlier ones were rolled back. An exception of its own
        rolls everything back.

        Args:
            durable: whether what was committed must survive a power cut. A crash of the process
                it survives anyway.
            timeout: how long to wait for what others hold, in seconds.

        Returns:
            What `work` returned.

        Raises:
            DatabaseBusy: others held what was needed for longer than that. Nothing was changed.
            DatabaseReadOnly: it takes no changes.
            OperationalError: the database is away.
        """
        return self._in_turn(lambda until: self._transact_by(until, work, durable), timeout)

    def load(self, work: Callable[[Connection], T]) -> T:
        """Run `work(connection)` in one transaction: for whole tables that are copied."""

        def do(deadline: float) -> Done[T]:
            return self._write_by(deadline, lambda connection: (work(connection), _NOTHING), True)

        return self._in_turn(do, WRITE_WAIT)

    def _in_turn(self, do: Callable[[float], Done[T]], timeout: float) -> T:
        """Do a transaction when it is its turn, and announce what was noted in it."""
        self.check_in_place()
        deadline = time.monotonic() + timeout
        if not self._writers.acquire(timeout=timeout):
            raise DatabaseBusy("too many writers wait")
        try:
            result, noted = do(deadline)
        finally:
            self._writers.release()
        self.on_commit(noted)
        return result

    @abstractmethod
    def _write_by(
        self, deadline: float, work: Callable[[Connection], Done[T]], durable: bool
    ) -> Done[T]:
        """Work in one transaction and commit, waiting for nothing beyond the deadline."""

    def _transact_by(
        self, deadline: float, work: Callable[[Transaction], T], durable: bool
    ) -> Done[T]:
        """Do the same by statements alone."""
        return self._write_by(deadline, partial(statements_in, work=work), durable)

    def check_in_place(self) -> None:
        """See to it that the open connections are to the database that is there now.

        Raises:
            OperationalError: there is none.
        """
        return

    def relay_changed(self, up: bool) -> None:
        """Note whether others' commits are announced to this process at present."""
        return

    @abstractmethod
    def watch(self) -> CommitWatch:
        """Return a new watch for commits, for one user of it."""

    def ping(self) -> None:
        """Ask the database for something, raising what it raises when it does not answer."""
        self.check_in_place()
        self.rows(_PING)

    @abstractmethod
    def in_use(self) -> bool:
        """Tell whether a process that serves the shop, or a command, visibly has it open.

        To be asked before this process reads from it. A no is no promise.
        """

    @abstractmethod
    def close(self) -> None:
        """Let the database go."""

    @abstractmethod
    def _connected(self) -> Any:
        """Give a connection, in a context, that reads one consistent state."""
