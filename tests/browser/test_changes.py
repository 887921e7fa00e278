"""What a change means for who has the page open: words, marks, focus, notices in their place."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.shopper import add, expect_cart, line, size_button, visit
from tests.support.running import RunningShop, eventually

#: Records what is put into live regions, notices excepted: those are of another kind.
LISTEN = """
() => {
  window.said = [];
  new MutationObserver(() => window.said.push(document.getElementById("announcement").textContent))
    .observe(document.getElementById("announcement"), { childList: true });
}
"""

PHONE = {"width": 360, "height": 740}


@pytest.fixture
def drop(open_drop: RunningShop) -> RunningShop:
    """A shop after the drop, shared by the tests here: each begins with enough of every size."""
    open_drop.sql("UPDATE items SET available = 600")
    return open_drop


def set_stock(shop: RunningShop, item_id: int, count: int) -> None:
    shop.sql("UPDATE items SET available = ? WHERE id = ?", count, item_id)


def listen(tab: Page) -> Page:
    tab.evaluate(LISTEN)
    return tab


def said(tab: Page) -> list[str]:
    heard: list[str] = eventually(lambda: tab.evaluate("window.said"))
    tab.evaluate("window.said = []")
    return heard


def is_focused(tab: Page, selector: str) -> bool:
    answer: bool = tab.evaluate("selector => document.activeElement.matches(selector)", selector)
    return answer


# --- Said to those who can't see it ---------------------------------------------------------


def test_every_change_of_a_cart_is_said_once_in_every_tab(
    drop: RunningShop, window: BrowserContext
) -> None:
    tab, other = (listen(visit(window.new_page(), drop.url)) for _ in range(2))
    assert tab.locator("#announcement").get_attribute("role") == "status"
    add(tab, 1)
    expect_cart(other, [1])
    for page in (tab, other):
        assert said(page) == ["Added to your cart: Tideline, size 6."]
    set_stock(drop, 1, 0)
    tab.locator("#notices .notice__swap").first.click()
    expect_cart(other, [2])
    for page in (tab, other):
        assert said(page) == ["Swapped Tideline, size 6 for Tideline, size 6.5."]
    line(tab, 2).locator(".cart-item__remove").click()
    expect_cart(other, [])
    for page in (tab, other):
        assert said(page) == ["Removed from your cart: Tideline, size 6.5."]
    # The answer, the stream and a heartbeat may all have come by now: it was said once.
    add(tab, 3)
    expect_cart(other, [3])
    for page in (tab, other):
        assert said(page) == ["Added to your cart: Tideline, size 7."]


def test_the_opening_is_said_and_stands_in_the_title_of_a_hidden_tab(
    shop: RunningShop, window: BrowserContext
) -> None:
    tab, hidden = (listen(visit(window.new_page(), shop.url)) for _ in range(2))
    title = hidden.title()
    # Headless tabs never count as hidden: this one says that it is.
    hidden.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.away ?? true })")
    shop.flask("release", "1", "2")
    assert said(tab) == said(hidden) == ["Tideline and Kiln are open."]
    expect(tab).to_have_title(title)
    expect(hidden).to_have_title(f"Tideline and Kiln are open. · {title}")
    hidden.evaluate(
        "() => { window.away = false; document.dispatchEvent(new Event('visibilitychange')) }"
    )
    expect(hidden).to_have_title(title)


# --- Sizes in the cart ----------------------------------------------------------------------


def test_a_size_that_is_in_the_cart_is_marked_in_every_tab(
    drop: RunningShop, window: BrowserContext
) -> None:
    tab, other = (visit(window.new_page(), drop.url) for _ in range(2))
    add(tab, 1)
    for page in (tab, other):
        expect(size_button(page, 1)).to_have_attribute("data-in-cart", "")
        expect(size_button(page, 1)).to_have_accessible_description("In your cart")
        expect(page.locator("[data-in-cart]")).to_have_count(1)
    set_stock(drop, 1, 20)
    expect(size_button(other, 1)).to_contain_class("size-container__entry--level-low")
    expect(size_button(other, 1)).to_have_attribute("data-in-cart", "")
    other.reload()
    expect(size_button(other, 1)).to_have_attribute("data-in-cart", "")
    line(tab, 1).locator(".cart-item__remove").click()
    expect(other.locator("[data-in-cart]")).to_have_count(0)


def test_a_tapped_size_looks_pressed_until_the_shop_has_answered(
    drop: RunningShop, tab: Page
) -> None:
    visit(tab, drop.url)
    with drop.writers_held_up():
        size_button(tab, 1).click()
        tab.mouse.move(0, 0)
        pressed = "e => getComputedStyle(e).backgroundColor"
        ink = tab.evaluate("getComputedStyle(document.body).color")
        eventually(lambda: size_button(tab, 1).evaluate(pressed) == ink)
    expect(line(tab, 1)).to_be_visible()


def test_a_second_tap_says_so_without_alarm_and_goes_by_itself(
    drop: RunningShop, tab: Page
) -> None:
    tab.clock.install()
    visit(tab, drop.url)
    add(tab, 1)
    size_button(tab, 1).click()
    notice = tab.locator("#notices .notice")
    expect(notice).to_contain_text("in your cart already")
    expect(notice).not_to_contain_class("notice--problem")
    tab.mouse.move(0, 600)
    tab.clock.fast_forward(7000)
    expect(notice).to_have_count(0)


@pytest.mark.parametrize("clicks", ["double click", "twice while it is sent"])
def test_a_double_click_is_one_action_and_no_error(
    drop: RunningShop, tab: Page, clicks: str
) -> None:
    visit(tab, drop.url)
    statuses: list[int] = []
    tab.on("response", lambda r: statuses.append(r.status) if "/cart/" in r.url else None)

    def act(selector: str) -> None:
        if clicks == "double click":
            tab.locator(selector).first.dblclick()
        else:
            tab.locator(selector).first.evaluate("e => { e.click(); e.click() }")

    act('button.size-container__entry[value="1"]')
    expect_cart(tab, [1])
    add(tab, 14)
    set_stock(drop, 1, 0)
    act("#notices .notice__swap")
    expect_cart(tab, [2, 14])
    act("#cart .cart-item__remove")
    expect_cart(tab, [14])
    add(tab, 3)  # whatever else had been sent would have been answered before
    eventually(lambda: tab.evaluate("true") and len(statuses) >= 5)
    assert statuses == [200] * 5
    expect(tab.locator("#notices-action .notice")).to_have_count(0)


# --- Focus ----------------------------------------------------------------------------------


def test_the_focus_of_a_size_that_sells_out_stays_there_and_comes_back(
    drop: RunningShop, tab: Page
) -> None:
    visit(tab, drop.url)
    size_button(tab, 5).focus()
    set_stock(drop, 5, 0)
    expect(size_button(tab, 5)).to_be_disabled()
    tab.evaluate("new Promise(requestAnimationFrame)")  # Chromium takes the focus away late
    assert is_focused(tab, ".size-container")
    tab.keyboard.press("Enter")  # was meant for what is gone: nothing else is added
    set_stock(drop, 5, 20)
    expect(size_button(tab, 5)).to_be_focused()
    expect_cart(tab, [])

    set_stock(drop, 5, 0)
    expect(size_button(tab, 5)).to_be_disabled()
    tab.keyboard.press("Tab")
    expect(size_button(tab, 6)).to_be_focused()


def test_the_focus_of_buy_stays_there_when_the_cart_can_not_be_bought_and_comes_back(
    drop: RunningShop, tab: Page
) -> None:
    visit(tab, drop.url)
    add(tab, 1)
    visit(tab, f"{drop.url}/checkout")
    tab.locator("#purchase").focus()
    set_stock(drop, 1, 0)
    expect(tab.locator("#purchase")).to_be_disabled()
    tab.evaluate("new Promise(requestAnimationFrame)")
    assert is_focused(tab, "#purchase-hint")
    set_stock(drop, 1, 20)
    expect(tab.locator("#purchase")).to_be_focused()


def test_the_focus_of_what_is_taken_out_of_the_page_goes_on_beside_it(
    drop: RunningShop, open_window: Callable[..., BrowserContext]
) -> None:
    tab = visit(open_window(viewport=PHONE).new_page(), drop.url)
    add_on_a_phone(tab, 1)
    set_stock(drop, 1, 0)
    tab.locator("#notices .notice__dismiss").focus()
    tab.keyboard.press("Enter")
    assert not is_focused(tab, "body")
    tab.locator("#cart-bar").click()
    tab.locator("#cart .cart__checkout").focus()
    set_stock(drop, 1, 20)
    expect(tab.locator('#cart a[href="/checkout"]')).to_be_focused()
    set_stock(drop, 1, 0)
    expect(tab.locator('#cart a[href="/checkout"]')).to_have_count(0)
    tab.evaluate("new Promise(requestAnimationFrame)")
    assert is_focused(tab, "#cart .cart__checkout")


# --- One notice -----------------------------------------------------------------------------


def add_on_a_phone(tab: Page, *item_ids: int) -> None:
    for item_id in item_ids:
        size_button(tab, item_id).click()
        expect(size_button(tab, item_id)).to_have_attribute("data-in-cart", "")


@pytest.fixture
def three_sold_out(drop: RunningShop, open_window: Callable[..., BrowserContext]) -> Page:
    """A phone's tab whose cart holds three lines, all sold out."""
    window = open_window(viewport=PHONE, has_touch=True)
    tab = visit(window.new_page(), drop.url)
    add_on_a_phone(tab, 1, 2, 14)
    for item_id in (1, 2, 14):
        set_stock(drop, item_id, 0)
    expect(tab.locator(".cart-item--out-of-stock")).to_have_count(3)
    return tab


def test_one_low_notice_holds_all_lines_that_sold_out(three_sold_out: Page) -> None:
    tab = three_sold_out
    expect(tab.locator("#notices .notice")).to_have_count(1)
    expect(tab.locator("#notices .notice__line")).to_have_count(3)
    box = tab.locator("#notices .notice").bounding_box()
    assert box and box["height"] <= PHONE["height"] / 4


def test_a_notice_never_lies_over_a_field(drop: RunningShop, three_sold_out: Page) -> None:
    tab = three_sold_out
    visit(tab, f"{drop.url}/checkout")
    notice = tab.locator("#notices .notice")
    for field in ("#email", "#name", "#street"):
        tab.locator(field).focus()
        here, over = tab.locator(field).bounding_box(), notice.bounding_box()
        assert here and over
        assert over["y"] + over["height"] <= here["y"]
        assert over["y"] + over["height"] <= tab.locator(".masthead").bounding_box()["height"]  # type: ignore[index]


def test_a_dismissed_notice_stays_so_on_the_next_page_until_another_line_sells_out(
    drop: RunningShop, three_sold_out: Page
) -> None:
    tab = three_sold_out
    tab.locator("#notices .notice__dismiss").click()
    expect(tab.locator("#notices .notice")).to_be_hidden()
    visit(tab, f"{drop.url}/products/OST-TIDELINE")
    expect(tab.locator("#notices .notice")).to_be_hidden()
    add_on_a_phone(tab, 5)
    set_stock(drop, 5, 0)
    expect(tab.locator("#notices .notice__line:visible")).to_have_count(1)
    expect(tab.locator("#notices .notice")).to_contain_text("Tideline, size 8 is sold out.")


def test_after_a_swap_no_other_line_slides_under_the_thumb(three_sold_out: Page) -> None:
    tab = three_sold_out
    first, second, _ = tab.locator("#notices .notice__line").all()
    was = second.bounding_box()
    chip = first.locator(".notice__swap").first
    at = chip.bounding_box()
    assert at
    point = (at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
    tab.touchscreen.tap(*point)
    expect(tab.locator("#cart .cart-item--out-of-stock")).to_have_count(2)
    tab.touchscreen.tap(*point)
    (kept,) = tab.locator("#notices .notice__line[inert]").all()
    assert kept.bounding_box()
    assert tab.locator("#notices .notice__line:not([inert])").first.bounding_box() == was
    expect(tab.locator("#notices .notice__line[inert]")).to_have_count(0)
    expect(tab.locator("#cart .cart-item--out-of-stock")).to_have_count(2)


def test_sizes_to_swap_for_begin_with_the_nearest(drop: RunningShop, tab: Page) -> None:
    visit(tab, drop.url)
    add(tab, 8)
    set_stock(drop, 8, 0)
    offered = tab.locator("#notices .notice__swap")
    expect(offered.first).to_be_visible()
    sizes = [float(size) for size in offered.all_inner_texts()]
    distances = [abs(size - 9.5) for size in sizes]
    assert distances == sorted(distances)
    assert sizes[0] in (9.0, 10.0)
    assert re.fullmatch(r"Size [\d.]+ instead", offered.first.get_attribute("aria-label") or "")
