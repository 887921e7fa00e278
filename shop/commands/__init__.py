"""The operators' commands. They run in a process of their own, beside a serving shop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click
from flask import Flask
from flask.cli import with_appcontext
from sqlalchemy.exc import DBAPIError

from shop.db import DatabaseBusy
from shop.demo import prepare_database
from shop.parts import parts

F = TypeVar("F", bound=Callable[..., Any])


def install_commands(app: Flask) -> None:
    """Register every command, and leave out of the list those that libraries bring along."""
    from flask_limiter.commands import cli as limiter

    from shop.commands import carts, catalog, database, orders, selling, stock, watch

    limiter.hidden = True

    for command in (catalog.seed, catalog.reset, catalog.release, stock.stock, selling.sell,
                    selling.sell_out, orders.orders,
                    carts.carts, watch.watch, database.db):  # fmt: skip
        app.cli.add_command(command)


class CannotBeDone(click.ClickException):
    """The call is right, but it can't be done: status 1, one line saying why."""

    exit_code = 1


class WrongCall(click.ClickException):
    """The call is wrong: status 2, nothing changed."""

    exit_code = 2


def on_database(command: F | None = None, *, demo: bool = True) -> Any:
    """Run a command with the database ready: created or migrated if need be.

    Args:
        demo: whether a database that is created now starts with the demo catalogue.
    """
    if command is None:
        return functools.partial(on_database, demo=demo)

    @in_shop
    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        prepare_database(parts.database, parts.settings, demo=demo)
        return command(*args, **kwargs)

    return run


def in_shop(command: F) -> Any:
    """Run a command with the shop's parts at hand, and say in a line when a database fails it.

    The shop's own database is left alone.
    """

    @with_appcontext
    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except DatabaseBusy:
            raise CannotBeDone("another process keeps the database busy; try again") from None
        except DBAPIError as error:
            said = " ".join(str(error.orig).split())  # PostgreSQL's advice has lines of its own
            raise CannotBeDone(f"the database does not answer: {said}") from None

    return run
