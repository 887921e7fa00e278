"""The database as a whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from shop.command_services import command_services as services
from shop.commands import CannotBeDone, Group, WrongCall, database_copy, in_shop
from shop.commands.backup import backup
from shop.db import Database, open_database
from shop.migrations import check, migrate
from shop.setting_values import read_database_url


class _Address(click.ParamType[URL]):
    """Where a database is, as in `SHOP_DATABASE_URL`."""

    name = "url"

    def convert(
        self, value: str | URL, param: click.Parameter | None, ctx: click.Context | None
    ) -> URL:
        name = param.opts[0] if param else "URL"
        return value if isinstance(value, URL) else read_database_url(name, value.strip())


@click.group(cls=Group)
def db() -> None:
    """Back the shop up, or move it from one database to another."""


db.add_command(backup)


@db.command("copy")
@click.option("--from", "source", type=_Address(), required=True, help="The shop's database.")
@click.option("--to", "target", type=_Address(), required=True, help="An empty database.")
@click.option(
    "--while-open",
    is_flag=True,
    help="Also while the shop is open; what is bought from then on is left behind.",
)
@in_shop(needs_shop=False)
def copy(source: URL, target: URL, while_open: bool) -> None:
    """Copy the whole shop into another, empty database: SQLite or PostgreSQL, either way.

    Close the shop first. The copy is of one moment, and it is kept only if it is the same row by
    row: all is copied or nothing. The database that is copied is not changed.

    Addresses are those of SHOP_DATABASE_URL; a relative path to a file is from the shop's own
    folder, as there. A password that is not to be seen may stand in ~/.pgpass instead.

    \b
    Examples:
      bin/flask db copy --from sqlite:///instance/shop.sqlite3 \\
                        --to postgresql://shop:password@db.internal/shop
      bin/flask db copy --from postgresql://shop@db.internal/shop \\
                        --to sqlite:////var/backups/shop.sqlite3
    """
    if _shown(source) == _shown(target):
        raise WrongCall("--from and --to are the same database; nothing was changed")
    with _shop_at(source, while_open) as reader:
        _report_moment(reader)
        counts = _copy(reader, target)
    for name, rows in counts.items():
        click.echo(f"{name:<12} {rows:>13,}  same")
    _report_next_steps(source, target)


@contextmanager
def _shop_at(url: URL, while_open: bool) -> Iterator[Connection]:
    """Give a connection that reads one state of the shop in a database, and takes its time."""
    _check_file(url)
    with closing(open_database(url, read_only=True)) as database:
        if database.in_use() and not while_open:
            raise CannotBeDone(
                f"{_shown(url)} is still in use: close all servers of the shop first, or say "
                "--while-open and leave behind what is bought from now on"
            )
        check(database)
        with database.reading() as session:
            connection = session.connection()
            database_copy.take_time(connection)
            yield connection


def _check_file(url: URL) -> None:
    if _is_file(url) and not Path(str(url.database)).is_file():
        raise CannotBeDone(f"there is no file {url.database} to copy from")


def _copy(source: Connection, url: URL) -> dict[str, int]:
    try:
        _check_empty(url)
        with closing(open_database(url)) as target:
            migrate(target, services.settings.instance)
            return _copy_rows(source, target)
    except database_copy.NotEmpty as error:
        raise CannotBeDone(
            f"{_shown(url)} is not empty ({error}): copy into a new database; nothing was changed"
        ) from None
    except database_copy.RowRefused as error:
        raise CannotBeDone(f"can't be copied: {error}; nothing was copied") from None
    except database_copy.Different as error:
        raise CannotBeDone(f"the copy differs in {error}; nothing was copied") from None


def _check_empty(url: URL) -> None:
    """Look at the target before it is brought to this release's tables: it may be a shop's."""
    if _is_file(url) and not Path(str(url.database)).exists():
        return
    with closing(open_database(url, read_only=True)) as target, target.reading() as session:
        database_copy.check_empty(session.connection())


def _copy_rows(source: Connection, target: Database) -> dict[str, int]:
    times = 3  # a row is copied, and then read again on both sides
    with click.progressbar(
        length=times * database_copy.count_rows(source),
        label="Copying and comparing",
        hidden=not sys.stdout.isatty(),
    ) as bar:
        return database_copy.copy(source, target, bar.update)


def _report_moment(source: Connection) -> None:
    """Say of which moment the copy is; from now on the source is read as it was then."""
    now = datetime.now(UTC)
    rows = database_copy.count_rows(source)
    click.echo(
        f"Copying {rows:,} rows as of {now:%H:%M:%S} UTC. What is bought later is not in it."
    )


def _report_next_steps(source: URL, target: URL) -> None:
    key = "the one that was set so far"
    if _is_file(source):
        file = Path(str(source.database)).with_name("secret_key")
        key += f"; if none was, what is in {file}"
    click.echo(
        "Copied. Before the shop is started again, set for every server, or all carts are lost:\n"
        f"  SHOP_SECRET_KEY    {key}\n"
        f"  SHOP_DATABASE_URL  {_shown(target)}"
    )


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _shown(url: URL) -> str:
    """Return an address as an operator writes it, without a password."""
    if _is_file(url):
        url = url.set(database=str(Path(str(url.database)).resolve()))
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)
