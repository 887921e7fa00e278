"""The checkout in a real browser: what is typed is never typed twice."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.shopper import add, fill_in, visit
from tests.support.running import RunningShop


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
    address = tab.locator("#address").input_value()
    tab.locator('#cart a[href^="/products/"]').first.click()
    add(tab, 3)
    tab.goto(f"{drop.url}/checkout")
    expect(tab.locator("#email")).to_have_value("kim@example.com")
    expect(tab.locator("#address")).to_have_value(address)

    tab.locator("#purchase").click()
    tab.wait_for_url("**/checkout/complete")
    visit(tab, drop.url)
    add(tab, 5)
    tab.goto(f"{drop.url}/checkout")
    expect(tab.locator("#name")).to_have_value("Kim Example")
    expect(tab.locator("#address")).to_have_value(address)


def test_of_two_things_typed_the_later_one_stands(drop: RunningShop, tab: Page) -> None:
    visit(tab, drop.url)
    add(tab, 1)
    visit(tab, f"{drop.url}/checkout")
    fill_in(tab, email="nobody")
    tab.locator("#address").fill("1 Old Street, Old Town")
    tab.locator("#purchase").click()
    expect(tab.locator("#checkout-errors")).to_be_visible()
    long = "2 New Street, New Town " + "李" * 900
    tab.locator("#address").fill(long)
    tab.locator("#purchase").click()
    expect(tab.locator("#checkout-errors")).to_be_visible()
    expect(tab.locator("#address")).to_have_value(long)
    tab.goto(f"{drop.url}/checkout")
    expect(tab.locator("#address")).to_have_value(long)
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
