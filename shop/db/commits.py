"""How SQLite shows that somebody committed."""

from __future__ import annotations

import sqlite3
from urllib.parse import quote

from sqlalchemy.exc import OperationalError

from shop.db.base import Database


class DataVersion:
    """Notices that anybody, in this process or another, committed something.

    `PRAGMA data_version` costs microseconds and changes when another connection commits;
    so this watch keeps a connection of its own, on which nothing is ever written.
    See https://www.sqlite.org/pragma.html#pragma_data_version
    """

    def __init__(self, database: Database, timeout: int) -> None:
        """Take the database, and how long to wait in place for an answer, in milliseconds."""
        self._database = database
        self._timeout = timeout
        self._connection: sqlite3.Connection | None = None
        self._seen: int | None = None
        self._opened = database.opened

    def happened(self) -> bool:
        """Tell whether there was a commit; see `CommitWatch`."""
        try:
            self._database.check_in_place()
            if self._opened != self._database.opened:  # another file stands there now
                self.close()
                self._opened = self._database.opened
            version = self._read()
        except OperationalError:
            self.close()
            raise
        except sqlite3.Error as error:
            self.close()
            raise OperationalError("PRAGMA data_version", None, error) from error
        happened, self._seen = version != self._seen, version
        return happened

    def mark(self) -> None:
        """Nothing: every commit is seen."""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._seen = None

    def _read(self) -> int:
        if self._connection is None:
            # mode=rw: a database that was taken away must not come back as an empty file.
            name = f"file:{quote(str(self._database.url.database))}?mode=rw"
            self._connection = sqlite3.connect(
                name,
                uri=True,
                timeout=self._timeout / 1000,
                isolation_level=None,
                check_same_thread=False,
            )
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version
