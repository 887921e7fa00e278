"""Wall clocks that differ between servers, are wrong, or are set: nothing depends on them."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from shop.db import Transaction, open_database
from shop.migrations import _upgrade
from tests.support.clocks import beside, clock_off_by
from tests.support.running import RunningShop
from tests.support.shopper import Shopper, Tab, notices_in

MINUTES = 7 * 60


@pytest.fixture(scope="module")
def behind(open_drop: RunningShop) -> Iterator[RunningShop]:
    """A second server of the same shop, minutes behind the first one."""
    server = beside(open_drop, -MINUTES)
    try:
        yield server.start()
    finally:
        server.end()


@pytest.fixture
def shopper(open_drop: RunningShop) -> Shopper:
    return Shopper(open_drop)


def test_a_purchase_at_a_server_ahead_has_its_receipt_at_a_server_behind(
    shopper: Shopper, behind: RunningShop
) -> None:
    shopper.add(1)
    bought = shopper.buy()
    assert bought.location == "/checkout/complete"
    shopper.by = behind
    assert shopper.follow(bought).status == 200  # there is no order in sight otherwise


def test_what_was_typed_at_a_server_ahead_is_in_the_form_of_a_server_behind(
    shopper: Shopper, behind: RunningShop
) -> None:
    shopper.add(2)
    shopper.buy(typed={"email": "nobody at all"})
    shopper.by = behind
    assert "nobody at all" in shopper.get("/checkout").text


def test_a_notice_of_a_server_ahead_is_shown_by_a_server_behind(
    shopper: Shopper, behind: RunningShop
) -> None:
    shopper.add(3)
    again = shopper.add(3)
    shopper.by = behind
    assert notices_in(shopper.follow(again).text)


def test_a_copy_of_a_cart_by_a_server_ahead_is_good_at_a_server_behind(
    open_drop: RunningShop, shopper: Shopper, behind: RunningShop
) -> None:
    shopper.add(1)
    open_drop.sql("DELETE FROM cart_items")
    open_drop.sql("DELETE FROM carts")
    shopper.by = behind
    assert shopper.cart() == [1]


def test_no_sentence_denies_a_purchase_to_somebody_whose_session_is_lost(shopper: Shopper) -> None:
    shopper.add(5)
    shopper.buy()
    del shopper.cookies["shop_session"]
    answer = shopper.get("/checkout/complete")
    (notice,) = notices_in(shopper.follow(answer).text)
    assert "order" in notice and "still stands" in notice and "nothing was bought" not in notice


# --- Which is newer (see shop/versions.py) --------------------------------------------------


def follows_at_once(tab: Tab, shopper: Shopper) -> None:
    """See that a tab follows each change that its shopper makes elsewhere: not by the sweep."""
    tab.next()
    for change, held in ((shopper.add, [1]), (shopper.remove, [])) * 2:
        change(1)
        tab.until(partial(holds, held), 2.0)  # sweeps come every 5 s


def holds(item_ids: list[int], tab: Tab) -> bool:
    return tab.cart == item_ids


def test_changes_at_a_server_behind_are_heard_of_at_once_by_one_ahead(
    open_drop: RunningShop, shopper: Shopper, behind: RunningShop
) -> None:
    shopper.get("/")
    for server, other in ((behind, open_drop), (open_drop, behind)):
        shopper.by = server
        with Tab(other, shopper) as tab:
            follows_at_once(tab, shopper)


def test_a_cart_that_a_clock_far_ahead_numbered_makes_nobody_else_late(tmp_path: Path) -> None:
    """A database of the release before, whose versions went by clocks."""
    shop = RunningShop(tmp_path, SHOP_DEMO="off")
    database = open_database(shop.database_url)
    _upgrade(database, "0001")
    in_an_hour = (time.time_ns() // 1_000_000) + 3_600_000
    for row in (
        f"INSERT INTO products VALUES (1, 'A', 'B', 'C', 'D', 100, '', 1, true, {in_an_hour})",
        f"INSERT INTO items VALUES (1, 1, 'A-1', '9', 700, {in_an_hour})",
        f"INSERT INTO carts (id, version, purchases) VALUES ('{'x' * 64}', {in_an_hour}, 0)",
        f"INSERT INTO cart_items VALUES ('{'x' * 64}', 1)",
    ):
        database.transact(partial(execute, row))
    database.close()
    other = beside(shop)
    try:
        shop.start()
        other.start()
        shopper = Shopper(shop)
        shopper.get("/")
        with Tab(other, shopper) as tab:
            follows_at_once(tab, shopper)
        assert shop.sql("SELECT count(*) FROM cart_items") == [(1,)], "no row is lost"
    finally:
        shop.end()
        other.end()


def execute(statement: str, transaction: Transaction) -> None:
    transaction.execute(text(statement))


@pytest.mark.parametrize("clock", [-3600, 3600])
def test_a_tab_believes_a_backup_whatever_the_clock_says_since(
    make_shop: Callable[..., RunningShop], tmp_path: Path, clock: int
) -> None:
    """The server's clock was ahead by an hour, or is so from now on."""
    shop = make_shop("released")
    shop.environ |= clock_off_by(max(-clock, 0))
    shopper = Shopper(shop.start())
    shopper.add(1)
    shop.stop()
    backup = shutil.copy(shop.database, tmp_path / "backup")
    shop.start()
    shopper.add(2)
    with Tab(shop, shopper, [1]) as tab:
        tab.next()
        shown = {name: version_of(html) for name, html in tab.shown.items() if name in LIVE}
    shop.stop()
    shutil.copy(backup, shop.database)
    shop.environ |= clock_off_by(max(clock, 0))
    shop.start()
    with Tab(shop, shopper, [1]) as tab:
        tab.next()
        assert tab.cart == [1]
        for name, version in shown.items():
            assert version_of(tab.shown[name]) > version


LIVE = ("cart", "stock-1")


def version_of(html: str) -> int:
    return int(re.findall(r' data-version="(\d+)"', html)[0])


def test_a_tab_follows_a_reset_at_a_server_behind(
    make_shop: Callable[..., RunningShop],
) -> None:
    shop = make_shop("released").start()
    shopper = Shopper(shop)
    shopper.add(1)
    with Tab(shop, shopper, [1]) as tab:
        tab.next()
        before = {name: version_of(tab.shown[name]) for name in LIVE}
        shop.environ |= clock_off_by(-MINUTES)
        shop.flask("reset", "--yes")
        tab.until(lambda tab: "No longer in this shop" in tab.shown["stock-1"])
        tab.until(lambda tab: tab.cart == [])
        shop.flask("seed", "--random-seed", "1")
        tab.until(lambda tab: "coming soon" in tab.shown["stock-1"])
        assert all(version_of(tab.shown[name]) > before[name] for name in LIVE)


def test_a_cart_is_open_for_as_long_as_it_is_whatever_its_server_says_of_the_time(
    open_drop: RunningShop, shopper: Shopper, behind: RunningShop
) -> None:
    shopper.get("/")
    with Tab(behind, shopper) as tab:
        tab.next()
        shown = open_drop.flask("carts").stdout
        assert re.search(r"\d s ", shown), shown
        assert " min " not in shown
