"""How a command that can't be done ends: a status, and one line that says why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.exceptions import NoArgsIsHelpError

#: How much of a line is shown, in characters: somebody may have pasted a whole file.
_LONGEST = 1000


class _Refusal(click.ClickException):
    def format_message(self) -> str:
        return "\n".join(map(_clipped, self.message.split("\n")))


class CannotBeDone(_Refusal):
    """The call is right, but it can't be done: status 1, one line saying why."""

    exit_code = 1


class WrongCall(_Refusal):
    """The call is wrong: status 2, nothing changed."""

    exit_code = 2


@contextmanager
def wrong_calls_in_a_line() -> Iterator[None]:
    """Say of a wrong call what is wrong and where the help is, in a line; Click takes four."""
    try:
        yield
    except NoArgsIsHelpError:  # a group by itself: its help is what was asked for
        raise
    except click.UsageError as error:
        said = _clipped(" ".join(error.format_message().split()).rstrip("."))
        where = error.ctx.command_path if error.ctx else "bin/flask"
        raise WrongCall(f"{said}. Try '{where} --help'") from None


@contextmanager
def unknown_in_a_line() -> Iterator[None]:
    """Say of what a command names that there is no such thing, and which command lists those."""
    try:
        yield
    except LookupError as error:
        from shop.models import UnknownItem, UnknownOrder, UnknownProduct  # as the command has them

        known = {
            UnknownProduct: ("product", "catalog list"),
            UnknownItem: ("item", "stock list"),
            UnknownOrder: ("order", "orders list"),
        }
        if type(error) not in known:
            raise
        what, command = known[type(error)]
        message = f"there is no {what} {error.args[0]!r}; 'bin/flask {command}' shows them"
        raise WrongCall(f"{message}; nothing was changed") from None


def _clipped(line: str) -> str:
    """Return a line without what steers a terminal, and not too long."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line[:_LONGEST])
    return shown if len(line) <= _LONGEST else f"{shown}…"
