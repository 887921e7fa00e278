"""The database: short transactions on SQLite or PostgreSQL, each with its manners."""

from __future__ import annotations

from sqlalchemy.engine import URL

from shop.db.base import WRITE_WAIT, Base, CommitWatch, Database, DatabaseBusy, note, now_ms
from shop.db.postgresql import PostgreSQL
from shop.db.sqlite import SQLite

__all__ = [
    "WRITE_WAIT",
    "Base",
    "CommitWatch",
    "Database",
    "DatabaseBusy",
    "note",
    "now_ms",
    "open_database",
]


def open_database(url: URL) -> Database:
    """Return the database at an address. Nothing is connected to before it is needed."""
    return SQLite(url) if url.get_backend_name() == "sqlite" else PostgreSQL(url)
