"""Backups: a folder each, numbered in the order in which they were written.

A name begins with the date, for people. What is newer follows from the number behind it: a clock
that was wrong once makes no backup look newer than those that follow.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL

from shop import elapsed, postgresql_clients
from shop.config import Settings
from shop.db import Database

#: What a backup may hold: the database as a file, or as a dump of PostgreSQL; the shop's own key.
DATABASE_FILE, DUMP, KEY = "shop.sqlite3", "shop.dump", "secret_key"

#: Leads to the newest one.
LATEST = "latest"

#: Releases before 1.1 gave no numbers: those come before all that have one.
_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d{6})?Z(?:-(?P<number>\d{6,}))?")

_DRAFT = ".draft-"


class CannotBackUp(Exception):
    """No backup was written; the message says why, in one line."""


@dataclass(frozen=True, order=True)
class Backup:
    """One that is whole."""

    number: int
    name: str
    path: Path

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(file.stat().st_size for file in self.path.iterdir())


def write(settings: Settings, database: Database, folder: Path) -> Backup:
    """Write a backup into a folder of its own: of one moment, while the shop goes on.

    Args:
        database: the shop's, open.
        folder: where its backups are.

    Raises:
        CannotBackUp: nothing was written.
    """
    try:
        with _alone_in(folder):
            return _write(settings, database, folder)
    except (OSError, sqlite3.Error) as error:
        raise CannotBackUp(f"no backup was written into {folder}: {error}") from error


def found_in(folder: Path) -> list[Backup]:
    """Return the backups in a folder, oldest first. What is no backup is left out."""
    return sorted(backup for path in folder.iterdir() if (backup := _read(path)) is not None)


def keep_newest(folder: Path, count: int) -> list[Backup]:
    """Delete all backups in a folder but the newest ones, and return those.

    Raises:
        CannotBackUp: one can't be deleted.
    """
    backups = found_in(folder)
    try:
        for old in backups[:-count]:
            shutil.rmtree(old.path)
    except OSError as error:
        raise CannotBackUp(f"an old backup can't be deleted: {error}") from error
    return backups[-count:]


def _read(path: Path) -> Backup | None:
    name = _NAME.fullmatch(path.name)
    if name is None or path.is_symlink() or not path.is_dir():
        return None
    held = {file.name for file in path.iterdir()} - {KEY}
    if held not in ({DATABASE_FILE}, {DUMP}):
        return None
    return Backup(int(name["number"] or 0), path.name, path)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let nobody else write into a folder; what one that was killed left behind goes away."""
    before = os.umask(0o077)  # names and addresses are in there
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotBackUp(f"another backup is being written into {folder}") from None
            for left in folder.glob(f"{_DRAFT}*"):
                shutil.rmtree(left)
            yield
    finally:
        os.umask(before)


def _write(settings: Settings, database: Database, folder: Path) -> Backup:
    """Write it beside, and give it its name when it is whole and on the disk."""
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=folder))
    try:
        if settings.database_url.get_backend_name() == "sqlite":
            _copy_file(Path(str(settings.database_url.database)), draft / DATABASE_FILE)
        else:
            _dump(database, settings.database_url, draft / DUMP)
        with suppress(FileNotFoundError):
            shutil.copyfile(settings.instance / KEY, draft / KEY)
        _sync(draft)
        number = 1 + max((backup.number for backup in found_in(folder)), default=0)
        path = draft.rename(folder / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}-{number:06}")
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _lead_to(path)
    _sync(folder)
    return Backup(number, path.name, path)


def _copy_file(file: Path, copy: Path) -> None:
    """Copy a SQLite database as of one moment; writers meanwhile don't wait."""
    # mode=rw: a database that was taken away must not come back as an empty file.
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", 30, uri=True)) as source:
        source.execute("VACUUM INTO ?", (str(copy),))
    with closing(sqlite3.connect(copy)) as written:
        (said,) = written.execute("PRAGMA quick_check").fetchone()
    if said != "ok":
        raise CannotBackUp(f"{file} is damaged: {said}")


def _dump(database: Database, url: URL, file: Path) -> None:
    ((version,),) = database.rows(text("SELECT current_setting('server_version_num')::int"))
    try:
        postgresql_clients.dump(url, file, server=version // 10_000)
    except postgresql_clients.CannotDump as error:
        raise CannotBackUp(str(error)) from error


def _lead_to(backup: Path) -> None:
    """Have the link to the newest one lead to this one, from one moment to the next."""
    link = backup.with_name(f"{_DRAFT}{LATEST}")
    link.unlink(missing_ok=True)
    link.symlink_to(backup.name)
    link.replace(backup.with_name(LATEST))


def _sync(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        if path.is_file() or path == folder:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


# --- How long ago the last one was ------------------------------------------------------------

_MARK = "last_backup"


def note(instance: Path) -> None:
    """Note beside the shop's own files that a backup was written just now."""
    elapsed.note(instance / _MARK)


def age(instance: Path) -> float:
    """Return how long ago the last backup was written, in seconds; infinity: nobody knows."""
    seconds = elapsed.since(instance / _MARK)
    return float("inf") if seconds is None else seconds
