"""What was bought."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from shop.command_services import command_services as services
from shop.commands import Group, WrongCall, on_database
from shop.commands.tables import table
from shop.models import Order, UnknownOrder, all_orders
from shop.money import format_money


@click.group(cls=Group)
def orders() -> None:
    """List and show orders."""


@orders.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@on_database
def list_orders(as_json: bool) -> None:
    """List every order, oldest first.

    \b
    Examples:
      bin/flask orders list
      bin/flask orders list --json | jq length
    """
    texts = _as_json if as_json else _as_lines
    for text in texts(all_orders(services.database)):
        click.echo(text, nl=False)


Pages = Iterator[list[tuple[Any, list[Any]]]]


def _as_json(pages: Pages) -> Iterator[str]:
    """Write one array, an order on each line."""
    before = "[\n"
    for page in pages:
        yield before + ",\n".join(json.dumps(_row(order, lines)) for order, lines in page)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _as_lines(pages: Pages) -> Iterator[str]:
    none = True
    for page in pages:
        none = False
        yield "".join(f"{_line(order, len(lines))}\n" for order, lines in page)
    if none:
        yield "There are no orders yet.\n"


def _line(order: Any, pieces: int) -> str:
    total = format_money(order.total, order.currency)
    what = f"{pieces} {'piece' if pieces == 1 else 'pieces'}"
    return f"{order.number}  {_time(order)}  {what:>9}  {total:>12}  {order.email}"


def _row(order: Any, lines: Sequence[Any]) -> dict[str, object]:
    return {
        "number": order.number,
        "email": order.email,
        "placed_at": _time(order),
        "total": order.total,
        "currency": order.currency,
        "lines": [{"sku": line.sku, "price": line.price} for line in lines],
    }


def _time(order: Any) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(order.placed))


@orders.command("show")
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@on_database
def show_order(number: str, as_json: bool) -> None:
    """Show an order: what was bought, by whom, and where to.

    \b
    Example:
      bin/flask orders show K7QX-4MNP
    """
    try:
        with services.database.reading() as session:
            order = Order.find(session, number)
            session.expunge_all()
    except UnknownOrder:
        raise WrongCall(
            f"there is no order {number!r}; 'bin/flask orders list' shows them"
        ) from None
    if as_json:
        row = _row(order, order.lines) | {"name": order.name, "address": order.address}
        click.echo(json.dumps(row, indent=1))
        return
    click.echo("\n".join(_shown(order)))


def _shown(order: Order) -> Iterator[str]:
    yield f"Order {order.number}, placed {_time(order)}"
    rows = [
        (line.sku, f"{line.brand} {line.product}, size {line.size}", line.price)
        for line in order.lines
    ]
    shown = [
        (f"  {sku}", what, format_money(price, order.currency))
        for sku, what, price in [*rows, ("Total", "", order.total)]
    ]
    yield from table(shown, right=(2,))
    yield f"To: {order.name}, {', '.join(order.address.splitlines())}"
    yield f"E-mail: {order.email}"
