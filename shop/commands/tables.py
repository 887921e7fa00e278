"""Columns that are as wide as what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import combining, east_asian_width

_GAP = "  "


def table(rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> list[str]:
    """Return rows as lines of columns.

    Args:
        rows: of the same length each, a heading among them.
        right: the columns that end at their right edge, counted from 0.
    """
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*texts, strict=True)]
    return [_GAP.join(_cells(row, widths, right)).rstrip() for row in texts]


def _cells(row: list[str], widths: list[int], right: Sequence[int]) -> list[str]:
    return [
        f"{_room(text, wide)}{text}" if number in right else f"{text}{_room(text, wide)}"
        for number, (text, wide) in enumerate(zip(row, widths, strict=True))
    ]


def _room(text: str, wide: int) -> str:
    return " " * (wide - width(text))


def width(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return sum(2 if east_asian_width(c) in "WF" else not combining(c) for c in text)
