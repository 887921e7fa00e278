"""The two acceptance scenarios: the drop from "coming soon" to the receipt, in several tabs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Complaints
from tests.browser.shopper import (
    add,
    cart_ref,
    expect_cart,
    expect_level,
    fill_in,
    line,
    size_button,
    visit,
    wait_until_live,
)
from tests.support.running import ROOT, RunningShop

Operator = Callable[..., object]


class Shop(Protocol):
    """What is asked of a shop here: it may be one server, or several."""

    @property
    def url(self) -> str: ...
    def start(self) -> object: ...
    def stop(self) -> int: ...
    def stock(self) -> dict[int, dict[str, Any]]: ...
    def orders(self) -> list[dict[str, Any]]: ...
    def sku(self, item_id: int) -> str: ...


#: A process that takes one command a line and answers each with its exit status.
_SECOND_PROCESS = """
import shlex, sys
from shop import create_app
runner = create_app().test_cli_runner()
for line in sys.stdin:
    print(runner.invoke(args=shlex.split(line)).exit_code, flush=True)
"""


@pytest.fixture(params=["each command a process", "one second process"])
def operator(shop: RunningShop, request: pytest.FixtureRequest) -> Iterator[Operator]:
    """Runs commands outside of the serving process: scenario one, and scenario two."""
    if request.param == "each command a process":
        yield lambda *args: shop.flask(*args)
        return
    second = subprocess.Popen(
        [sys.executable, "-c", _SECOND_PROCESS],
        env=shop.environ,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert second.stdin is not None and second.stdout is not None

    def run(*args: str) -> None:
        print(*args, file=second.stdin, flush=True)
        assert second.stdout is not None and second.stdout.readline().strip() == "0"

    yield run
    second.stdin.close()
    second.wait(10)
    second.stdout.close()


def test_the_drop_from_coming_soon_to_the_receipt(
    shop: RunningShop,
    operator: Operator,
    open_window: Callable[..., BrowserContext],
    complaints: Complaints,
) -> None:
    play_the_drop(shop, operator, open_window, complaints)


def play_the_drop(
    shop: Shop,
    operator: Operator,
    open_window: Callable[..., BrowserContext],
    complaints: Complaints,
) -> None:
    """Go through a whole drop, with tabs of one window and one of another."""
    window = open_window(viewport={"width": 1280, "height": 900})
    one, two = (visit(window.new_page(), shop.url) for _ in range(2))
    for tab in (one, two):
        tab.evaluate("window.notReloaded = true")
        expect(tab.locator(".product-soon")).to_have_count(2)
        expect(tab.locator(".product-soon").first).to_contain_text("coming soon")

    operator("release", "1", "2")
    for tab in (one, two):
        expect(tab.locator(".size-container")).to_have_count(2)
        expect(tab.locator(".product-soon")).to_have_count(0)
        assert tab.evaluate("window.notReloaded")

    first, second = _available(shop)[:2]
    add(one, first)
    expect_cart(two, [first])
    private = visit(open_window().new_page(), shop.url)
    expect_cart(private, [])
    assert cart_ref(private) != cart_ref(one) == cart_ref(two)

    size_button(one, first).click()
    expect(one.locator("#notices .notice")).to_contain_text("in your cart already")
    expect_cart(one, [first])
    three = visit(window.new_page(), shop.url)
    expect_cart(three, [first])
    two.locator("#cart .cart-item__remove").click()
    for tab in (one, two, three):
        expect_cart(tab, [])

    _sells_out_while_checking_out(shop, operator, [one, two, three], first, second)
    _comes_back_after_a_restart(shop, complaints, [one, two, three], [first, second])
    _buys_after_swap_or_restock(shop, operator, [one, two, three], first, second)


def _available(shop: Shop) -> list[int]:
    """Items of the first product that are there."""
    product = shop.stock()[1]["product"]
    return [i for i, row in shop.stock().items() if row["product"] == product and row["available"]]


def _sells_out_while_checking_out(
    shop: Shop, operator: Operator, tabs: list[Page], first: int, second: int
) -> None:
    add(tabs[0], first)
    add(tabs[1], second)
    visit(tabs[2], f"{shop.url}/checkout")
    fill_in(tabs[2])
    expect(tabs[2].locator("#purchase")).to_be_enabled()
    tabs[2].evaluate("window.notReloaded = true")

    operator("sell-out", "--per-tick", "4000", "--tick-ms", "60")
    for tab in tabs:
        for item_id in (first, second):
            expect(line(tab, item_id)).to_contain_class("cart-item--out-of-stock")
        expect(tab.locator('#cart a[href="/checkout"]:not([aria-disabled="true"])')).to_have_count(
            0
        )
    for item_id in (1, 13, 14, 26):
        expect_level(tabs[0], item_id, "out")
        expect(size_button(tabs[0], item_id)).to_be_disabled()
    expect(tabs[2].locator("#purchase")).to_be_disabled()
    assert tabs[2].evaluate("window.notReloaded")
    expect(tabs[2].locator("#email")).to_have_value("kim@example.com")


def _comes_back_after_a_restart(
    shop: Shop, complaints: Complaints, tabs: list[Page], item_ids: list[int]
) -> None:
    complaints.server_goes_away = True
    assert shop.stop() == 0
    for tab in tabs:
        expect(tab.locator("html")).to_have_attribute("data-live", "off")
        expect(tab.locator("#live-status")).to_contain_text("Not live")
    shop.start()
    for tab in tabs:
        wait_until_live(tab)
        expect(tab.locator("#live-status")).to_have_text("")
        expect_cart(tab, item_ids)


def _buys_after_swap_or_restock(
    shop: Shop, operator: Operator, tabs: list[Page], first: int, second: int
) -> None:
    other = next(i for i in range(1, 14) if i not in (first, second))
    operator("stock", "set", shop.sku(other), "20")
    swap = tabs[0].locator(f'#notices button.notice__swap[value="{other}"]')
    expect(swap).to_have_count(2)  # each of the two lines offers the size that is there
    swap.first.click()
    for tab in tabs:
        expect_cart(tab, [other, second])
        expect(line(tab, other)).not_to_contain_class("cart-item--out-of-stock")
    line(tabs[1], second).locator(".cart-item__remove").click()
    for tab in tabs:
        expect_cart(tab, [other])
        expect(tab.locator("#notices-cart .notice")).to_have_count(0)

    # What was removed sells and comes back without a word to this cart.
    version = tabs[0].locator("#cart").get_attribute("data-version")
    operator("stock", "set", shop.sku(second), "1")
    expect_level(tabs[0], second, "low")
    operator("sell", shop.sku(second))
    expect_level(tabs[0], second, "out")
    assert tabs[0].locator("#cart").get_attribute("data-version") == version

    expect(tabs[2].locator("#purchase")).to_be_enabled()
    tabs[2].locator("#purchase").click()
    tabs[2].wait_for_url("**/checkout/complete")
    (order,) = shop.orders()
    expect(tabs[2].locator(".receipt")).to_contain_text(order["number"])
    assert [row["sku"] for row in order["lines"]] == [shop.sku(other)]
    for tab in tabs:
        expect_cart(tab, [])
    assert shop.stock()[other]["available"] == 19


def test_a_sold_out_line_opens_again_when_stock_returns(
    drop: RunningShop, window: BrowserContext
) -> None:
    tab, checkout = window.new_page(), window.new_page()
    item_id = _available(drop)[0]
    add(visit(tab, drop.url), item_id)
    visit(checkout, f"{drop.url}/checkout")
    drop.flask("stock", "set", drop.sku(item_id), "0")
    expect(line(tab, item_id)).to_contain_class("cart-item--out-of-stock")
    expect(tab.locator("#notices-cart .notice")).to_have_count(1)
    expect(checkout.locator("#purchase")).to_be_disabled()
    drop.flask("stock", "add", drop.sku(item_id), "5")
    expect(line(tab, item_id)).not_to_contain_class("cart-item--out-of-stock")
    expect(tab.locator("#notices-cart .notice")).to_have_count(0)
    expect(tab.locator('#cart a[href="/checkout"]')).to_be_visible()
    expect(checkout.locator("#purchase")).to_be_enabled()
