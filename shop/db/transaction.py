"""What is done in a transaction, and what it changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Executable
from sqlalchemy.engine import Connection

T = TypeVar("T")

#: Values of a statement, by the names of its parameters: numbers, texts, and lists for an IN.
Values = Mapping[str, Any]


class Transaction(ABC):
    """A transaction that has begun."""

    #: what kind of database it is on, in SQLAlchemy's words
    dialect: str

    def __init__(self) -> None:
        #: names of what is changed, which are announced once it is committed
        self.noted: set[str] = set()

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

    def __init__(self, connection: Connection) -> None:
        super().__init__()
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
