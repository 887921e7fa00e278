"""Tables, for a terminal and for a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows under a head, the first column to the left and the others to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    #: above it
    title: str = ""

    def __str__(self) -> str:
        """Return it for a terminal."""
        widths = [
            max(len(row[i]) for row in (self.head, *self.rows)) for i in range(len(self.head))
        ]
        lines = [self.title] if self.title else []
        for row in (self.head, ["-" * width for width in widths], *self.rows):
            cells = [row[0].ljust(widths[0])]
            cells += [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return it for a document."""
        rule = ["---", *["---:" for _ in self.head[1:]]]
        rows = ["| " + " | ".join(map(_cell, row)) + " |" for row in (self.head, rule, *self.rows)]
        title = [f"**{self.title}**", ""] if self.title else []
        return "\n".join([*title, *rows])


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|")
