"""Orders for labels, and for whoever walks along the shelf."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import click
from sqlalchemy import select

from shop.command_services import command_services as services
from shop.commands import on_database
from shop.commands.order_filters import filters
from shop.commands.places import NEW_FILE, replacing
from shop.commands.screen import count
from shop.commands.tables import table
from shop.costs import percent
from shop.models import Item, Order, OrderLine, Product, Wanted, orders_wanted
from shop.models.order_state import PAID
from shop.moments import second_in_utc
from shop.money import decimal_amount

_HEADINGS = (
    *("number", "state", "placed_at", "name", "address", "email"),
    *("items", "total", "currency", "tracking"),
    *("street", "street2", "postcode", "town", "country", "phone"),
    *("shipping", "tax", "tax_rate", "tax_kind"),
)

#: What a spreadsheet may take for a formula, or hides: see OWASP, "CSV Injection".
_ACTIVE = re.compile(r"[=+\-@\x00-\x1f\x7f]")


@click.command("export")
@click.argument("file", type=NEW_FILE)
@on_database
@filters
def export_orders(file: Path, wanted: Wanted) -> None:
    """Write orders into a CSV file that only you may open, for labels: a row for each.

    \b
    Example:
      bin/flask orders export labels.csv --state paid
    """
    with replacing(file, 0o600) as out:
        number = _write(out, wanted)
    click.echo(f"{count(number, 'order')} written to {file}")


def _write(out: TextIO, wanted: Wanted) -> int:
    writer, number = csv.writer(out, lineterminator="\r\n"), 0
    writer.writerow(_HEADINGS)
    for page in orders_wanted(services.database, wanted):
        writer.writerows([map(_harmless, _cells(order, lines)) for order, lines in page])
        number += len(page)
    return number


def _cells(order: Any, lines: list[Any]) -> Iterator[str]:
    items = " ".join(line.sku for line in lines if not line.ended)
    yield from (order.number, order.state, second_in_utc(order.placed))
    yield from (order.name, order.address, order.email, items)
    yield from (decimal_amount(order.total, order.currency), order.currency, order.tracking)
    yield from (order.street, order.street2, order.postcode, order.town, order.country, order.phone)
    yield from (decimal_amount(cost, order.currency) for cost in (order.shipping, order.tax))
    yield from (percent(order.tax_rate), order.tax_kind)


def _harmless(cell: str) -> str:
    return f"'{cell}" if _ACTIVE.match(cell) else cell


@click.command("packing")
@on_database
def packing() -> None:
    """List what is paid and not shipped yet, in the order of the shelf.

    \b
    Example:
      bin/flask orders packing
    """
    rows = services.database.rows(_TO_PACK)
    if not rows:
        click.echo("There is nothing to pack.")
        return
    click.echo("\n".join(table([("SKU", "PRODUCT", "SIZE", "ORDER", "NAME"), *map(tuple, rows)])))


_TO_PACK = (
    select(OrderLine.sku, OrderLine.product, OrderLine.size, Order.number, Order.name)
    .join(OrderLine.order)
    .join(Item, Item.id == OrderLine.item_id)
    .join(Item.product)
    .where(Order.state == PAID, OrderLine.ended == "")
    .order_by(Product.position, Product.id, Item.position, Item.id, Order.id)
)

COMMANDS = (export_orders, packing)
