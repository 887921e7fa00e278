"""The database's clock, which is the shop's: several machines may have several times."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class now_in_ms(GenericFunction[int]):
    """The database's time in a statement, in milliseconds since 1970; SQLite has the machine's."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_in_ms)
def _on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


@compiles(now_in_ms, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
