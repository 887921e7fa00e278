"""The database's steps from version to version, and the way to take them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import inspect, text

from shop.db import Database
from shop.permissions import close_database, make_file

_HERE = Path(__file__).parent

#: Names the lock that processes take turns by in PostgreSQL: any number, but always this one.
_TURN = 0x5409_0001


class DatabaseMissing(click.ClickException):
    """The database was taken away from beside its journal."""


class DatabaseTooNew(click.ClickException):
    """The database was migrated by a newer release than this one."""


class DatabaseTooOld(click.ClickException):
    """The database is to be migrated by this release first."""


class NoShop(click.ClickException):
    """The database is no shop's."""


def migrate(database: Database, lock_folder: Path, *, create: bool = True) -> bool:
    """Bring the database to this release's tables, creating them if they aren't there.

    Of several processes that start at once, on whichever machine, one does it and the others
    wait.

    Args:
        lock_folder: where the processes of a machine take turns.
        create: False to refuse a database without tables, or a file that isn't there.

    Returns:
        Whether the tables were created.

    Raises:
        DatabaseTooNew: it comes from a newer release. Nothing was changed.
        DatabaseMissing: its file was taken away. None was put in its place.
        NoShop: there is no shop, and none is to be made.
    """
    if database.engine.name == "sqlite":
        return _migrate_file(database, lock_folder, create)
    if _revision(database) == _newest():
        return False
    with _turn(database):
        return _migrate(database, create)


def require_file(file: Path) -> None:
    """See to it that there is a file for a shop's database. Nothing is opened or made.

    Raises:
        NoShop, DatabaseMissing: there is none.
    """
    _check_journal(file)
    if not file.exists():
        raise NoShop(
            f"there is no shop in {file.parent}: no {file.name} there. bin/serve makes one; "
            "SHOP_INSTANCE names the folder of another"
        )


def check(database: Database) -> None:
    """See to it that the database has this release's tables. Nothing is changed.

    Raises:
        NoShop: it has none of the shop's tables.
        DatabaseTooOld, DatabaseTooNew: it has another release's.
    """
    revision = _revision(database)
    if revision == _newest():
        return
    if revision is None:
        raise NoShop(f"{database.shown_url} holds no shop")
    if revision in _known():
        raise DatabaseTooOld(
            f"{database.shown_url} was made by an earlier release of the shop: "
            "start the shop on it once, with this release"
        )
    raise DatabaseTooNew(
        f"{database.shown_url} was made by a newer release of the shop ({revision}): use that one"
    )


def _migrate_file(database: Database, lock_folder: Path, create: bool) -> bool:
    file = Path(str(database.url.database))
    if create:
        _check_journal(file)
    else:
        require_file(file)
    lock_folder.mkdir(parents=True, exist_ok=True)
    turn = lock_folder / ".migrate.lock"
    make_file(turn)
    with open(turn, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Before SQLite opens it: journals are made with the mode that the database has then.
        make_file(file)
        close_database(file)
        return _migrate(database, create)


def _check_journal(file: Path) -> None:
    journal = file.with_name(f"{file.name}-wal")
    if not file.exists() and journal.exists() and journal.stat().st_size:
        # What was sold last is in there; beside a new file, SQLite would throw it away.
        raise DatabaseMissing(f"{file} is missing, but its journal {journal.name} is there")


@contextmanager
def _turn(database: Database) -> Iterator[None]:
    # A transaction, as another session may be given to whatever is outside of one by a pooler;
    # with time, as another's migration may take long.
    begin = "BEGIN; SET LOCAL statement_timeout = 0"
    begin += "; SET LOCAL idle_in_transaction_session_timeout = 0"
    with database.engine.connect().execution_options(shop_begin=begin) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
        yield


def _migrate(database: Database, create: bool) -> bool:
    before = _revision(database)
    if before is None and not create:
        raise NoShop(f"{database.shown_url} holds no shop; bin/serve makes one there")
    if before != _newest():
        if before not in (None, *_known()):
            raise DatabaseTooNew(
                f"{database.url.database} was made by a newer release of the shop ({before})"
            )
        _upgrade(database)
    return before is None


def _upgrade(database: Database, revision: str = "head") -> None:
    # Known only here: nearly every start and every command finds nothing to do.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.attributes["database"] = database
    command.upgrade(config, revision)


def _revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def _newest() -> str:
    return _known()[-1]


def _known() -> list[str]:
    """Return this release's steps, the latest last: the names of their files begin with them."""
    return sorted(file.name.partition("_")[0] for file in _HERE.glob("versions/[0-9]*_*.py"))
