"""Looks that follow one another: redrawn in place on a terminal, appended elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import click

_HOME, _CLEAR_LINE, _CLEAR_BELOW, _CLEAR = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"


def is_terminal() -> bool:
    """Tell whether somebody looks at a screen that can be redrawn."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def size() -> tuple[int, int]:
    """Return the screen's width and height, in characters; 80 wide where there is none."""
    found = shutil.get_terminal_size()
    return found.columns, found.lines


def cut(line: str) -> str:
    """Return as much of a line as fits on the screen; all of it where there is none."""
    width = size()[0]
    return line if len(line) <= width or not is_terminal() else f"{line[: width - 1]}…"


def warning(text: str) -> str:
    """Return a line that says what is wrong."""
    return click.style(cut(f"! {text}"), fg="yellow", bold=True)


def count(number: int, what: str, many: str = "") -> str:
    """Return a count with its noun, as in '1 tab' and '2,011 tabs'; `many` if no s makes it so."""
    return f"{number:,} {what if number == 1 else many or f'{what}s'}"


def keep_showing(frame: Callable[[], list[str]], interval: float) -> None:
    """Show what `frame` gives, every `interval` seconds, until Ctrl-C: that ends it well.

    On a terminal every picture takes the place of the one before. Nothing else of the terminal is
    changed, so that nothing has to be put right however this ends.
    """
    if not is_terminal():
        append(frame, interval)
        return
    _write(_CLEAR)
    _repeat(lambda: _draw(frame()), interval)
    _write("\n")  # past the ^C that the terminal shows


def append(frame: Callable[[], list[str]], interval: float) -> None:
    """Write what `frame` gives below one another, every `interval` seconds, until Ctrl-C."""
    _repeat(lambda: show(frame()), interval)


def _repeat(work: Callable[[], None], interval: float) -> None:
    with suppress(KeyboardInterrupt):
        while True:
            began = time.monotonic()
            work()
            time.sleep(max(0.0, began + interval - time.monotonic()))


def show(lines: list[str]) -> None:
    """Show lines below what is there."""
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR")
    for line in lines:
        click.echo(click.unstyle(line).rstrip() if plain else line)
    sys.stdout.flush()


def _draw(lines: list[str]) -> None:
    if os.environ.get("NO_COLOR"):
        lines = [click.unstyle(line) for line in lines]
    most = size()[1] - 1  # a full screen would scroll
    _write(_HOME + "".join(f"{line}{_CLEAR_LINE}\n" for line in lines[:most]) + _CLEAR_BELOW)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
