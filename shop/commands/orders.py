"""What was bought."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click
from sqlalchemy import bindparam, select

from shop.changes import order_name
from shop.command_services import command_services as services
from shop.commands import Group, on_database, order_edits, order_files
from shop.commands.listing import write_json, write_lines
from shop.commands.order_filters import filters
from shop.commands.screen import count
from shop.commands.tables import table
from shop.costs import percent
from shop.db import Transaction
from shop.models import Order, OrderChange, OrderLine, Wanted, orders_wanted
from shop.models.mail import COPY, queue_mail
from shop.models.order_state import lock_order
from shop.moments import moment_in_utc, second_in_utc
from shop.money import format_money


@click.group(cls=Group)
def orders() -> None:
    """List orders, and note what becomes of each."""


for command in (*order_edits.COMMANDS, *order_files.COMMANDS):
    orders.add_command(command)


@orders.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@on_database
@filters
def list_orders(wanted: Wanted, as_json: bool) -> None:
    """List orders, oldest first: every one, or those that are asked for.

    \b
    Examples:
      bin/flask orders list --state paid --since 2026-12-01T00:00:00Z
      bin/flask orders list --json | jq length
    """
    pages = orders_wanted(services.database, wanted)
    if as_json:
        write_json(pages, _row)
    else:
        none = "There are no orders yet." if wanted == Wanted() else "There are no such orders."
        write_lines(pages, _line, none)


def _line(found: tuple[Any, Sequence[Any]]) -> str:
    order, lines = found
    total, what = format_money(order.total, order.currency), count(len(lines), "piece")
    placed = second_in_utc(order.placed)
    return f"{order.number}  {placed}  {what:>9}  {total:>12}  {order.state:<9}  {order.email}"


def _row(found: tuple[Any, Sequence[Any]]) -> dict[str, object]:
    order, lines = found
    return {
        "number": order.number,
        "state": order.state,
        "email": order.email,
        "name": order.name,
        "address": order.address,
        "placed_at": second_in_utc(order.placed),
        "total": order.total,
        "currency": order.currency,
        "tracking": order.tracking,
        **{part: getattr(order, part) for part in ("street", "street2", "postcode")},
        **{part: getattr(order, part) for part in ("town", "country", "phone")},
        "shipping": order.shipping,
        "tax": order.tax,
        "tax_rate": percent(order.tax_rate),
        "tax_kind": order.tax_kind,
        "lines": [_line_row(line) for line in lines],
    }


def _line_row(line: Any) -> dict[str, object]:
    row = {"sku": line.sku, "price": line.price}
    return {**row, "ended": line.ended} if line.ended else row


@orders.command("resend")
@click.argument("number")
@on_database
def resend(number: str) -> None:
    """Send the mail of an order once more, unless one still waits.

    \b
    Example:
      bin/flask orders resend K7QX-4MNP
    """

    def work(transaction: Transaction) -> bool:
        order_id, _ = lock_order(transaction, number)
        transaction.note(order_name(order_id))
        return queue_mail(transaction, COPY, order_id)

    queued = services.database.transact(work)
    click.echo("It is sent once more." if queued else "A mail of this order waits already.")


@orders.command("show")
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@on_database
def show_order(number: str, as_json: bool) -> None:
    """Show an order: what was bought, by whom, and where to.

    \b
    Example:
      bin/flask orders show K7QX-4MNP
    """
    with services.database.reading() as session:
        order = Order.find(session, number)
        rows = session.execute(_CHANGES, {"of_order": order.id}).all()
        session.expunge_all()
    if as_json:
        row = _row((order, order.lines)) | {"changes": [_change(row) for row in rows]}
        click.echo(json.dumps(row, indent=1))
        return
    click.echo("\n".join([*_shown(order), *_history(rows)]))


def _change(row: Any) -> dict[str, object]:
    what = {"at": moment_in_utc(row.at), "who": row.who, "from": row.before, "to": row.after}
    return {**what, "why": row.why, "sku": row.sku}


def _history(rows: Sequence[Any]) -> Iterator[str]:
    """Tell how an order came to be as it is."""
    lines = [
        (f"  {moment_in_utc(row.at)}", row.sku or "", row.after, f"by {row.who}", row.why)
        for row in rows
    ]
    yield from table(lines) if lines else ()


def _shown(order: Order) -> Iterator[str]:
    yield f"Order {order.number}, placed {second_in_utc(order.placed)}: {order.state}"
    rows = [
        (line.sku, f"{line.brand} {line.product}, size {line.size}{_end(line)}", line.price)
        for line in order.lines
    ]
    shown = [
        (f"  {sku}", what, format_money(price, order.currency))
        for sku, what, price in [*rows, *_costs(order), ("Total", "", order.total)]
    ]
    yield from table(shown, right=(2,))
    yield f"To: {order.name}, {', '.join(order.address.splitlines())}"
    yield f"E-mail: {order.email}"
    if order.phone:
        yield f"Phone: {order.phone}"
    if order.tracking:
        yield f"Tracking: {order.tracking}"


def _costs(order: Order) -> Iterator[tuple[str, str, int]]:
    """Give what an order costs besides its lines, and the tax that is in their prices."""
    if order.shipping:
        yield ("Shipping", f"to {order.country}", order.shipping)
    if order.tax_kind:
        yield ("Tax", f"{order.tax_percent} %, {order.tax_kind}", order.tax)


def _end(line: Any) -> str:
    return f" ({line.ended})" if line.ended else ""


_CHANGES = (
    select(OrderChange.at, OrderChange.who, OrderChange.before, OrderChange.after)
    .add_columns(OrderChange.why, OrderLine.sku)
    .outerjoin(OrderLine, OrderLine.id == OrderChange.line_id)
    .where(OrderChange.order_id == bindparam("of_order"))
    .order_by(OrderChange.id)
)
