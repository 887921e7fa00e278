"""The operators' commands. They run in a process of their own, beside a serving shop."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

import click
from flask import Flask
from flask.cli import ScriptInfo, with_appcontext
from sqlalchemy.exc import DBAPIError

from shop.command_services import command_services as services
from shop.command_services import install_command_services
from shop.commands.refusals import (
    CannotBeDone,
    WrongCall,
    unknown_in_a_line,
    wrong_calls_in_a_line,
)
from shop.config import database_file, load_settings
from shop.db import DatabaseBusy
from shop.migrations import migrate, require_file

#: What an operator of a shop without products reads.
EMPTY = (
    "There are no products yet. Next: bin/flask catalog import FILE.csv brings your own, "
    "bin/flask seed the demo catalogue"
)

__all__ = ["CannotBeDone", "WrongCall"]

F = TypeVar("F", bound=Callable[..., Any])


class Group(click.Group):
    """A group that says the whole first sentence of each of its commands, wrapped and not cut."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, c.get_short_help_str(500)) for name, c in shown if c and not c.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Commands(Group):
    """All commands by their names, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, _ in sorted(_COMMANDS.items())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(import_module(f"shop.commands.{module}"), attribute)
        return found

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with wrong_calls_in_a_line():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with wrong_calls_in_a_line():
            return super().invoke(ctx)


#: Where each command is; some are groups of further ones.
_COMMANDS = {
    "carts": "carts:carts",
    "catalog": "catalog:catalog",
    "check": "books:check",
    "close": "opening:close_sale",
    "db": "database:db",
    "mail": "mail:mail",
    "orders": "orders:orders",
    "privacy": "privacy:privacy",
    "release": "opening:release",
    "reset": "catalog:reset",
    "seed": "catalog:seed",
    "sell": "selling:sell",
    "sell-out": "selling:sell_out",
    "stock": "stock:stock",
    "watch": "watch:watch",
}


def install_commands(app: Flask) -> None:
    """Let an app run every command."""
    app.cli = Commands(app.name)


class WholeNumber(click.ParamType[int]):
    """A whole number from `least` to `most`."""

    name = "number"

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if not re.fullmatch("[+-]?[0-9]{1,30}", str(value)):
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if not self.least <= int(value) <= self.most:
            self.fail(f"{value} is not from {self.least} to {self.most}", param, ctx)
        return int(value)


class ShortText(click.ParamType[str]):
    """A line of text that an operator gives, without characters that steer a terminal."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if len(value) > 500 or not value.isprintable():
            self.fail("this is no line of at most 500 characters", param, ctx)
        return value.strip()


SHORT_TEXT = ShortText()


class Seconds(click.ParamType[float]):
    """A number of seconds from `least` to `most`, with a fraction or without."""

    name = "seconds"

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if not re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,10})?", str(value)):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        if not self.least <= float(value) <= self.most:
            self.fail(f"{value} is not from {self.least:g} to {self.most:g}", param, ctx)
        return float(value)


def on_database(command: F | None = None, *, makes_shop: bool = False) -> Any:
    """Run a command on the shop's database, migrated if it comes from an earlier release.

    Args:
        makes_shop: whether the command makes a shop where there is none, and says so. All others
            end with status 1 then.
    """
    if command is None:
        return functools.partial(on_database, makes_shop=makes_shop)

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        if migrate(services.database, services.settings.instance, create=makes_shop):
            click.echo(f"A new shop was made: {services.database.shown_url}", err=True)
        return command(*args, **kwargs)

    return in_shop(run, needs_shop=not makes_shop)


def in_shop(command: F | None = None, *, needs_shop: bool = True) -> Any:
    """Run a command with the shop's parts at hand, and say in a line when a database fails it.

    The shop's own database is left alone.

    Args:
        needs_shop: whether the command ends with status 1 where there is no shop.
    """
    if command is None:
        return functools.partial(in_shop, needs_shop=needs_shop)

    @with_appcontext
    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        for line in services.settings.unknown:
            click.echo(f"Warning: {line}", err=True)
        with _troubles_in_a_line(), unknown_in_a_line():
            return command(*args, **kwargs)

    @click.pass_context
    @functools.wraps(command)
    def find_shop(ctx: click.Context, *args: Any, **kwargs: Any) -> Any:
        _find_shop(ctx.ensure_object(ScriptInfo), needs_shop)
        return ctx.invoke(run, *args, **kwargs)

    return find_shop


@contextmanager
def _troubles_in_a_line() -> Iterator[None]:
    try:
        yield
    except DatabaseBusy:
        raise CannotBeDone("another process keeps the database busy; try again") from None
    except DBAPIError as error:
        said = " ".join(str(error.orig).split())  # PostgreSQL's advice has lines of its own
        raise CannotBeDone(f"the database does not answer: {said}") from None


def _find_shop(info: ScriptInfo, needs_shop: bool) -> None:
    """Say how the app is made; before that, that there is a shop, as making the app makes files.

    A test brings an app along.
    """
    if info.create_app is not None:
        return
    file = database_file()
    if file is not None and needs_shop:
        require_file(file)
    info.create_app = _make_app


def _make_app() -> Flask:
    """Make an app that serves nothing: for commands alone."""
    settings = load_settings()
    app = Flask("shop", static_folder=None, instance_path=str(settings.instance))
    install_command_services(app, settings)
    return app
