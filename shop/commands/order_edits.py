"""An order on its way: paid, shipped, cancelled, returned. Done twice, nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click

from shop.command_services import command_services as services
from shop.commands import SHORT_TEXT, CannotBeDone, WrongCall, on_database
from shop.commands.login import login_name
from shop.db import Transaction
from shop.models.order import Order
from shop.models.order_edit import (
    CANCELLING,
    RETURNING,
    BeingRefunded,
    GivingBack,
    NotInOrder,
    StillHeld,
    Way,
    fulfil,
    mark_paid,
)
from shop.models.order_state import CANCELLED, PAID, WrongState
from shop.payments.choosing import choose_provider
from shop.payments.holds import end_hold
from shop.payments.provider import Provider, ProviderAway
from shop.payments.queue import PaymentQueue
from shop.payments.refunding import OtherProvider, PaybackRefused, refund_and_end

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
    _report(number, "paid", _do(number, lambda tx: mark_paid(tx, number, login_name())))


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
    _report(number, "fulfilled", done)


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
    with _named(number):
        _give_back(number, wanted, CANCELLING)


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
    with _named(number):
        _give_back(number, wanted, RETURNING)


def _give_back(number: str, wanted: GivingBack, way: Way) -> None:
    """End lines of an order, pay back what was paid, and say what came of it."""
    provider = choose_provider(services.settings, services.database)
    try:
        skus = refund_and_end(services.database, provider, number, wanted, way)
    except StillHeld as held:
        _cancel_held(number, held.order_id, wanted, provider)
    except OtherProvider as error:
        raise CannotBeDone(
            f"{number} was paid through {error.provider}, which SHOP_PAYMENTS does not name now;"
            " nothing changed"
        ) from None
    except ProviderAway as error:
        raise CannotBeDone(
            f"no answer from the payment provider ({error}): {number} stays as it is,"
            " and is not shipped; do the same again"
        ) from None
    except PaybackRefused as error:
        done = f"{way.end} {', '.join(error.ended)}" if error.ended else "nothing changed"
        raise CannotBeDone(f"the payment provider does not pay back: {error}; {done}") from None
    else:
        _report_lines(number, way.end, skus)


def _cancel_held(number: str, order_id: int, wanted: GivingBack, provider: Provider | None) -> None:
    """End a hold: the provider is asked to let nobody pay any more, and only then it is over."""
    if wanted.skus or not wanted.restock:
        raise CannotBeDone(
            f"{number} is being paid for: it can be cancelled as a whole, without --sku and"
            " --no-restock; nothing changed"
        )
    who, why = wanted.who, wanted.why
    services.database.transact(lambda tx: end_hold(tx, order_id, CANCELLED, who=who, why=why))
    if provider is not None:
        PaymentQueue.of(services.settings, services.database, provider).see_to(order_id)
    with services.database.reading() as session:
        state = Order.find(session, number).state
    if state == CANCELLED:
        click.echo(f"{number}: cancelled")
    elif state == PAID:
        raise CannotBeDone(f"{number} was paid just now; cancel it again to pay it back")
    else:
        raise CannotBeDone(
            f"{number} is {state}: it is cancelled as soon as the payment provider says that"
            " nobody can pay it any more"
        )


def _do(number: str, work: Callable[[Transaction], T]) -> T:
    """Change an order, or end the command with a line that says why not."""
    with _named(number):
        return services.database.transact(work)


@contextmanager
def _named(number: str) -> Iterator[None]:
    """End the command with a line that says why an order can't be changed, if it can't."""
    try:
        yield
    except NotInOrder as error:
        raise WrongCall(f"{number} has no line {error.args[0]!r}; nothing changed") from None
    except WrongState as error:
        raise CannotBeDone(
            f"{number} is {error.state} and can't become {error.wanted}; nothing changed"
        ) from None
    except StillHeld:
        raise CannotBeDone(
            f"{number} is being paid for, and becomes paid by that alone; nothing changed"
        ) from None
    except BeingRefunded:
        raise CannotBeDone(
            f"{number} is being paid back: cancel it again to go on; nothing changed"
        ) from None


def _report(number: str, state: str, changed: bool) -> None:
    click.echo(f"{number} is {state}" if changed else f"{number} was {state} before")


def _report_lines(number: str, end: str, skus: list[str]) -> None:
    click.echo(f"{number}: {end} {', '.join(skus)}" if skus else f"{number} was {end} before")


COMMANDS = (paid, ship, cancel_order, return_order)
