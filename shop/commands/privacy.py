"""What the shop holds of somebody, and having it forgotten."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from shop.command_services import command_services as services
from shop.commands import CannotBeDone, Group, WrongCall, on_database
from shop.commands.screen import count
from shop.mail.outbox import FOLDER
from shop.models.mail import ALERT
from shop.models.personal import (
    MailIsBeingSent,
    StillPaying,
    alerts_of,
    forget_alerts,
    forget_buyer,
    held_of,
    orders_of,
)
from shop.moments import moment_in_utc, second_in_utc

#: For how long a mail that is being sent is waited for, in seconds.
MAIL_TIMEOUT = 5.0

T = TypeVar("T")


class Email(click.ParamType[str]):
    """An e-mail address, as somebody writes it."""

    name = "email"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        email = value.strip()
        local, at, domain = email.rpartition("@")
        if len(email) > 320 or not (local and at and domain) or not email.isprintable():
            self.fail(f"{value!r} is no e-mail address", param, ctx)
        return email


EMAIL = Email()


@click.group(cls=Group)
def privacy() -> None:
    """Show what the shop holds of somebody, or have it forgotten."""


@privacy.command("export")
@click.argument("email", type=EMAIL)
@on_database
def export_data(email: str) -> None:
    """Write all that the shop holds of somebody as JSON.

    \b
    Example:
      bin/flask privacy export kim@example.com > kim.json
    """
    orders = [held_of(services.database, order) for order in orders_of(services.database, email)]
    alerts = [_alert(row) for row in alerts_of(services.database, email)]
    held = {"email": email, "orders": [*map(_shown, orders)], "stock_alerts": alerts}
    click.echo(json.dumps(held, indent=1))


@privacy.command("erase")
@click.argument("email", type=EMAIL)
@click.option("--yes", is_flag=True, help="Do it; there is no way back.")
@on_database
def erase(email: str, yes: bool) -> None:
    """Have the shop forget somebody: name, addresses and phone go, amounts and lines stay.

    Orders that were not shipped before can't be shipped then. A mail that is being sent is waited
    for. Backups are not changed: they hold it until they are deleted.

    \b
    Example:
      bin/flask privacy erase kim@example.com --yes
    """
    orders = orders_of(services.database, email)
    if not yes:
        raise WrongCall(
            f"this erases the buyer of {count(len(orders), 'order')}; say so with --yes"
        )
    for order in orders:
        _erase(order)
    alerts = _forget(partial(forget_alerts, email=email))
    for mail_id in alerts.mail_ids:
        _delete_mails(f"{ALERT}-{mail_id}")
    if alerts.items:
        click.echo(f"{count(alerts.items, 'stock alert')} forgotten.")
    if not orders and not alerts.items:
        click.echo(f"The shop holds nothing of {email}.")


def _erase(order: Any) -> None:
    try:
        _forget(partial(forget_buyer, order_id=order.id))
    except StillPaying as error:
        raise CannotBeDone(
            f"{error.number} is being paid for: cancel it first, or wait until that is over"
        ) from None
    _delete_mails(f"{order.number}-*")
    unsent = " It was not shipped yet." if order.state in ("placed", "paid") else ""
    click.echo(f"{order.number}: its buyer is forgotten.{unsent}")


def _forget(work: Callable[..., T]) -> T:
    """Have something forgotten once no mail about it is being sent.

    It would arrive, or lie in the folder, after all is said to be forgotten.
    """
    deadline = time.monotonic() + MAIL_TIMEOUT
    while time.monotonic() < deadline:
        try:
            return services.database.transact(work)
        except MailIsBeingSent:
            time.sleep(0.1)
    click.echo("Warning: a mail to them is being sent and may still arrive", err=True)
    return services.database.transact(partial(work, even_now=True))


def _delete_mails(names: str) -> None:
    """Delete mails that were written into the instance folder."""
    for file in (services.settings.instance / FOLDER).glob(f"{names}.eml"):
        file.unlink(missing_ok=True)


def _alert(row: Any) -> dict[str, Any]:
    mailed = row.mailed_at and second_in_utc(row.mailed_at)
    return {"sku": row.sku, "asked_at": second_in_utc(row.asked_at), "mailed_at": mailed}


def _shown(held: dict[str, Any]) -> dict[str, Any]:
    """Return an order with its moments as programs read them."""
    shown = {name: value for name, value in held.items() if name != "id"}
    shown["placed_at"] = second_in_utc(shown.pop("placed"))
    shown["changes"] = [{**each, "at": moment_in_utc(each["at"])} for each in held["changes"]]
    shown["mails"] = [
        {
            "kind": each["kind"],
            "state": each["state"],
            "queued_at": second_in_utc(each["queued"]),
            "ended_at": each["ended"] and second_in_utc(each["ended"]),
        }
        for each in held["mails"]
    ]
    return shown
