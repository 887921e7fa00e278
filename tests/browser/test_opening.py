"""The countdown in a real browser, by the shop's clock whatever the browser's own says."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenWindow
from tests.browser.shopper import line, size_button, visit
from tests.support.running import RunningShop

SHOE = "OST-TIDELINE"

#: Puts a browser's clock off, in milliseconds.
CLOCK_OFF = "(() => {{ const now = Date.now; Date.now = () => now.call(Date) + {off}; }})()"


def announce(shop: RunningShop, seconds: float) -> None:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    shop.flask("release", SHOE, "--at", at.isoformat())


@pytest.mark.parametrize("off", [-2, 2])
def test_it_counts_down_by_the_shops_clock_and_opens(
    shop: RunningShop, open_window: OpenWindow, off: int
) -> None:
    window = open_window()
    window.clock.install(time=datetime.now(UTC) + timedelta(hours=off))
    tab, other = window.new_page(), window.new_page()
    for each in (tab, other):
        visit(each, shop.url)
    announce(shop, 115)
    countdown = tab.locator("#stock-1 .stock__countdown")
    expect(countdown).to_contain_text("01:")
    expect(tab).to_have_title(re.compile(r"^01:[0-5]\d · "))
    tab.locator('button.product-soon__size[value="1"]').click()
    for each in (tab, other):
        expect(each.locator("#cart .cart-mark")).to_have_count(1)
        expect(each.locator('button.product-soon__size[value="1"]')).to_have_attribute(
            "aria-describedby", "marked"
        )
    window.clock.fast_forward(56_000)
    expect(tab.locator("#announcement")).to_have_text("Tideline opens in 1 minute.")
    announce(shop, 5)  # a busy machine takes a while to be told
    for each in (tab, other):
        expect(size_button(each, 1)).to_be_visible()
        expect(line(each, 1)).to_be_visible()
        expect(each.locator("#cart .cart-mark")).to_have_count(0)
    expect(tab).not_to_have_title(re.compile("·"))


def test_no_size_moves_when_it_opens(shop: RunningShop, tab: Page) -> None:
    announce(shop, 3600)
    visit(tab, shop.url)
    before = tab.locator(".product-soon__size").nth(4).bounding_box()
    shop.flask("release", SHOE)
    expect(size_button(tab, 5)).to_be_visible()
    after = size_button(tab, 5).bounding_box()
    assert before is not None and after is not None
    assert (before["x"], before["y"]) == (after["x"], after["y"])


def test_focus_stays_with_the_product_when_it_opens(shop: RunningShop, tab: Page) -> None:
    announce(shop, 3600)
    visit(tab, shop.url)
    tab.locator('button.product-soon__size[value="2"]').focus()
    shop.flask("release", SHOE)
    expect(size_button(tab, 2)).to_be_visible()
    expect(tab.locator("#stock-1 .size-container")).to_be_focused()
