"""Selling from a terminal, as purchases elsewhere would."""

from __future__ import annotations

import random
import time
from collections import Counter

import click
from sqlalchemy import func, select

from shop.command_services import command_services as services
from shop.commands import CannotBeDone, WholeNumber, on_database
from shop.commands.login import login_name
from shop.db import Transaction
from shop.models import WITHDRAWN, Item, NotReleased, Order, OutOfStock, Product, Withdrawn
from shop.models import sell as sell_pieces
from shop.models.catalog import MOST_PIECES
from shop.models.ledger import COUNTER_SALE, Cause


@click.command()
@click.argument("sku")
@click.option(
    "--count",
    type=WholeNumber(1, MOST_PIECES),
    default=1,
    show_default=True,
    help="How many pieces.",
)
@on_database
def sell(sku: str, count: int) -> None:
    """Sell pieces of an item: all that were asked for, or none.

    \b
    Example:
      bin/flask sell OST-KILN-095 --count 3
    """
    with services.database.reading() as session:
        item = Item.find(session, sku)

    def work(transaction: Transaction) -> int:
        sell_pieces(transaction, item.id, count, Cause(COUNTER_SALE, who=login_name()))
        ((left,),) = transaction.execute(select(Item.available).where(Item.id == item.id))
        return int(left)

    try:
        left = services.database.transact(work)
    except OutOfStock:
        raise CannotBeDone(f"{sku}: fewer than {count} left; nothing was sold") from None
    except Withdrawn:
        raise CannotBeDone(f"{sku} is hidden or removed; nothing was sold") from None
    except NotReleased:
        raise CannotBeDone(f"{sku} is not released yet; nothing was sold") from None
    click.echo(f"{item.sku}: sold {count}, {left} left")


@click.command("sell-out")
@click.option("--per-tick", type=WholeNumber(1, 100_000), default=200, show_default=True,
              help="Pieces sold at a time.")  # fmt: skip
@click.option("--tick-ms", type=WholeNumber(0, 60_000), default=250, show_default=True,
              help="Milliseconds from one time to the next.")  # fmt: skip
@click.option("--random-seed", type=int, help="The same number sells in the same order again.")
@click.option("--yes", is_flag=True, help="Also when the shop has orders.")
@on_database
def sell_out(per_tick: int, tick_ms: int, random_seed: int | None, yes: bool) -> None:
    """Sell random items that are for sale until nothing is left, to see a drop before it comes.

    It refuses in a shop that has orders, unless you add --yes.

    \b
    Example:
      bin/flask sell-out --per-tick 50 --tick-ms 100
    """
    left = _check_may_sell_out(yes)
    if not left:
        click.echo("Nothing is left to sell.")
        return
    chance, total = random.Random(random_seed), 0
    with click.progressbar(length=left, label="Selling out") as bar:
        while left:
            started = time.monotonic()
            sold, left = services.database.transact(lambda tx: _sell_some(tx, chance, per_tick))
            total += sold
            bar.update(sold)
            if left:
                time.sleep(max(0.0, started + tick_ms / 1000 - time.monotonic()))
    click.echo(f"Sold out: {total:,} pieces sold.")


def _check_may_sell_out(yes: bool) -> int:
    """Return how many pieces are left to sell, or end the command where they aren't to be sold."""
    with services.database.reading() as session:
        left = sum(row.available for row in session.execute(_FOR_SALE))
        released = session.scalar(select(func.count()).where(Product.released))
        orders = session.scalar(select(func.count()).select_from(Order))
    if not left and not released:
        raise CannotBeDone("nothing is released yet, so nothing can be sold")
    if left and orders and not yes:
        raise CannotBeDone(
            f"this shop has orders ({orders:,}), and {left:,} pieces would be sold of "
            f"{services.database.shown_url}; say so with --yes"
        )
    return int(left)


#: What is released and not sold out.
_FOR_SALE = (
    select(Item.id, Item.available)
    .join(Item.product)
    .where(Product.released, ~WITHDRAWN.element, Item.available > 0)
    .order_by(Item.id)
)


def _sell_some(transaction: Transaction, chance: random.Random, most: int) -> tuple[int, int]:
    """Sell up to `most` pieces, each of a random item; return how many, and how many are left."""
    left = {row.id: row.available for row in transaction.execute(_FOR_SALE)}
    cause = Cause(COUNTER_SALE, reason="sell-out", who=login_name())
    picked: Counter[int] = Counter()
    for _ in range(min(most, sum(left.values()))):
        item_id = chance.choice([i for i, available in left.items() if available > picked[i]])
        picked[item_id] += 1
    for item_id, count in picked.items():
        sell_pieces(transaction, item_id, count, cause)
    sold = picked.total()
    return sold, sum(left.values()) - sold
