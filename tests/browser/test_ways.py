"""The whole way to the receipt without JavaScript, and by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.shopper import expect_cart, fill_in, line, size_button, visit
from tests.support.running import RunningShop


def test_everything_works_without_javascript(
    shop: RunningShop, open_window: Callable[..., BrowserContext]
) -> None:
    tab = open_window(java_script_enabled=False).new_page()
    tab.goto(shop.url)
    expect(tab.locator(".product-soon")).to_have_count(2)
    shop.flask("release", "1", "2")
    tab.reload()
    size_button(tab, 1).click()
    expect_cart(tab, [1])
    expect(tab.locator("#notices .notice")).to_be_visible()
    size_button(tab, 1).click()
    expect(tab.locator("#notices .notice")).to_contain_text("in your cart already")
    tab.locator(".product-listing__name").last.click()
    size_button(tab, 14).click()
    assert "/products/" in tab.url  # back on the page that the form was on
    expect_cart(tab, [1, 14])
    line(tab, 14).locator(".cart-item__remove").click()
    expect_cart(tab, [1])
    tab.goto(f"{shop.url}/cart")
    expect(tab.locator("h1")).to_have_text("Your cart")

    shop.flask("stock", "set", shop.sku(1), "0")
    tab.reload()
    expect(tab.locator('#cart a[href="/checkout"]')).to_have_count(0)
    tab.locator("#notices .notice__swap").first.click()
    expect(tab.locator("#cart .cart-item")).to_have_count(1)
    expect(tab.locator("#cart .cart-item--out-of-stock")).to_have_count(0)

    tab.locator('#cart a[href="/checkout"]').click()
    fill_in(tab, email="kim at example")
    tab.locator("#purchase").click()
    expect(tab.locator("#checkout-errors")).to_contain_text("e-mail")
    expect(tab.locator("#name")).to_have_value("Kim Example")
    tab.locator("#email").fill("kim@example.com")
    tab.locator("#purchase").click()
    expect(tab.locator(".receipt")).to_contain_text(shop.orders()[0]["number"])
    expect_cart(tab, [])
    tab.reload()
    expect(tab.locator(".receipt")).to_be_visible()


def test_everything_can_be_done_by_keyboard(drop: RunningShop, tab: Page) -> None:
    visit(tab, drop.url)
    _tab_to(tab, 'button.size-container__entry[value="1"]')
    tab.keyboard.press("Enter")
    expect_cart(tab, [1])
    _tab_to(tab, 'button.size-container__entry[value="14"]')
    tab.keyboard.press("Space")
    expect_cart(tab, [1, 14])
    _tab_to(tab, '#cart .cart-item[data-item-id="14"] .cart-item__remove')
    tab.keyboard.press("Enter")
    expect_cart(tab, [1])
    _tab_to(tab, '#cart a[href="/checkout"]')
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/checkout")
    for field, text in (
        ("#email", "kim@example.com"),
        ("#name", "Kim Example"),
        ("#country", "Norway"),
        ("#street", "1 Harbour Street"),
        ("#postcode", "1234"),
        ("#town", "Port Town"),
    ):
        _tab_to(tab, field)
        tab.keyboard.type(text)
    _tab_to(tab, "#purchase")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/checkout/complete")
    expect(tab.locator(".receipt")).to_contain_text(drop.orders()[0]["number"])


def test_the_cart_sheet_of_a_phone_opens_and_closes(
    drop: RunningShop, open_window: Callable[..., BrowserContext]
) -> None:
    tab = visit(open_window(viewport={"width": 360, "height": 740}).new_page(), drop.url)
    size_button(tab, 1).click()
    expect(tab.locator("#cart-bar")).to_contain_text("1")
    expect(tab.locator("#cart")).to_be_hidden()
    tab.locator("#cart-bar").click()
    expect(line(tab, 1)).to_be_visible()
    drop.flask("stock", "set", drop.sku(1), "0")
    expect(line(tab, 1)).to_contain_class("cart-item--out-of-stock")
    expect(line(tab, 1)).to_be_visible()  # what is live leaves the sheet open
    tab.keyboard.press("Escape")
    expect(tab.locator("#cart")).to_be_hidden()


def _tab_to(tab: Page, selector: str) -> None:
    """Press Tab until an element has the focus, and see that the focus can be seen."""
    wanted = tab.locator(selector)
    for _ in range(120):
        tab.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            outline = wanted.evaluate(
                "e => { const s = getComputedStyle(e); return s.outlineStyle + s.boxShadow }"
            )
            assert outline != "nonenone", f"{selector}: the focus can't be seen"
            return
    raise AssertionError(f"{selector} can't be reached by Tab")
