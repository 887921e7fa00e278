"""What was bought."""

from __future__ import annotations

import json

import click
from sqlalchemy import select

from shop.commands import Group, WrongCall, on_database
from shop.commands.tables import table
from shop.models import Order, UnknownOrder
from shop.money import format_money
from shop.parts import parts


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
    with parts.database.reading() as session:
        found = session.scalars(select(Order).order_by(Order.id)).all()
        if as_json:
            click.echo(json.dumps([_row(order) for order in found], indent=1))
            return
        for order in found:
            total = format_money(order.total, order.currency)
            pieces = len(order.lines)
            what = f"{pieces} {'piece' if pieces == 1 else 'pieces'}"
            click.echo(f"{order.number}  {_time(order)}  {what:>9}  {total:>12}  {order.email}")
        if not found:
            click.echo("There are no orders yet.")


def _row(order: Order) -> dict[str, object]:
    return {
        "number": order.number,
        "email": order.email,
        "placed_at": _time(order),
        "total": order.total,
        "currency": order.currency,
        "lines": [{"sku": line.sku, "price": line.price} for line in order.lines],
    }


def _time(order: Order) -> str:
    return order.placed_at.strftime("%Y-%m-%dT%H:%M:%SZ")


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
    with parts.database.reading() as session:
        try:
            order = Order.find(session, number)
        except UnknownOrder:
            raise WrongCall(
                f"there is no order {number!r}; 'bin/flask orders list' shows them"
            ) from None
        if as_json:
            row = _row(order) | {"name": order.name, "address": order.address}
            click.echo(json.dumps(row, indent=1))
            return
        click.echo(f"Order {order.number}, placed {_time(order)}")
        rows = [
            (line.sku, f"{line.brand} {line.product}, size {line.size}", line.price)
            for line in order.lines
        ]
        shown = [
            (f"  {sku}", what, format_money(price, order.currency))
            for sku, what, price in [*rows, ("Total", "", order.total)]
        ]
        click.echo("\n".join(table(shown, right=(2,))))
        click.echo(f"To: {order.name}, {', '.join(order.address.splitlines())}")
        click.echo(f"E-mail: {order.email}")
