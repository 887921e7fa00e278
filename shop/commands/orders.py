"""What was bought."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click
from sqlalchemy import bindparam, select

from shop.changes import order_name
from shop.command_services import command_services as services
from shop.commands import Group, WrongCall, on_database, order_edits, order_files
from shop.commands.order_filters import filters
from shop.commands.tables import table
from shop.costs import percent
from shop.db import Transaction
from shop.models import Order, OrderChange, OrderLine, UnknownOrder, Wanted, orders_wanted
from shop.models.mail import COPY, queue_mail
from shop.models.order_state import lock_order
from shop.moments import moment_in_utc
from shop.money import format_money


@click.group(cls=Group)
def orders() -> None:
    """List orders, and see each on its way."""


for command in (*order_edits.COMMANDS, *order_files.COMMANDS):
    orders.add_command(command)


@orders.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
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
    none = NONE if wanted == Wanted() else NONE_WANTED
    for text in _as_json(pages) if as_json else _as_lines(pages, none):
        click.echo(text, nl=False)


#: What is said where no order is listed.
NONE = "There are no orders yet."
NONE_WANTED = "There are no orders as asked for."

Pages = Iterator[list[tuple[Any, list[Any]]]]


def _as_json(pages: Pages) -> Iterator[str]:
    """Write one array, an order on each line."""
    before = "[\n"
    for page in pages:
        yield before + ",\n".join(json.dumps(_row(order, lines)) for order, lines in page)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _as_lines(pages: Pages, said_of_none: str) -> Iterator[str]:
    none = True
    for page in pages:
        none = False
        yield "".join(f"{_line(order, len(lines))}\n" for order, lines in page)
    if none:
        yield f"{said_of_none}\n"


def _line(order: Any, pieces: int) -> str:
    total = format_money(order.total, order.currency)
    what = f"{pieces} {'piece' if pieces == 1 else 'pieces'}"
    return (
        f"{order.number}  {_time(order)}  {what:>9}  {total:>12}  {order.state:<9}  {order.email}"
    )


def _row(order: Any, lines: Sequence[Any]) -> dict[str, object]:
    return {
        "number": order.number,
        "state": order.state,
        "email": order.email,
        "name": order.name,
        "address": order.address,
        "placed_at": _time(order),
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


def _time(order: Any) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(order.placed))


@orders.command("resend")
@click.argument("number")
@on_database
def resend(number: str) -> None:
    """Have the mail of an order sent once more; not again while one waits.

    \b
    Example:
      bin/flask orders resend K7QX-4MNP
    """

    def work(transaction: Transaction) -> bool:
        order_id, _ = lock_order(transaction, number)
        transaction.note(order_name(order_id))
        return queue_mail(transaction, COPY, order_id)

    try:
        queued = services.database.transact(work)
    except UnknownOrder:
        raise WrongCall(
            f"there is no order {number!r}; 'bin/flask orders list' shows them"
        ) from None
    click.echo("It is sent once more." if queued else "A mail of this order waits already.")


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
            rows = session.execute(_CHANGES, {"of_order": order.id}).all()
            session.expunge_all()
    except UnknownOrder:
        raise WrongCall(
            f"there is no order {number!r}; 'bin/flask orders list' shows them"
        ) from None
    if as_json:
        row = _row(order, order.lines) | {"changes": [_change(row) for row in rows]}
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
    yield f"Order {order.number}, placed {_time(order)}: {order.state}"
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
