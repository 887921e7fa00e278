"""What is on the shelf."""

from __future__ import annotations

import json
from collections.abc import Callable

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from shop.commands import WrongCall, on_database
from shop.inventory import Levels
from shop.models import Item, UnknownItem
from shop.parts import parts

#: What fits into a shelf of any database: PostgreSQL's integers end at 2,147,483,647.
MOST_PIECES = 1_000_000_000

PIECES = click.IntRange(0, MOST_PIECES)

#: So that "-1" is taken for a wrong number and not for an unknown option.
_NUMBERS = {"ignore_unknown_options": True}


@click.group()
def stock() -> None:
    """List and change what is on the shelf."""


@stock.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@on_database
def list_stock(as_json: bool) -> None:
    """List every item with its count and level.

    \b
    Examples:
      bin/flask stock list
      bin/flask stock list --json | jq '.[] | select(.level == "low")'
    """
    with parts.database.reading() as session:
        items = session.scalars(select(Item).order_by(Item.id)).all()
        rows = [_row(item) for item in items]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        click.echo("There are no items. Next: flask seed")
        return
    click.echo(f"{'ID':>4}  {'SKU':<20} {'SIZE':<6} {'LEFT':>7}  LEVEL")
    for row in rows:
        text = f"{row['sku']:<20} {row['size']:<6} {row['available']:>7}  {row['level']}"
        click.echo(f"{row['id']:>4}  {text}")


def _row(item: Item) -> dict[str, object]:
    settings = parts.settings
    return {
        "id": item.id,
        "sku": item.sku,
        "product": item.product.sku,
        "size": item.size,
        "available": item.available,
        "level": Levels(settings.low_stock, settings.medium_stock).of(item.available),
    }


@stock.command("set", context_settings=_NUMBERS)
@click.argument("sku")
@click.argument("count", metavar="N", type=PIECES)
@on_database
def set_stock(sku: str, count: int) -> None:
    """Say that exactly N pieces of an item are on the shelf; 0 sells it out.

    \b
    Example:
      bin/flask stock set OST-KILN-095 20
    """
    _change(sku, lambda item: item.set_stock(count))


@stock.command("add", context_settings=_NUMBERS)
@click.argument("sku")
@click.argument("count", metavar="N", type=click.IntRange(1, MOST_PIECES))
@on_database
def add_stock(sku: str, count: int) -> None:
    """Put N more pieces of an item on the shelf.

    \b
    Example:
      bin/flask stock add OST-KILN-095 12
    """
    _change(sku, lambda item: item.stock_up(count))


def _change(sku: str, change: Callable[[Item], None]) -> None:
    def work(session: Session) -> tuple[int, int]:
        item = find_item(session, sku)
        before = item.available
        change(item)
        if item.available > MOST_PIECES:
            raise WrongCall(f"no shelf holds more than {MOST_PIECES} pieces; nothing changed")
        return before, item.available

    before, after = parts.database.write(work)
    click.echo(f"{sku}: {before} -> {after}")


def find_item(session: Session, sku: str) -> Item:
    """Return an item by its sku, or end the command: the call is wrong."""
    try:
        return Item.find_sku(session, sku)
    except UnknownItem:
        message = f"there is no item {sku!r}; 'stock list' shows them; nothing changed"
        raise WrongCall(message) from None
