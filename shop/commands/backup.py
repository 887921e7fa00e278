"""Writing a backup."""

from __future__ import annotations

from pathlib import Path

import click

from shop import backups
from shop.command_services import command_services as services
from shop.commands import CannotBeDone, WholeNumber, in_shop
from shop.commands.places import NewPlace
from shop.migrations import check


@click.command()
@click.argument("folder", type=NewPlace("folder", deep=True))
@click.option(
    "--keep",
    default=14,
    show_default=True,
    metavar="N",
    type=WholeNumber(1, 10_000),
    help="How many backups stay in FOLDER, this one among them.",
)
@in_shop
def backup(folder: Path, keep: int) -> None:
    """Write a backup into a folder of its own in FOLDER, while the shop serves.

    It holds the database as of one moment (shop.sqlite3, or shop.dump of a PostgreSQL), and the
    secret key if the shop generated one. The link "latest" leads to it. Older backups beyond the
    newest N are deleted, in the order in which they were written; nothing else in FOLDER is.

    How to go back to one: docs/operations.md, "Backup and restore".

    \b
    Example:
      bin/flask db backup /var/backups/shop --keep 14
    """
    check(services.database)
    try:
        written = backups.write(services.settings, services.database, folder)
        _note()
        left = backups.keep_newest(folder, keep)
    except (backups.CannotBackUp, OSError) as error:
        raise CannotBeDone(str(error)) from None
    there = f"{len(left)} backups" if len(left) > 1 else "the only backup"
    click.echo(f"{written.path}: {written.size / 1e6:,.1f} MB, {there} in {folder}")


def _note() -> None:
    """Have `/metrics` know of it."""
    try:
        backups.note(services.settings.instance)
    except OSError as error:
        click.echo(f"Warning: /metrics does not know of this backup: {error}", err=True)
