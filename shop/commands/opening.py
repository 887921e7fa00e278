"""The drop itself: products open, at once or at a moment, and close."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import click

from shop.command_services import command_services as services
from shop.commands import CannotBeDone, WrongCall, on_database
from shop.commands.screen import count
from shop.db import Transaction
from shop.models import Product, cancel, close, database_time, schedule
from shop.models import release as open_sale
from shop.moments import here, in_utc, span

#: How far ahead a moment may lie, in milliseconds: ten years.
_FARTHEST = 10 * 366 * 86_400_000

_EXAMPLE = "2026-12-01T12:00:00+01:00"


class Moment(click.ParamType[int]):
    """A moment with its zone, as milliseconds since 1970."""

    name = "time"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        try:
            moment = datetime.fromisoformat(str(value).strip())
        except ValueError:
            self.fail(f"{value!r} is not a time such as {_EXAMPLE}", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no zone: write it as in {_EXAMPLE}, or Z for UTC", param, ctx)
        return int(moment.timestamp() * 1000)


@click.command("release")
@click.argument("products", metavar="PRODUCT...", nargs=-1, required=True)
@click.option("--at", "moment", type=Moment(), metavar="TIME", help=f"When, as in {_EXAMPLE}.")
@click.option("--cancel", "cancels", is_flag=True, help="Take an announced moment back.")
@on_database
def release(products: tuple[str, ...], moment: int | None, cancels: bool) -> None:
    """Open the sale of products, by id or sku: every open tab shows the sizes at once.

    All of them open in one moment; releasing twice changes nothing. With --at they open by
    themselves at that time, by the database's clock, as long as a server of the shop runs. Pages
    count down to it.
    'bin/flask catalog list' shows their ids and skus.

    \b
    Examples:
      bin/flask release 1 2
      bin/flask release OST-KILN --at 2026-12-01T12:00:00+01:00
      bin/flask release OST-KILN --cancel
    """
    if moment is not None and cancels:
        raise WrongCall("--at announces a moment, --cancel takes one back: give one of them")
    skus = _find(products)
    if moment is not None:
        _announce(skus, moment)
    elif cancels:
        _change(skus, cancel, "has no moment any more", "had no moment to take back")
    else:
        _change(skus, open_sale, "is released", "was released before")


@click.command("close")
@click.argument("products", metavar="PRODUCT...", nargs=-1, required=True)
@on_database
def close_sale(products: tuple[str, ...]) -> None:
    """Take a release back: products are coming soon again, and nobody can buy them.

    They stay in the carts that hold them, marked as not released. Closing twice changes nothing.

    \b
    Example:
      bin/flask close OST-KILN
    """
    _change(_find(products), close, "is closed: coming soon", "was not on sale")


def _find(names: tuple[str, ...]) -> dict[int, str]:
    """Return the skus of products by their ids."""
    with services.database.reading() as session:
        found = [Product.find(session, name) for name in names]
    return {product.id: product.sku for product in found}


def _change(
    skus: dict[int, str], rule: Callable[[Transaction, int], bool], done: str, before: str
) -> None:
    results = services.database.transact(lambda tx: {i: rule(tx, i) for i in skus})
    for product_id, changed in results.items():
        click.echo(f"{skus[product_id]} {done if changed else before}")
    _report_open_tabs()


def _announce(skus: dict[int, str], moment: int) -> None:
    left = moment - database_time(services.database)
    if left <= 0:
        raise WrongCall(f"{in_utc(moment)} has passed; without --at they open now")
    if left > _FARTHEST:
        raise WrongCall(f"{in_utc(moment)} is more than ten years away")
    services.database.transact(lambda transaction: _schedule_all(transaction, skus, moment))
    for sku in skus.values():
        click.echo(f"{sku} opens at {in_utc(moment)} ({here(moment)} here), in {span(left, 2)}")
    _report_open_tabs()


def _schedule_all(transaction: Transaction, skus: dict[int, str], moment: int) -> None:
    """Announce a moment for all of them or, if one is open already, for none."""
    for product_id, sku in skus.items():
        if not schedule(transaction, product_id, moment):
            raise CannotBeDone(
                f"{sku} is on sale already; nothing was announced ('bin/flask close {sku}' first)"
            )


def _report_open_tabs() -> None:
    overview = services.presence.overview(brief=True)
    for trouble in overview.troubles:
        click.echo(f"Warning: {trouble}", err=True)
    if overview.servers:
        where = count(len(overview.servers), "server")
        click.echo(f"{count(overview.tabs, 'open tab')} on {where} saw it")
    elif not overview.troubles:
        shown = services.database.shown_url
        click.echo(f"No server of this shop is running ({shown}): no open tab saw it")
