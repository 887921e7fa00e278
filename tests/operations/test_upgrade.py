"""A database of an earlier release starts with this one, and nothing in it is lost.

`tests/releases/` keeps a shop of each release as that left it, with carts that were bought from and
filled again, and the cookies of their visitors. A new release adds its own.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import Clusters
from tests.support.running import ROOT, RunningShop
from tests.support.shopper import Shopper

RELEASES = ROOT / "tests" / "releases"

#: What people and operators would miss.
KEPT = (
    "SELECT sku, brand, name, color, price, main_image, position, released FROM products",
    "SELECT id, product_id, sku, size, available FROM items",
    "SELECT id, purchases, merged_into FROM carts",
    "SELECT cart_id, item_id FROM cart_items",
    "SELECT number, cart_ref, purchase, email, name, address, placed, total, currency FROM orders",
    "SELECT order_id, item_id, sku, brand, product, color, size, price FROM order_lines",
)

Old = tuple[RunningShop, dict[str, dict[str, str]]]


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Old]:
    """A shop of release 1.0.0 that doesn't run, and the cookies of two of its visitors."""
    kept = json.loads((RELEASES / "1.0.0.cookies.json").read_text())
    dump = (RELEASES / f"1.0.0.{request.param}.sql").read_text()
    settings = {"SHOP_SECRET_KEY": kept["secret_key"]}
    if request.param == "postgresql":
        clusters: Clusters = request.getfixturevalue("on_postgresql")
        settings["SHOP_DATABASE_URL"] = clusters.server.restore(dump, "release_1_0_0")
    else:
        with closing(sqlite3.connect(tmp_path / "shop.sqlite3")) as connection:
            connection.executescript(dump)
    shop = RunningShop(tmp_path, **settings)
    yield shop, kept[request.param]
    shop.end()


def test_a_shop_of_1_0_0_goes_on_with_all_that_it_had(old: Old) -> None:
    shop, cookies = old
    before = rows(shop)
    assert all(before), "the shop that was kept has something of everything"

    shop.start()

    assert rows(shop) == before
    first, second = (visitor(shop, cookies[name]) for name in ("a", "b"))
    assert (first.cart(), second.cart()) == ([2], [8, 9])
    assert first.get("/checkout/complete").status == 200, "the receipt of before"
    assert first.buy().location == "/checkout/complete"
    assert second.remove(9).status == 303 and second.cart() == [8]
    assert len(shop.orders()) == len(before[4]) + 1


def rows(shop: RunningShop) -> list[list[Any]]:
    return [sorted(map(tuple, shop.sql(question)), key=str) for question in KEPT]


def visitor(shop: RunningShop, cookies: dict[str, str]) -> Shopper:
    shopper = Shopper(shop)
    shopper.cookies = dict(cookies)
    return shopper
