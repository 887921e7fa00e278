"""What is on the shelf."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click
from sqlalchemy import select

from shop.command_services import command_services as services
from shop.commands import EMPTY, SHORT_TEXT, Group, WholeNumber, WrongCall, on_database
from shop.commands.login import login_name
from shop.commands.tables import table
from shop.db import Transaction
from shop.models import Item, Product, stock_up
from shop.models import set_stock as put_exactly
from shop.models.catalog import MOST_PIECES
from shop.models.ledger import CORRECTION, Cause, history
from shop.moments import moment_in_utc
from shop.product_views import Levels

#: Changes a count of an item; returns what it was and what it is.
Change = Callable[[Transaction, int, int, Cause], tuple[int, int]]

#: So that "-1" is taken for a wrong number and not for an unknown option.
_NUMBERS = {"ignore_unknown_options": True}


@click.group(cls=Group)
def stock() -> None:
    """List and change what is on the shelf."""


@stock.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@on_database
def list_stock(as_json: bool) -> None:
    """List every item with its product, its count and its level.

    Commands for items take an item's sku or number (ITEM); 'release' takes a product's.

    \b
    Examples:
      bin/flask stock list
      bin/flask stock list --json | jq '.[] | select(.level == "low")'
    """
    with services.database.reading() as session:
        items = session.scalars(_LISTED).all()
        rows = [_row(item) for item in items]
        lines = [(row["id"], row["sku"], i.product_id, row["product"], row["size"],
                  row["available"], row["held"], row["sold"], row["level"])
                 for row, i in zip(rows, items, strict=True)]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        click.echo(EMPTY)
        return
    heading = ("ITEM", "SKU", "", "PRODUCT", "SIZE", "LEFT", "HELD", "SOLD", "LEVEL")
    click.echo("\n".join(table([heading, *lines], right=(0, 2, 5, 6, 7))))


_LISTED = select(Item).join(Item.product).where(~Product.removed).order_by(Item.id)


def _row(item: Item) -> dict[str, object]:
    settings = services.settings
    return {
        "id": item.id,
        "sku": item.sku,
        "product": item.product.sku,
        "size": item.size,
        "available": item.available,
        "held": item.held,
        "sold": item.sold,
        "level": Levels(settings.low_stock, settings.medium_stock).of(item.available),
    }


@stock.command("set", context_settings=_NUMBERS)
@click.argument("sku")
@click.argument("count", metavar="N", type=WholeNumber(0, MOST_PIECES))
@click.option("--reason", default="", type=SHORT_TEXT, help="Why, for the ledger.")
@on_database
def set_stock(sku: str, count: int, reason: str) -> None:
    """Say that exactly N pieces of an item are on the shelf; 0 sells it out.

    \b
    Examples:
      bin/flask stock set OST-KILN-095 20
      bin/flask stock set OST-KILN-095 19 --reason "one is damaged"
    """
    _change(sku, count, reason, put_exactly)


@stock.command("add", context_settings=_NUMBERS)
@click.argument("sku")
@click.argument("count", metavar="N", type=WholeNumber(1, MOST_PIECES))
@click.option("--reason", default="", type=SHORT_TEXT, help="Why, for the ledger.")
@on_database
def add_stock(sku: str, count: int, reason: str) -> None:
    """Put N more pieces of an item on the shelf.

    \b
    Example:
      bin/flask stock add OST-KILN-095 12
    """
    _change(sku, count, reason, stock_up)


@stock.command("history")
@click.argument("sku")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@on_database
def show_history(sku: str, as_json: bool) -> None:
    """Show every movement of an item, the newest last: how many, why, by whom.

    \b
    Example:
      bin/flask stock history OST-KILN-095
    """
    with services.database.reading() as session:
        item = Item.find(session, sku)
        rows = [_movement(row) for row in history(session, item.id)]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    heading = ("WHEN", "WHY", "", "LEFT", "HELD", "SOLD", "ORDER", "WHO", "REASON")
    lines = [
        (r["at"], r["kind"], f"{r['delta']:+}", r["count"], f"{r['held']:+}", f"{r['sold']:+}",
         r["order"] or "", r["who"], r["reason"])
        for r in rows
    ]  # fmt: skip
    click.echo("\n".join(table([heading, *lines], right=(2, 3, 4, 5))))


def _movement(row: Any) -> dict[str, Any]:
    return {
        "at": moment_in_utc(row.at),
        "kind": row.kind,
        "delta": row.delta,
        "held": row.held_delta,
        "sold": row.sold_delta,
        "count": row.count_after,
        "order": row.number,
        "reason": row.reason,
        "who": row.who,
    }


def _change(sku: str, count: int, reason: str, change: Change) -> None:
    cause = Cause(CORRECTION, reason=reason, who=login_name())
    with services.database.reading() as session:
        item = Item.find(session, sku)

    def work(transaction: Transaction) -> tuple[int, int]:
        before, after = change(transaction, item.id, count, cause)
        if after > MOST_PIECES:
            raise WrongCall(f"no shelf holds more than {MOST_PIECES} pieces; nothing changed")
        return before, after

    before, after = services.database.transact(work)
    click.echo(f"{item.sku}: {before} -> {after}")
