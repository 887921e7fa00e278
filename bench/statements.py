"""What PostgreSQL was asked, how often, and how long it took (pg_stat_statements)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg


@dataclass(frozen=True)
class Statement:
    """One statement, whatever its values."""

    text: str
    calls: int
    #: that PostgreSQL worked on it, waiting for locks included, in seconds
    seconds: float


def count_statements(url: str) -> None:
    """Begin to count, from zero."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        connection.execute("SELECT pg_stat_statements_reset()")


def read_statements(url: str) -> list[Statement]:
    """Return what was counted, the most frequent first."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT query, calls, (total_exec_time + total_plan_time) / 1000"
            " FROM pg_stat_statements JOIN pg_database ON dbid = oid"
            " WHERE datname = current_database() ORDER BY calls DESC"
        ).fetchall()
    return [Statement(re.sub(r"\s+", " ", text), calls, took) for text, calls, took in rows]
