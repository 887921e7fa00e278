"""The database: short transactions on SQLite or PostgreSQL, each with its particulars."""

from __future__ import annotations

from sqlalchemy.engine import URL

from shop.db.base import (
    WRITE_WAIT,
    Base,
    CommitWatch,
    Database,
    DatabaseBusy,
    DatabaseReadOnly,
)
from shop.db.sqlite import SQLite
from shop.db.transaction import Transaction

__all__ = [
    "WRITE_WAIT",
    "Base",
    "CommitWatch",
    "Database",
    "DatabaseBusy",
    "DatabaseReadOnly",
    "Transaction",
    "open_database",
]


def open_database(url: URL, *, read_only: bool = False) -> Database:
    """Return the database at an address. Nothing is connected to before it is needed.

    Args:
        read_only: whether it is only read. A file is then not created, nor is it changed by
            being opened and closed.
    """
    if url.get_backend_name() == "sqlite":
        return SQLite(url, read_only=read_only)
    from shop.db.postgresql import PostgreSQL  # with its driver and gevent

    return PostgreSQL(url)
