"""The whole way to a paid order and back from a payment page that is another site's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.shopper import hold, hold_without_script, line, visit
from tests.browser.test_opening import CLOCK_OFF
from tests.support.databases import Databases
from tests.support.payer import time_passes
from tests.support.running import RunningShop
from tests.support.stripe_double import Faults, StripeDouble
from tests.support.stripe_shop import shop_with_stripe

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def pair(
    dbms: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningShop, StripeDouble]]:
    """A shop, and a payment page that is another site's: `localhost` is its name."""
    with shop_with_stripe(dbms, tmp_path_factory.mktemp("stripe") / "instance") as (shop, double):
        double.url = double.url.replace("127.0.0.1", "localhost")
        yield shop, double


@pytest.fixture
def shop(pair: tuple[RunningShop, StripeDouble]) -> RunningShop:
    return pair[0]


@pytest.fixture
def double(pair: tuple[RunningShop, StripeDouble]) -> Iterator[StripeDouble]:
    yield pair[1]
    pair[1].faults = Faults()


def test_it_is_paid_on_a_phone_whose_clock_is_wrong(
    shop: RunningShop, double: StripeDouble, open_window: Callable[..., BrowserContext]
) -> None:
    window = open_window(viewport=PHONE)
    window.add_init_script(CLOCK_OFF.format(off=2 * 3600_000))
    tab, other = window.new_page(), window.new_page()
    hold(tab, shop.url, 1)
    visit(other, shop.url)
    tab.locator("#hold-pay").click()
    expect(tab.locator("h1")).to_have_text("No money moves here")
    assert tab.url.startswith(f"{double.url}/pay/")
    tab.get_by_role("button", name="Decline").click()
    expect(tab.get_by_role("status")).to_have_text("Your card was declined.")
    tab.get_by_role("link", name="Back").click()
    expect(tab.locator("#hold .hold__left")).to_have_text(re.compile(r"^09:[345]\d$"))
    tab.locator("#hold-pay").click()
    double.faults.webhooks = "lost"
    tab.get_by_role("button", name=re.compile("^Pay 1")).click()
    expect(tab.locator("#hold")).to_have_attribute("data-state", "paid")
    expect(other.locator("#notice-hold")).to_be_hidden()


def test_it_is_paid_without_script(
    shop: RunningShop, open_window: Callable[..., BrowserContext]
) -> None:
    tab = open_window(java_script_enabled=False, viewport=PHONE).new_page()
    hold_without_script(tab, shop.url, 1)
    tab.locator("#hold-pay").click()
    tab.get_by_role("button", name=re.compile("^Pay 1")).click()
    expect(tab.locator('#hold[data-state="paid"]')).to_be_visible()


def test_on_a_page_that_was_ended_nobody_pays_and_the_shops_tab_tells_the_truth(
    shop: RunningShop, double: StripeDouble, window: BrowserContext
) -> None:
    tab, paying = window.new_page(), window.new_page()
    hold(tab, shop.url, 1)
    address = tab.locator("#hold-pay").get_attribute("href")
    paying.goto(address or "")
    time_passes(shop, 601)
    expect(tab.locator("#hold")).to_have_attribute("data-state", "expired")
    paying.get_by_role("button", name=re.compile("^Pay 1")).click()
    expect(paying.locator("p").last).to_contain_text("it timed out")
    session = double.shown((address or "").rpartition("/")[2])
    assert (session["status"], session["payment_intent"]) == ("expired", None)
    visit(paying, shop.url)
    expect(line(paying, 1)).to_be_visible()


def test_money_that_comes_days_later_is_waited_for(
    shop: RunningShop, double: StripeDouble, tab: Page
) -> None:
    hold(tab, shop.url, 1)
    tab.locator("#hold-pay").click()
    tab.wait_for_url(f"{double.url}/**")
    session = tab.url.rpartition("/")[2]
    tab.get_by_role("button", name="Pay by bank").click()
    expect(tab.locator("#hold")).to_have_attribute("data-state", "in_doubt")
    expect(tab.locator("#hold")).to_contain_text("on its way")
    time_passes(shop, 601)
    double.come_through(session, paid=True)
    expect(tab.locator("#hold")).to_have_attribute("data-state", "paid")
