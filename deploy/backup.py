"""Write a backup of the shop while it serves: what it would need on another machine.

With PostgreSQL also /etc/shop/shop.env is needed there, which holds the secret key.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy.engine import URL

from shop.config import Settings, load_settings


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--keep", default=14, show_default=True, type=click.IntRange(1), metavar="N")
def backup(folder: Path, keep: int) -> None:
    """Write a backup into a folder of its own in FOLDER, and keep the N newest of them.

    It holds the database as of one moment (shop.sqlite3, or shop.dump of a PostgreSQL), and the
    secret key if the shop generated one.
    """
    os.umask(0o077)  # names and addresses are in there
    settings = load_settings()
    written = _write(settings, folder / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%fZ}")
    for old in _backups(folder)[:-keep]:
        shutil.rmtree(old)
    size = sum(file.stat().st_size for file in written.iterdir())
    click.echo(f"{written}: {size / 1e6:,.1f} MB")


def _write(settings: Settings, target: Path) -> Path:
    """Write it beside, and give it its name when it is whole and on the disk."""
    draft = target.with_name(f".{target.name}")
    draft.mkdir(parents=True)
    try:
        if settings.database_url.get_backend_name() == "sqlite":
            _copy_file(Path(str(settings.database_url.database)), draft / "shop.sqlite3")
        else:
            _dump(settings.database_url, draft / "shop.dump")
        key = settings.instance / "secret_key"
        if key.exists():
            shutil.copyfile(key, draft / key.name)
        _sync(draft)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _sync(target.parent)
    return target


def _copy_file(database: Path, copy: Path) -> None:
    """Copy a SQLite database as of one moment; who writes to it meanwhile doesn't wait."""
    if not database.exists():  # connecting would create it
        raise click.ClickException(f"there is no database {database}")
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    with closing(sqlite3.connect(copy)) as connection:
        (said,) = connection.execute("PRAGMA quick_check").fetchone()
    if said != "ok":
        raise click.ClickException(f"the copy of {database} is damaged: {said}")


def _dump(url: URL, file: Path) -> None:
    """Have pg_dump write one moment's state; the password goes by the environment."""
    command = ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={file}"]
    # Not by `url.set`, which takes None for "as it is".
    address = url._replace(drivername="postgresql", password=None).render_as_string()
    environ = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    if subprocess.run([*command, address], env=environ, check=False).returncode:  # noqa: S603
        raise click.ClickException("pg_dump could not write the backup: its reason is above")


def _backups(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.glob("????-??-??T*Z") if entry.is_dir())


def _sync(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        if path.is_file() or path == folder:
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


if __name__ == "__main__":
    backup()
