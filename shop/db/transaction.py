"""What is done in a transaction, and what it changes: by statements, or with the ORM's objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Executable
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

T = TypeVar("T")

#: Values of a statement, by the names of its parameters: numbers, texts, and lists for an IN.
Values = Mapping[str, Any]

_NOTED = "shop.noted"


class Transaction(ABC):
    """A transaction that has begun, for those who need no objects of its rows."""

    #: what kind of database it is on, in SQLAlchemy's words
    dialect: str

    def __init__(self, noted: set[str] | None = None) -> None:
        #: names of what is changed, which are announced once it is committed
        self.noted = set() if noted is None else noted

    @abstractmethod
    def execute(self, statement: Executable, values: Values | None = None) -> Sequence[Any]:
        """Execute a statement and return the rows that it answers with."""

    @abstractmethod
    def execute_each(self, statement: Executable, rows: Sequence[Values]) -> None:
        """Execute a statement with each of these values; there is at least one."""

    def note(self, name: str) -> None:
        """Note that what has this name is changed: announced once it is committed."""
        self.noted.add(name)


class Statements(Transaction):
    """A transaction on one of SQLAlchemy's connections."""

    def __init__(self, connection: Connection, noted: set[str] | None = None) -> None:
        super().__init__(noted)
        self.dialect = connection.dialect.name
        self._connection = connection

    def execute(self, statement: Executable, values: Values | None = None) -> Sequence[Any]:
        """Execute a statement; see `Transaction`."""
        result = self._connection.execute(statement, values)
        return result.all() if result.returns_rows else ()

    def execute_each(self, statement: Executable, rows: Sequence[Values]) -> None:
        """Execute a statement with each of these values; see `Transaction`."""
        # Nearly always it is one, for which drivers have a cheaper way.
        self._connection.execute(statement, rows if len(rows) > 1 else rows[0])


def statements_in(
    connection: Connection, work: Callable[[Transaction], T]
) -> tuple[T, frozenset[str]]:
    """Do the work of a transaction that has begun; return its result, and the names noted."""
    transaction = Statements(connection)
    return work(transaction), frozenset(transaction.noted)


def work_in(connection: Connection, work: Callable[[Session], T]) -> tuple[T, frozenset[str]]:
    """Do the work of a transaction that has begun, with objects; see `statements_in`."""
    with Session(connection, expire_on_commit=False) as session:
        result = work(session)
        session.flush()
        noted = frozenset(session.info.get(_NOTED, ()))
        session.expunge_all()
        return result, noted


def transaction_of(session: Session) -> Transaction:
    """Return the transaction that a session is in."""
    return Statements(session.connection(), session.info.setdefault(_NOTED, set()))


def note(session: Session, name: str) -> None:
    """Note that what has this name is changed by the transaction: announced once committed."""
    session.info.setdefault(_NOTED, set()).add(name)
