"""The whole way to a paid order in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.shopper import hold, hold_without_script, line, visit
from tests.browser.test_opening import CLOCK_OFF
from tests.support.databases import Databases, shop_in
from tests.support.payer import time_passes
from tests.support.running import RunningShop


@pytest.fixture(scope="module")
def demo(dbms: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop after the drop, whose payment page moves no money, for all tests here."""
    folder = tmp_path_factory.mktemp("demo") / "instance"
    with shop_in(dbms, folder, "released", SHOP_DEMO="off", SHOP_PAYMENTS="demo") as shop:
        yield shop.start()


@pytest.mark.parametrize("off", [-2 * 3600_000, 2 * 3600_000])
def test_all_tabs_count_down_by_the_shops_clock_until_it_is_paid(
    demo: RunningShop, open_window: Callable[..., BrowserContext], off: int
) -> None:
    window = open_window(viewport={"width": 390, "height": 844})
    window.add_init_script(CLOCK_OFF.format(off=off))
    tab, other = window.new_page(), window.new_page()
    hold(tab, demo.url, 1, 2)
    expect(tab.locator("#hold .hold__left")).to_have_text(re.compile(r"^09:[345]\d$"))
    visit(other, demo.url)
    expect(other.locator("#notice-hold .hold__left")).to_have_text(re.compile(r"^09:[345]\d$"))
    tab.locator("#hold-extend").click()
    expect(tab.locator("#hold .hold__left")).to_have_text(re.compile(r"^14:[345]\d$"))
    expect(other.locator("#notice-hold .hold__left")).to_have_text(re.compile(r"^14:[345]\d$"))

    other.locator("#notice-hold a").click()
    other.locator("#hold-pay").click()
    expect(other.locator("h1")).to_have_text("Demo payment")
    other.get_by_role("button", name="Decline").click()
    expect(other.locator("#notices-action")).to_contain_text("The card was declined")
    other.get_by_role("button", name=re.compile("^Pay")).click()
    for each in (tab, other):
        expect(each.locator("#hold")).to_have_attribute("data-state", "paid")
    tab.get_by_role("link", name="Your order’s own page").click()
    expect(tab.locator("#order")).to_have_attribute("data-state", "paid")


def test_what_was_not_paid_in_time_is_in_the_cart_again_in_all_tabs(
    demo: RunningShop, window: BrowserContext
) -> None:
    tab, other = window.new_page(), window.new_page()
    hold(tab, demo.url, 1)
    visit(other, demo.url)
    expect(other.locator("#notice-hold")).to_be_visible()
    time_passes(demo, 601)
    expect(tab.locator("#hold")).to_have_attribute("data-state", "expired")
    expect(line(other, 1)).to_be_visible()
    expect(other.locator("#notice-hold")).to_contain_text("The time to pay is over.")
    visit(other, f"{demo.url}/checkout")
    other.locator("#purchase").click()
    expect(other.locator("#hold-pay")).to_be_visible()


def test_it_is_paid_by_keyboard_alone(demo: RunningShop, tab: Page) -> None:
    hold(tab, demo.url, 1)
    tab.locator("#hold-pay").focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("h1")).to_have_text("Demo payment")
    tab.get_by_role("button", name=re.compile("^Pay")).focus()
    tab.keyboard.press("Enter")
    expect(tab.locator("#hold")).to_have_attribute("data-state", "paid")


def test_it_is_paid_without_script(
    demo: RunningShop, open_window: Callable[..., BrowserContext]
) -> None:
    tab = open_window(java_script_enabled=False).new_page()
    hold_without_script(tab, demo.url, 1)
    tab.locator("#hold-pay").click()
    tab.get_by_role("button", name=re.compile("^Pay")).click()
    expect(tab.locator('#hold[data-state="paid"]')).to_be_visible()


def test_back_from_the_payment_page_leads_to_the_same_hold(demo: RunningShop, tab: Page) -> None:
    hold(tab, demo.url, 1)
    held = tab.url
    tab.locator("#hold-pay").click()
    expect(tab.locator("h1")).to_have_text("Demo payment")
    tab.go_back()
    expect(tab.locator("#hold-pay")).to_be_visible()
    tab.goto(f"{demo.url}/checkout")
    expect(tab.locator("#hold-pay")).to_be_visible()
    assert tab.url == held
    tab.locator("#hold-release").click()
    expect(tab.locator("#hold")).to_have_attribute("data-state", "expired")
