"""Carts that nobody touched for long go, by a command and by the serving shop."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from shop.models.cart import cart_ref
from tests.support.running import HURRIED, RunningShop, eventually
from tests.support.shopper import Shopper, Tab, ref_in

pytestmark = pytest.mark.both_databases

DAY = 24 * 3600


def with_cart(shop: RunningShop, *item_ids: int) -> Shopper:
    shopper = Shopper(shop)
    for item_id in item_ids:
        shopper.add(item_id)
    return shopper


def last_touched(shop: RunningShop, shopper: Shopper, days: int) -> str:
    """Have a cart be as if nobody had changed it for so many days; return its id."""
    ref = ref_in(shopper.get("/").text)
    (cart_id,) = [i for (i,) in shop.sql("SELECT id FROM carts") if cart_ref(i) == ref]
    then = int(time.time()) - days * DAY
    shop.sql("UPDATE carts SET touched = ? WHERE id = ?", then, cart_id)
    return str(cart_id)


def carts(shop: RunningShop) -> set[str]:
    return {cart_id for (cart_id,) in shop.sql("SELECT id FROM carts")}


def test_a_command_deletes_what_nobody_touched_and_nothing_else(drop: RunningShop) -> None:
    old, newer, today = (with_cart(drop, 1, 2) for _ in range(3))
    gone, kept = last_touched(drop, old, 181), last_touched(drop, newer, 179)
    with Tab(drop, old) as tab:
        tab.next()
        assert tab.cart == [1, 2]
        assert drop.flask("carts", "prune", "--older-than", "180d").stdout == "1 cart deleted\n"
        tab.until(lambda tab: tab.cart == [], seconds=10)
    assert gone not in carts(drop)
    assert kept in carts(drop)
    assert (newer.cart(), today.cart()) == ([1, 2], [1, 2])
    assert drop.sql("SELECT count(*) FROM cart_items") == [(4,)]
    assert drop.flask("carts", "prune", "--older-than", "26w").stdout == "0 carts deleted\n"


def test_what_was_bought_stays_and_the_next_purchase_is_another_one(drop: RunningShop) -> None:
    shopper = with_cart(drop, 1)
    assert shopper.buy().location == "/checkout/complete"
    last_touched(drop, shopper, 200)
    drop.flask("carts", "prune", "--older-than", "180d")
    assert carts(drop) == set()
    assert shopper.get("/checkout/complete").status == 200
    shopper.add(2)
    assert shopper.buy().location == "/checkout/complete"
    assert len(drop.orders()) == 2


def test_the_serving_shop_deletes_them_in_small_steps(
    open_shop: Callable[..., RunningShop],
) -> None:
    shop = open_shop(
        stage="released", main=HURRIED, SHOP_DEMO="off", PRUNE="1", SHOP_KEEP_CARTS_DAYS="30"
    )
    shopper = with_cart(shop, 1)
    then = int(time.time()) - 31 * DAY
    rows = ", ".join(f"('{'old' * 20}{n:04}', {n}, {then}, 0)" for n in range(250))
    shop.sql(f"INSERT INTO carts (id, version, touched, purchases) VALUES {rows}")
    eventually(lambda: len(carts(shop)) == 1)
    assert shopper.cart() == [1]


@pytest.mark.sqlite_only("how a command is called has nothing to do with the database")
@pytest.mark.parametrize("age", ["", "0d", "-1d", "180", "1y", "d", "9999999d"])
def test_an_age_that_is_none_deletes_nothing(closed_drop: RunningShop, age: str) -> None:
    done = closed_drop.flask("carts", "prune", "--older-than", age, check=False)
    assert done.returncode == 2
    assert "180d" in done.stderr
