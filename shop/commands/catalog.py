"""The products, filling the shop and emptying it, and the drop itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

import click
from sqlalchemy import bindparam, delete, func, select, text
from sqlalchemy.orm import Session

from shop import backups
from shop.changes import EVERYTHING
from shop.command_services import command_services as services
from shop.commands import EMPTY, CannotBeDone, Group, WrongCall, on_database, products
from shop.commands.database_copy import tables
from shop.commands.login import login_name
from shop.commands.screen import count
from shop.commands.tables import table
from shop.db import Transaction
from shop.demo import NotEmpty
from shop.demo import seed as seed_demo
from shop.models import (
    CartRecord,
    Item,
    Order,
    Product,
)
from shop.moments import in_utc, moment_in_utc
from shop.pictures.paths import FOLDER as MEDIA


@click.group(cls=Group)
def catalog() -> None:
    """List, import and change the products."""


for command in products.COMMANDS:
    catalog.add_command(command)


@catalog.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@on_database
def list_products(as_json: bool) -> None:
    """List every product with its id, sku, state and counts, in the order of the page.

    \b
    Examples:
      bin/flask catalog list
      bin/flask catalog list --json | jq '.[] | select(.state == "coming soon") | .sku'
    """
    with services.database.reading() as session:
        listed = select(Product).where(~Product.removed).order_by(Product.position, Product.id)
        rows = [_row(product) for product in session.scalars(listed)]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    elif not rows:
        click.echo(EMPTY)
    else:
        heading = ("ID", "SKU", "NAME", "STATE", "SIZES", "SOLD OUT", "LEFT")
        names = ("id", "sku", "name", "state", "sizes", "sold_out", "available")
        lines = [heading, *([row[name] for name in names] for row in rows)]
        click.echo("\n".join(table(lines, right=(0, 4, 5, 6))))


def _row(product: Product) -> dict[str, object]:
    counts = [item.available for item in product.items]
    state = "sold out" if not any(counts) else "on sale"
    return {
        "id": product.id,
        "sku": product.sku,
        "brand": product.brand,
        "name": product.name,
        "color": product.color,
        "price": product.price,
        "state": _state(product, state),
        "released": product.released,
        "opens_at": None if product.opens_at is None else moment_in_utc(product.opens_at),
        "sizes": len(counts),
        "sold_out": counts.count(0),
        "available": sum(counts),
    }


def _state(product: Product, released: str) -> str:
    if product.hidden:
        return "hidden"
    if product.released:
        return released
    return f"opens {in_utc(product.opens_at)}" if product.opens_at else "coming soon"


@click.command()
@click.option("--random-seed", type=int, help="The same number gives the same stock again.")
@on_database(makes_shop=True)
def seed(random_seed: int | None) -> None:
    """Fill an empty shop with the demo catalogue.

    Two products, coming soon, with 13 sizes each. Where there is no shop it makes one, and says
    so.

    \b
    Example:
      bin/flask seed --random-seed 7
    """
    try:
        services.database.transact(lambda tx: seed_demo(tx, random_seed, login_name()))
    except NotEmpty:
        raise CannotBeDone(
            "there are products already; 'bin/flask reset --yes' empties the shop"
        ) from None
    click.echo("Seeded: 2 products, 26 sizes, coming soon. Next: bin/flask release 1 2")


@click.command()
@click.option("--yes", is_flag=True, help="Really do it.")
@click.option(
    "--backup/--no-backup",
    "with_backup",
    default=True,
    help="Whether to write a backup first, into the instance folder.",
)
@on_database
def reset(yes: bool, with_backup: bool) -> None:
    """Empty the shop: products, stock, carts and orders.

    Without --yes it says what it would delete, and deletes nothing. With it, it writes a backup
    into the instance folder first; --no-backup leaves that out, and there is no way back then.

    \b
    Examples:
      bin/flask reset
      bin/flask reset --yes
    """
    with services.database.reading() as session:
        contents = _contents(session)
    if not yes:
        raise WrongCall(
            f"this deletes {contents} of {services.database.shown_url}; say so with --yes"
        )
    if with_backup:
        click.echo(f"Backup: {_back_up()}")
    services.database.transact(_delete_everything)
    rmtree(services.settings.instance / MEDIA, ignore_errors=True)
    click.echo(f"The shop is empty: {contents} deleted. Next: bin/flask seed")


def _back_up() -> Path:
    """Write a backup of the shop beside it, and return its folder."""
    folder = services.settings.instance / "backups"
    try:
        return backups.write(services.settings, services.database, folder).path
    except (backups.CannotBackUp, OSError) as error:
        raise CannotBeDone(f"{error}; nothing was deleted (--no-backup does without)") from None


def _contents(session: Session) -> str:
    kinds = {"product": Product, "size": Item, "cart": CartRecord, "order": Order}
    counts = {
        name: session.scalar(select(func.count()).select_from(kind)) or 0
        for name, kind in kinds.items()
    }
    *first, last = [count(number, name) for name, number in counts.items()]
    return f"{', '.join(first)} and {last}"


def _delete_everything(transaction: Transaction) -> None:
    emptied = tables()
    with _books_open(transaction):
        if transaction.dialect == "postgresql":
            # Alone for a moment, so that nobody puts into a cart what is being deleted; and the
            # next product is number 1 again, as in SQLite.
            names = ", ".join(table.name for table in emptied)
            transaction.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        else:
            for table_ in reversed(emptied):  # those first that refer to others
                transaction.execute(delete(table_))
    transaction.note(EVERYTHING)


@contextmanager
def _books_open(transaction: Transaction) -> Iterator[None]:
    """Let the books be emptied within a transaction: the database refuses it at all other times."""
    if transaction.dialect == "postgresql":
        for table in _BOOKS:
            transaction.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        yield
        for table in _BOOKS:
            transaction.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
        return
    guards = transaction.execute(_GUARDS, {"books": list(_BOOKS)})
    for name, _ in guards:
        transaction.execute(text(f"DROP TRIGGER {name}"))
    yield
    for _, made_by in guards:
        transaction.execute(text(made_by))


#: What the database refuses to change, and SQLite's triggers that do.
_BOOKS = ("movements", "order_changes")
_GUARDS = text(
    "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN :books"
).bindparams(bindparam("books", expanding=True))
