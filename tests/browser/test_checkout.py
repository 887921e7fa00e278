"""The checkout in a real browser: what is typed is never typed twice."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.shopper import add, fill_in, line, size_button, visit
from tests.support.running import RunningShop


@pytest.fixture
def drop(open_drop: RunningShop) -> RunningShop:
    """A shop after the drop, shared by the tests here: each has a cart and an order of its own."""
    return open_drop


def test_what_is_typed_survives_a_reload_another_size_and_the_first_order(
    drop: RunningShop, tab: Page
) -> None:
    visit(tab, drop.url)
    add(tab, 1)
    tab.goto(f"{drop.url}/checkout")
    tab.locator("#name").press_sequentially("Kim Ex")
    tab.reload()
    expect(tab.locator("#name")).to_have_value("Kim Ex")

    fill_in(tab)
    tab.locator("#remember").check()
    tab.locator('#cart a[href^="/products/"]').first.click()
    add(tab, 3)
    tab.goto(f"{drop.url}/checkout")
    expect(tab.locator("#email")).to_have_value("kim@example.com")
    expect(tab.locator("#street")).to_have_value("1 Harbour Street")
    expect(tab.locator("#country")).to_have_value("NO")

    tab.locator("#purchase").click()
    tab.wait_for_url("**/checkout/complete")
    visit(tab, drop.url)
    add(tab, 5)
    tab.goto(f"{drop.url}/checkout")
    expect(tab.locator("#name")).to_have_value("Kim Example")
    expect(tab.locator("#street")).to_have_value("1 Harbour Street")
    expect(tab.locator("#country")).to_have_value("NO")


def test_of_two_things_typed_the_later_one_stands(drop: RunningShop, tab: Page) -> None:
    visit(tab, drop.url)
    add(tab, 1)
    visit(tab, f"{drop.url}/checkout")
    fill_in(tab, email="nobody")
    tab.locator("#street").fill("1 Old Street")
    tab.locator("#purchase").click()
    expect(tab.locator("#checkout-errors")).to_be_visible()
    long = "2 New Street " + "李" * 187
    tab.locator("#street").fill(long)
    tab.locator("#purchase").click()
    expect(tab.locator("#checkout-errors")).to_be_visible()
    expect(tab.locator("#street")).to_have_value(long)
    tab.goto(f"{drop.url}/checkout")
    expect(tab.locator("#street")).to_have_value(long)
    expect(tab.locator("#email")).to_have_value("nobody")


def test_back_and_reload_never_ask_to_send_again_what_was_refused(
    drop: RunningShop, tab: Page
) -> None:
    visit(tab, drop.url)
    add(tab, 1)
    visit(tab, f"{drop.url}/checkout")
    fill_in(tab, email="nobody")
    tab.locator("#purchase").click()
    expect(tab.locator("#checkout-errors")).to_be_visible()
    tab.reload()
    expect(tab.locator("#email")).to_have_value("nobody")

    tab.locator("#purchase").click()
    expect(tab.locator("#checkout-errors")).to_be_visible()
    fill_in(tab)
    tab.locator("#purchase").click()
    tab.wait_for_url("**/checkout/complete")
    tab.go_back()
    expect(tab.locator(".product-listing, #checkout").first).to_be_visible()


def test_what_is_paid_follows_the_country_with_script_or_without(
    make_shop: Callable[..., RunningShop], open_window: Callable[..., BrowserContext]
) -> None:
    shop = make_shop("released")
    (shop.instance / "shipping.toml").write_text(_TABLE)
    shop.start()
    for script in (True, False):
        tab = open_window(java_script_enabled=script).new_page()
        tab.goto(shop.url)
        size_button(tab, 1).click()
        expect(line(tab, 1)).to_be_visible()
        tab.goto(f"{shop.url}/checkout")
        button, label = tab.locator("#purchase"), tab.locator('label[for="postcode"]')
        for country, amount, word in (("NO", "$139.00", "Postcode"), ("US", "$145.00", "ZIP code")):
            tab.locator("#country").select_option(country)
            expect(button).to_have_text(re.compile(f"Buy for \\{amount}"), use_inner_text=True)
            expect(tab.locator(".costs")).to_contain_text(amount, use_inner_text=True)
            expect(label).to_have_text(word, use_inner_text=True)
        tab.locator("#country").select_option("JP")
        expect(button).to_be_hidden()
        expect(tab.locator(".costs")).to_have_text(re.compile("don’t deliver"), use_inner_text=True)

        fill_in(tab)
        tab.locator("#postcode").fill("")
        button.click()
        expect(tab.locator("#postcode")).to_be_focused()
        expect(tab.locator("#postcode-hint")).to_have_text("Please give the postcode.")
        tab.locator("#postcode").fill("1234")
        tab.locator("#country").select_option("US")
        button.click()
        tab.wait_for_url("**/checkout/complete")
        expect(tab.locator(".receipt__total")).to_contain_text("$145.00")
        if script:
            tab.goto(shop.url)
            add(tab, 2)
            tab.goto(f"{shop.url}/checkout")
            expect(tab.locator("#street")).to_have_value("")


_TABLE = """
[near]
countries = ["NO"]
price = 19

[far]
countries = ["US"]
price = 25
"""
