"""The database takes nothing for a while: a full disk, one that can only be read, a held lock."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.databases import Databases, Files, shop_in
from tests.support.faults import only_read
from tests.support.running import RunningShop, eventually
from tests.support.shopper import Shopper, Tab

pytestmark = [pytest.mark.both_databases, pytest.mark.drill]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk of 32 MB of its own, which PostgreSQL's user reaches as well."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        options = "size=32m,mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "shop", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leave no room on a disk."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    assert shutil.disk_usage(disk).free == 0
    yield
    filler.unlink()


@pytest.fixture
def on_small_disk(dbms: Databases, disk: Path, tmp_path: Path) -> Iterator[RunningShop]:
    """A shop after the drop with all that it writes on that disk."""
    folder = disk / "instance" if isinstance(dbms, Files) else tmp_path / "instance"
    with shop_in(dbms, folder, "released", SHOP_DEMO="off") as shop:
        if not shop.on_sqlite:
            place = disk / "tables"
            place.mkdir()
            subprocess.run(["chown", "postgres", place], check=True)
            shop.sql(f"CREATE TABLESPACE small LOCATION '{place}'")
            for (table,) in shop.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
                shop.sql(f'ALTER TABLE "{table}" SET TABLESPACE small')
        yield shop.start()


def test_a_full_disk_refuses_purchases_and_loses_nothing(
    on_small_disk: RunningShop, disk: Path
) -> None:
    refused_and_recovered(on_small_disk, lambda: filled(disk))


def test_a_database_that_can_only_be_read_refuses_purchases_and_loses_nothing(
    drop: RunningShop,
) -> None:
    refused_and_recovered(drop, lambda: only_read(drop))


def refused_and_recovered(
    shop: RunningShop, fault: Callable[[], AbstractContextManager[None]]
) -> None:
    """Buy while nothing can be written, see what is refused and what goes on, and buy again."""
    shopper, other = Shopper(shop), Shopper(shop)
    for each in (shopper, other):
        each.add(1)
    form, stock = shopper.checkout_form(), shop.stock()
    with Tab(shop, shopper, [1]) as tab:
        tab.next()
        with fault():
            while Shopper(shop).add(2).status == 303:
                pass  # what is there of a page of the file may yet be written
            answer = shopper.buy(form)
            assert (answer.status, "Please try again" in answer.text) == (503, True)
            assert int(answer.headers["Retry-After"]) > 0
            for path in ("/", "/products/OST-TIDELINE", "/cart"):
                assert other.get(path).status == 200
            assert other.get("/healthz").status == 200
            assert shopper.cart() == [1]
        eventually(lambda: other.add(2).status == 303)
        assert (shop.orders(), shop.stock()) == ([], stock)
        assert shopper.buy(form).location == "/checkout/complete"
        tab.until(lambda tab: tab.cart == [])
    assert other.buy().location == "/checkout/complete"
    shop.flask("check")


@pytest.mark.timeout(120)
def test_a_lock_of_30_seconds_refuses_purchases_and_loses_nothing(drop: RunningShop) -> None:
    crowd = [Shopper(drop) for _ in range(20)]
    for shopper in crowd:
        shopper.add(1)
    forms = [shopper.checkout_form() for shopper in crowd]
    reader, stock = Shopper(drop), drop.stock()
    with ExitStack() as stack:
        tab = stack.enter_context(Tab(drop, crowd[0], [1]))
        tab.next()
        hands = stack.enter_context(ThreadPoolExecutor(len(crowd)))
        with drop.writers_held_up():
            over = time.monotonic() + 30
            answers = hands.map(lambda shopper, form: shopper.buy(form), crowd, forms)
            while time.monotonic() < over:
                for path in ("/", "/products/OST-TIDELINE", "/cart"):
                    assert reader.get(path).status == 200
            refused = list(answers)
        assert {(answer.status, "Please try again" in answer.text) for answer in refused} == {
            (503, True)
        }
        assert (drop.orders(), drop.stock()) == ([], stock)
        again = hands.map(lambda shopper, form: shopper.buy(form), crowd, forms)
        assert {answer.location for answer in again} == {"/checkout/complete"}
        tab.until(lambda tab: tab.cart == [])
    assert len(drop.orders()) == len(crowd)
    drop.flask("check")
