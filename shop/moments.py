"""Moments and spans of time as people and programs read them, mostly of milliseconds since 1970."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def at(moment: int) -> datetime:
    """Return a moment, in milliseconds since 1970, as Python has it, in UTC."""
    return datetime.fromtimestamp(moment / 1000, UTC)


def moment_in_utc(moment: int) -> str:
    """Return a moment as programs read it, to the second, as in `2026-12-01T11:00:00Z`."""
    return second_in_utc(moment // 1000)


def second_in_utc(second: int) -> str:
    """Return a moment in seconds since 1970 as programs read it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def in_utc(moment: int) -> str:
    """Return a moment as operators read it, as in `2026-12-01 11:00 UTC`."""
    return _with_seconds(at(moment), "%Y-%m-%d %H:%M")


def in_words(moment: int) -> str:
    """Return a moment as shoppers read it, as in `Tuesday, 1 December 2026, 11:00 UTC`."""
    return _with_seconds(at(moment), "%A, %-d %B %Y, %H:%M")


def here(moment: int) -> str:
    """Return a moment in this machine's own zone, for operators."""
    return _with_seconds(at(moment).astimezone(), "%Y-%m-%d %H:%M")


def span(milliseconds: int, units: int = 1) -> str:
    """Return a span of time in words, as in `13 seconds` or, with two units, `2 days 3 hours`."""
    left, words = milliseconds // 1000, []
    for size, name in _UNITS:
        number, left = divmod(left, size)
        if number:
            words.append(f"{number} {name}{'' if number == 1 else 's'}")
    return " ".join(words[:units]) or "less than a second"


def _with_seconds(moment: datetime, form: str) -> str:
    return moment.strftime(f"{form}{':%S' if moment.second else ''} %Z")
