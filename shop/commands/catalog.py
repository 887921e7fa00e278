"""Filling the shop, emptying it, and the drop itself."""

from __future__ import annotations

import click
from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from shop.changes import EVERYTHING
from shop.commands import CannotBeDone, WrongCall, on_database
from shop.db import note
from shop.demo import NotEmpty
from shop.demo import seed as seed_demo
from shop.models import CartItem, CartRecord, Item, Order, OrderLine, Product, UnknownProduct
from shop.parts import parts


@click.command()
@click.option("--random-seed", type=int, help="The same number gives the same stock again.")
@on_database(demo=False)
def seed(random_seed: int | None) -> None:
    """Fill an empty shop with the demo catalogue.

    Two products, coming soon, with 13 sizes each.

    \b
    Example:
      bin/flask seed --random-seed 7
    """
    try:
        parts.database.write(lambda session: seed_demo(session, random_seed))
    except NotEmpty:
        raise CannotBeDone("there are products already; 'reset --yes' empties the shop") from None
    click.echo("Seeded: 2 products, 26 sizes, coming soon. Next: flask release 1 2")


@click.command()
@click.option("--yes", is_flag=True, help="Really do it.")
@on_database(demo=False)
def reset(yes: bool) -> None:
    """Empty the shop: products, stock, carts and orders. There is no way back.

    \b
    Example:
      bin/flask reset --yes
    """
    if not yes:
        raise WrongCall("this deletes all products, carts and orders; say so with --yes")
    parts.database.write(_delete_everything)
    click.echo("The shop is empty. Next: flask seed")


def _delete_everything(session: Session) -> None:
    tables = [OrderLine, Order, CartItem, CartRecord, Item, Product]
    if session.get_bind().dialect.name == "postgresql":
        # Alone for a moment, so that nobody puts into a cart what is being deleted; and the next
        # product is number 1 again, as in SQLite.
        names = ", ".join(table.__tablename__ for table in tables)
        session.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    else:
        for table in tables:
            session.execute(delete(table))
    note(session, EVERYTHING)


@click.command()
@click.argument("products", metavar="PRODUCT...", nargs=-1, required=True)
@on_database
def release(products: tuple[str, ...]) -> None:
    """Open the sale of products, by id or sku: every open tab shows the sizes at once.

    All of them in one moment; releasing twice changes nothing.

    \b
    Examples:
      bin/flask release 1 2
      bin/flask release OST-KILN
    """
    try:
        results = parts.database.write(lambda session: _release(session, products))
    except UnknownProduct as error:
        raise WrongCall(f"there is no product {str(error)!r}; nothing was released") from None
    for product, opened in results:
        click.echo(f"{product.sku} {'is released' if opened else 'was released before'}")


def _release(session: Session, names: tuple[str, ...]) -> list[tuple[Product, bool]]:
    found = [Product.find(session, name) for name in names]
    return [(product, product.release()) for product in dict.fromkeys(found)]
