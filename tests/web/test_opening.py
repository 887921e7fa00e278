"""The moment: products open by themselves, and marked sizes come into the carts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.running import RunningShop
from tests.support.shopper import Shopper, SocketTab, Tab, element, items_in, notices_in

pytestmark = pytest.mark.both_databases

SHOE, OTHER = "OST-TIDELINE", "OST-KILN"
FREE, ANOTHER, SOLD_OUT = 1, 2, 4


def soon(seconds: float) -> str:
    """A moment from now on, as an operator types it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def marks_in(html: str) -> list[str]:
    return [part.partition('"')[0] for part in html.split('id="cart-mark-')[1:]]


def mark(shopper: Shopper, item_id: int, *, hx: bool = False) -> str:
    answer = shopper.post("/cart/marks", {"item_id": str(item_id)}, hx=hx)
    assert answer.status == (200 if hx else 303), answer.text
    return answer.text if hx else shopper.get(answer.location).text


def test_a_product_opens_in_every_tab_at_its_moment_and_not_before(shop: RunningShop) -> None:
    shopper = Shopper(shop)
    assert shopper.add(FREE, hx=True).status == 409
    with Tab(shop, shopper, [1]) as tab, SocketTab(shop, Shopper(shop), [1]) as other:
        tab.next()
        other.next()
        at = datetime.now(UTC) + timedelta(seconds=12)
        said = shop.flask("release", SHOE, "--at", at.isoformat()).stdout
        assert said.startswith(f"{SHOE} opens at {at:%Y-%m-%d %H:%M}")
        for each in (tab, other):
            each.until(lambda tab: "data-opens-at" in tab.shown["stock-1"])
            assert f'datetime="{at:%Y-%m-%dT%H:%M:%SZ}"' in each.shown["stock-1"]
        for each in (tab, other):
            each.until(lambda tab: "size-container__entry" in tab.shown["stock-1"], 30)
            assert datetime.now(UTC) >= at
    assert shopper.add(FREE, hx=True).status == 200
    assert shop.sql("SELECT opened_at >= ? FROM products WHERE id = 1", int(at.timestamp() * 1000))


def test_what_came_due_while_no_process_was_up_opens_at_the_start(shop: RunningShop) -> None:
    shop.flask("release", SHOE, "--at", soon(3600))
    shop.stop()
    shop.sql("UPDATE products SET opens_at = opens_at - 3601000 WHERE id = 1")
    shop.start()
    with Tab(shop, Shopper(shop), [1]) as tab:
        tab.next()
        tab.until(lambda tab: "size-container__entry" in tab.shown["stock-1"])


def test_a_moment_is_taken_back_and_a_release_as_well(shop: RunningShop) -> None:
    shop.flask("release", SHOE, "--at", soon(3600))
    assert "has no moment any more" in shop.flask("release", SHOE, "--cancel").stdout
    assert "had no moment" in shop.flask("release", SHOE, "--cancel").stdout
    shop.flask("release", SHOE)
    shopper = Shopper(shop)
    shopper.add(FREE)
    with Tab(shop, shopper, [1]) as tab:
        tab.next()
        assert "is closed" in shop.flask("close", SHOE).stdout
        tab.until(lambda tab: "coming soon" in tab.shown["stock-1"])
        tab.until(lambda tab: "Not released" in tab.shown["cart"])
    assert "was not on sale" in shop.flask("close", SHOE).stdout
    assert shopper.get("/checkout").text.count("Not released")


@pytest.mark.parametrize(
    ("time_", "said"),
    [
        ("2030-01-01T12:00", "has no zone"),
        ("noon", "is not a time"),
        ("2020-01-01T12:00Z", "has passed"),
        ("2126-01-01T12:00Z", "more than ten years"),
    ],
)
def test_a_wrong_moment_is_refused_and_changes_nothing(
    closed_drop: RunningShop, time_: str, said: str
) -> None:
    refused = closed_drop.flask("release", SHOE, "--at", time_, check=False)
    assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
    assert closed_drop.sql("SELECT opens_at FROM products WHERE id = 1") == [(None,)]


def test_of_several_products_all_are_announced_or_none(closed_drop: RunningShop) -> None:
    closed_drop.flask("close", OTHER)
    refused = closed_drop.flask("release", OTHER, SHOE, "--at", soon(60), check=False)
    assert (refused.returncode, f"{SHOE} is on sale already" in refused.stderr) == (1, True)
    assert closed_drop.sql("SELECT count(*) FROM products WHERE opens_at IS NOT NULL") == [(0,)]


def test_marked_sizes_are_in_the_cart_at_the_opening(shop: RunningShop) -> None:
    shop.flask("release", SHOE, "--at", soon(3600))
    shopper = Shopper(shop)
    assert marks_in(mark(shopper, FREE, hx=True)) == [str(FREE)]
    mark(shopper, SOLD_OUT)
    mark(shopper, ANOTHER)
    shopper.remove(ANOTHER)
    assert shopper.cart() == []
    assert marks_in(shopper.get("/").text) == [str(FREE), str(SOLD_OUT)]
    again = shopper.post("/cart/marks", {"item_id": str(FREE)}, hx=True)
    assert (again.status, notices_in(again.text)) == (
        409,
        ["Tideline, size 6, is in your cart already."],
    )
    with Tab(shop, shopper, [1]) as tab, Tab(shop, shopper, [2]) as other:
        for each in (tab, other):
            each.next()
        shop.flask("release", SHOE)
        for each in (tab, other):
            each.until(lambda tab: tab.cart == [FREE, SOLD_OUT])
            assert marks_in(each.shown["cart"]) == []
            assert "cart-item--out-of-stock" in each.shown["cart"]
    shopper.remove(SOLD_OUT)
    assert shopper.buy().location == "/checkout/complete"
    assert [line["sku"] for order in shop.orders() for line in order["lines"]] == [shop.sku(FREE)]
    assert shopper.cart() == []


def test_marks_reserve_nothing_and_outlast_a_purchase_and_a_merge(shop: RunningShop) -> None:
    shop.flask("release", OTHER)
    shop.flask("release", SHOE, "--at", soon(3600))
    shopper = Shopper(shop)
    mark(shopper, FREE)
    shopper.add(14)
    assert shopper.buy().location == "/checkout/complete"
    assert marks_in(shopper.get("/").text) == [str(FREE)]
    twin = Shopper(shop)
    mark(twin, ANOTHER)
    twin.cookies |= shopper.cookies
    assert marks_in(twin.get("/").text) == [str(FREE), str(ANOTHER)]


def test_a_mark_that_comes_after_the_opening_is_an_add(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    assert items_in(mark(shopper, FREE, hx=True)) == [FREE]
    sold_out = shopper.post("/cart/marks", {"item_id": str(SOLD_OUT)}, hx=True)
    assert sold_out.status == 409 and "is sold out" in sold_out.text


def test_nothing_can_be_marked_of_which_no_moment_is_announced(shop: RunningShop) -> None:
    refused = Shopper(shop).post("/cart/marks", {"item_id": str(FREE)}, hx=True)
    assert (refused.status, "is not released yet" in refused.text) == (409, True)


def test_a_sold_out_product_says_how_long_that_took(drop: RunningShop) -> None:
    drop.flask("close", SHOE)
    drop.sql("UPDATE items SET available = 0 WHERE product_id = 1 AND id <> 1")
    drop.sql("UPDATE items SET available = 1 WHERE id = 1")
    drop.flask("release", SHOE)
    drop.sql("UPDATE products SET opened_at = opened_at - 13000 WHERE id = 1")
    with Tab(drop, Shopper(drop), [1]) as tab:
        tab.next()
        drop.flask("sell", drop.sku(1))
        tab.until(lambda tab: "seconds after opening" in tab.shown["stock-1"])
        assert "Sold out" in tab.shown["stock-1"]
        drop.flask("stock", "add", drop.sku(1), "1")
        tab.until(lambda tab: "after opening" not in tab.shown["stock-1"])
    assert drop.sql("SELECT sold_out_at FROM products WHERE id = 1") == [(None,)]


def test_the_opening_is_a_calendar_entry(shop: RunningShop) -> None:
    shopper = Shopper(shop)
    assert shopper.get(f"/products/{SHOE}/opening.ics").status == 404
    shop.flask("release", SHOE, "--at", "2031-12-01T12:00:00+01:00")
    entry = shopper.get(f"/products/{SHOE}/opening.ics")
    assert entry.headers["Content-Type"].startswith("text/calendar")
    lines = entry.text.split("\r\n")
    assert "DTSTART:20311201T110000Z" in lines and "SUMMARY:Ostervane Tideline opens" in lines
    assert all(len(line.encode()) <= 75 for line in lines)


def test_without_script_the_page_says_date_time_and_zone(shop: RunningShop) -> None:
    shop.flask("release", SHOE, "--at", "2031-12-01T12:00:00+01:00")
    page = element(Shopper(shop).get("/").text, "stock-1")
    assert "coming soon" in page and "Monday, 1 December 2031, 11:00 UTC" in page


def test_nobody_buys_before_the_database_has_opened_it(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    shopper.add(FREE)
    form = shopper.checkout_form()
    before = drop.stock()[FREE]["available"]
    drop.flask("close", SHOE)
    assert "Not released yet" in shopper.buy(form, hx=True).text
    assert (drop.orders(), drop.stock()[FREE]["available"]) == ([], before)
