"""Transactions that meet at the worst moment: one has read, and not yet written, when others come.

Each of them is on a database of its own, as processes are. Where they meet is named by a function
that the shop calls in between, `shop.models.stock.advance`. With its guard a transaction keeps the
others waiting there, so that they are waited for only a while; without it they pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pkgutil import resolve_name
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Executable, Select, text, true
from sqlalchemy.engine import URL

from shop.db import Transaction, open_database
from shop.db.driver import OnDriver
from shop.db.sqlite import SQLite

Work = Callable[[Transaction], Any]


class Ended(NamedTuple):
    """What came of two transactions."""

    #: what each returned, or the exception that ended it
    first: Any
    second: Any
    #: whether the second was done before the first went on
    overtook: bool


class Contest:
    """Runs transactions against one another.

    Args:
        timeout: how long one waits for the others to come as far, in seconds.
    """

    def __init__(self, url: URL, monkeypatch: pytest.MonkeyPatch, timeout: float) -> None:
        self.database = open_database(url)
        self.timeout = timeout
        self._url = url
        self._monkeypatch = monkeypatch

    def overtake(self, point: str, first: Work, second: Work) -> Ended:
        """Let the second come when the first is about to call what the point names."""
        arrived, passed = threading.Event(), threading.Event()
        late: list[threading.Thread] = []
        overtaken: list[bool] = []

        def do_first(transaction: Transaction) -> Any:
            late.append(threading.current_thread())
            return first(transaction)

        def halt() -> None:
            if threading.current_thread() in late and not arrived.is_set():
                arrived.set()
                overtaken.append(passed.wait(self.timeout))

        self._call_before(point, halt)
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(self._transact, do_first)
            one.add_done_callback(lambda _: arrived.set())
            assert arrived.wait(60), "the first never came to the point"
            other = pool.submit(self._transact, second)
            other.add_done_callback(lambda _: passed.set())
            return Ended(_outcome(one), _outcome(other), overtaken == [True])

    def meet(self, point: str, works: Sequence[Work]) -> list[Any]:
        """Let all of them go on together when all are about to call what the point names.

        Returns:
            What each returned, or the exception that ended it.
        """
        barrier = threading.Barrier(len(works))

        def wait_for_all() -> None:
            with suppress(threading.BrokenBarrierError):
                barrier.wait(self.timeout)

        self._call_before(point, wait_for_all)
        with ThreadPoolExecutor(len(works)) as pool:
            return [_outcome(done) for done in [pool.submit(self._transact, w) for w in works]]

    def close(self) -> None:
        self.database.close()

    def _transact(self, work: Work) -> Any:
        with closing(open_database(self._url)) as database:
            return database.transact(work)

    def _call_before(self, point: str, halt: Callable[[], None]) -> None:
        called = resolve_name(point)

        def halting(*args: Any, **kwargs: Any) -> Any:
            halt()
            return called(*args, **kwargs)

        self._monkeypatch.setattr(point, halting)


def _outcome(done: Future[Any]) -> Any:
    return done.exception(60) or done.result()


def unlock(monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    """Have a statement, given by its module and name, read without locking what it reads."""
    locking: Executable = resolve_name(statement)
    if isinstance(locking, Select):
        unlocked = locking.where(true())
        unlocked._for_update_arg = None
        monkeypatch.setattr(statement, unlocked)
    else:
        monkeypatch.setattr(statement, text("SELECT 1"))


def let_many_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away that SQLite has one writer at a time: each statement is a transaction."""

    def write_by_statements(self: SQLite, _: float, work: Work, __: bool) -> Any:
        with self._writing[False].pooled() as connection:
            connection.execute("PRAGMA busy_timeout=20000")
            connection.execute("PRAGMA synchronous=OFF")
            transaction = OnDriver(connection)
            return work(transaction), frozenset(transaction.noted)

    monkeypatch.setattr(SQLite, "_transact_by", write_by_statements)
