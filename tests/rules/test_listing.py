"""What is listed is written as it is read: nobody who reads slowly keeps anything from others."""

from __future__ import annotations

import fcntl
import json
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shop.db.base import PAGE
from tests.support.databases import Databases, shop_in
from tests.support.running import RunningShop, eventually

pytestmark = pytest.mark.both_databases

#: More than one page of them, and more than fits into any pipe.
ORDERS = 2 * PAGE + 500

_SERIES = {
    "sqlite": "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {}) ",
    "postgresql": "WITH n(i) AS (SELECT generate_series(1, {})) ",
}
_ORDERS = (
    "INSERT INTO orders (id, number, cart_ref, purchase, email, name, address, placed, total,"
    " currency) SELECT i, 'N-' || i, 'ref' || i, 0, 'kim@example.com', 'Kim', '1 Street',"
    " 1900000000 + i, 24000, 'USD' FROM n"
)
_LINES = (
    "INSERT INTO order_lines (order_id, item_id, sku, brand, product, color, size, price,"
    " main_image) SELECT i, 1 + i % 2, 'SKU-' || (i % 2), 'B', 'P', 'C', '9', 12000, 'a.svg' FROM n"
)


@pytest.fixture(scope="module")
def busy(dbms: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop with many orders of two lines each; no server runs."""
    folder = tmp_path_factory.mktemp("busy") / "instance"
    with shop_in(dbms, folder, "released") as shop:
        series = _SERIES["sqlite" if shop.on_sqlite else "postgresql"].format(ORDERS)
        for statement in (_ORDERS, _LINES, _LINES):
            shop.sql(series + statement)
        yield shop


@contextmanager
def stalled(shop: RunningShop, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command, and give it when it waits for somebody to read what it writes."""
    process = shop.start_flask(*words)
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    size = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)

    def waiting() -> int:
        (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0\0\0\0"))
        return int(count)

    eventually(lambda: waiting() == size or process.poll() is not None)
    assert process.poll() is None
    yield process
    process.stdout.close()
    process.wait(10)


@pytest.mark.parametrize("words", [["orders", "list"], ["orders", "list", "--json"]])
def test_orders_are_listed_whole_and_nothing_is_held_while_nobody_reads(
    busy: RunningShop, words: list[str]
) -> None:
    with stalled(busy, *words) as process:
        assert not transactions_in(busy)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    if "--json" in words:
        listed = [(order["number"], len(order["lines"])) for order in json.loads(said)]
        assert listed == [(f"N-{number}", 2) for number in range(1, ORDERS + 1)]
    else:
        numbers = [line.split()[0] for line in said.splitlines()]
        assert numbers == [f"N-{number}" for number in range(1, ORDERS + 1)]


def test_who_has_read_enough_ends_it_quietly(busy: RunningShop) -> None:
    with stalled(busy, "orders", "list") as process:
        assert process.stdout is not None
        said = process.stdout.readline()
    assert said.startswith("N-1 ")
    assert process.returncode in (0, 1)


def transactions_in(shop: RunningShop) -> bool:
    """Tell whether anybody is in a transaction, be it only to read."""
    if shop.on_sqlite:
        shop.sql("UPDATE carts SET version = version WHERE id = 'nobody'")
        # Truncated is the journal only when nobody reads from it.
        ((refused, *_),) = shop.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return bool(refused)
    return bool(
        shop.sql(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
        )
    )
