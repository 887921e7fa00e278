"""The database's steps from version to version, and the way to take them."""

from __future__ import annotations

import fcntl
from pathlib import Path

import click
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from shop.db import Database


class DatabaseMissing(click.ClickException):
    """The database was taken away from beside its journal."""


class DatabaseTooNew(click.ClickException):
    """The database was migrated by a newer release than this one."""


def migrate(database: Database, lock_folder: Path) -> bool:
    """Bring the database to this release's tables, creating it if it isn't there.

    Of several processes that start at once, one does it and the others wait.

    Returns:
        Whether the database was created.

    Raises:
        DatabaseTooNew: it comes from a newer release. Nothing was changed.
        DatabaseMissing: its file was taken away. None was put in its place.
    """
    file = Path(str(database.url.database))
    journal = file.with_name(f"{file.name}-wal")
    if not file.exists() and journal.exists() and journal.stat().st_size:
        # What was sold last is in there; beside a new file, SQLite would throw it away.
        raise DatabaseMissing(f"{file} is missing, but its journal {journal.name} is there")
    lock_folder.mkdir(parents=True, exist_ok=True)
    with open(lock_folder / ".migrate.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        created = _migrate(database)
        if created:
            # It will hold names and addresses; its journals take over its mode.
            Path(str(database.url.database)).chmod(0o600)
        return created


def _migrate(database: Database) -> bool:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with database.engine.connect() as connection:
        before = MigrationContext.configure(connection).get_current_revision()
    if before != ScriptDirectory.from_config(config).get_current_head():
        config.attributes["database"] = database
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseTooNew(
                f"{database.url.database} was made by a newer release of the shop ({error})"
            ) from None
    return before is None
