"""An order on its way: paid, shipped, cancelled, returned. Done twice, nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from shop.command_services import command_services as services
from shop.commands import SHORT_TEXT, CannotBeDone, WrongCall, on_database
from shop.commands.login import login_name
from shop.db import Transaction
from shop.models import UnknownOrder
from shop.models.order_edit import GivingBack, NotInOrder, cancel, fulfil, mark_paid, take_back
from shop.models.order_state import WrongState

T = TypeVar("T")

_SKUS = click.option("--sku", "skus", multiple=True, help="Only this line; may be repeated.")
_NO_RESTOCK = click.option(
    "--no-restock", is_flag=True, help="The pairs can't be sold again: they are written off."
)
_REASON = click.option("--reason", type=SHORT_TEXT, required=True, help="Why, for the books.")


@click.command("paid")
@click.argument("number")
@on_database
def paid(number: str) -> None:
    """Note that an order was paid.

    \b
    Example:
      bin/flask orders paid K7QX-4MNP
    """
    _say(number, "paid", _do(number, lambda tx: mark_paid(tx, number, login_name())))


@click.command("fulfil")
@click.argument("number")
@click.option("--tracking", type=SHORT_TEXT, default="", help="What the carrier calls the parcel.")
@on_database
def ship(number: str, tracking: str) -> None:
    """Note that a paid order was shipped.

    \b
    Example:
      bin/flask orders fulfil K7QX-4MNP --tracking "UPS 1Z999"
    """
    done = _do(number, lambda tx: fulfil(tx, number, login_name(), tracking))
    _say(number, "fulfilled", done)


@click.command("cancel")
@click.argument("number")
@_SKUS
@_REASON
@_NO_RESTOCK
@on_database
def cancel_order(number: str, skus: tuple[str, ...], reason: str, no_restock: bool) -> None:
    """Cancel an order that was not shipped, or lines of it: the pairs are on the shelf at once.

    \b
    Examples:
      bin/flask orders cancel K7QX-4MNP --reason "changed their mind"
      bin/flask orders cancel K7QX-4MNP --sku OST-KILN-095 --reason "wrong size"
    """
    wanted = GivingBack(skus, reason, login_name(), restock=not no_restock)
    _say_lines(number, "cancelled", _do(number, lambda tx: cancel(tx, number, wanted)))


@click.command("return")
@click.argument("number")
@_SKUS
@_REASON
@_NO_RESTOCK
@on_database
def return_order(number: str, skus: tuple[str, ...], reason: str, no_restock: bool) -> None:
    """Take back an order that was shipped, or lines of it: the pairs are on the shelf at once.

    \b
    Example:
      bin/flask orders return K7QX-4MNP --reason "too small"
    """
    wanted = GivingBack(skus, reason, login_name(), restock=not no_restock)
    _say_lines(number, "returned", _do(number, lambda tx: take_back(tx, number, wanted)))


def _do(number: str, work: Callable[[Transaction], T]) -> T:
    """Change an order, or end the command with a line that says why not."""
    try:
        return services.database.transact(work)
    except UnknownOrder:
        message = f"there is no order {number!r}; 'bin/flask orders list' shows them"
        raise WrongCall(f"{message}; nothing changed") from None
    except NotInOrder as error:
        raise WrongCall(f"{number} has no line {error.args[0]!r}; nothing changed") from None
    except WrongState as error:
        raise CannotBeDone(
            f"{number} is {error.state} and can't become {error.wanted}; nothing changed"
        ) from None


def _say(number: str, state: str, changed: bool) -> None:
    click.echo(f"{number} is {state}" if changed else f"{number} was {state} before")


def _say_lines(number: str, end: str, skus: list[str]) -> None:
    click.echo(f"{number}: {end} {', '.join(skus)}" if skus else f"{number} was {end} before")


COMMANDS = (paid, ship, cancel_order, return_order)
