"""What is live stays true: through late answers, lost connections, restarts and the back button."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import APIResponse, BrowserContext, Page, Request, Route, expect

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
from tests.support.running import RunningShop


@pytest.fixture
def drop(open_drop: RunningShop) -> RunningShop:
    """A shop after the drop, shared by tests here: each begins with enough of every size."""
    open_drop.sql("UPDATE items SET available = 600")
    return open_drop


@pytest.fixture
def own_drop(open_shop: Callable[..., RunningShop]) -> RunningShop:
    """A shop after the drop for a test that ends it, or changes its products and orders."""
    return open_shop(stage="released", SHOP_DEMO="off")


def test_an_answer_that_arrives_late_takes_nothing_back(
    drop: RunningShop, window: BrowserContext
) -> None:
    slow, other = (visit(window.new_page(), drop.url) for _ in range(2))
    held: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        held.append((route, route.fetch()))  # the shop has answered; the tab doesn't get it yet

    slow.route("**/cart/items", hold)
    size_button(slow, 1).click()
    expect_cart(other, [1])
    expect_cart(slow, [1])  # by its stream
    other.locator("#cart .cart-item__remove").click()
    expect_cart(slow, [])
    route, answer = held[0]
    with slow.expect_response("**/cart/items"):
        route.fulfill(response=answer)
    # The late answer has been taken in once its notices are: then nothing of it may show.
    slow.evaluate("new Promise(done => setTimeout(done, 300))")
    expect_cart(slow, [])


def test_every_tab_of_a_first_visit_ends_up_with_the_same_cart(
    drop: RunningShop, open_window: Callable[..., BrowserContext]
) -> None:
    window = open_window()
    tabs = [window.new_page() for _ in range(4)]
    for tab in tabs:  # at once: no request has a cookie yet
        tab.evaluate("address => { setTimeout(() => { location.href = address }) }", drop.url)
    for tab in tabs:
        wait_until_live(tab)
    for item_id, tab in zip((1, 3, 14, 15), tabs, strict=True):
        size_button(tab, item_id).click()
        expect(line(tab, item_id)).to_be_visible()
    for tab in tabs:
        expect_cart(tab, [1, 3, 14, 15])
    assert len({cart_ref(tab) for tab in tabs}) == 1


def test_a_page_whose_very_first_connect_fails_becomes_live_by_itself(
    drop: RunningShop, tab: Page, complaints: Complaints
) -> None:
    complaints.server_goes_away = True
    tab.route("**/stream*", lambda route: route.abort())
    tab.route_web_socket(re.compile("/socket"), lambda socket: socket.close())
    tab.goto(drop.url)
    expect(tab.locator("#live-status")).to_contain_text("Not live")
    expect(tab.locator("html")).to_have_attribute("data-live", "off")
    tab.unroute("**/stream*")
    wait_until_live(tab)
    expect(tab.locator("#live-status")).to_have_text("")


def test_a_page_that_found_no_place_gets_one_when_there_is_one(
    open_shop: Callable[..., RunningShop], open_window: Callable[..., BrowserContext],
    complaints: Complaints,
) -> None:  # fmt: skip
    complaints.server_goes_away = True
    shop = open_shop(SHOP_MAX_STREAMS="1")
    first = visit(open_window().new_page(), shop.url)
    second = open_window().new_page()
    with second.expect_response("**/stream*") as refused:
        second.goto(shop.url)
    assert refused.value.status == 503
    assert refused.value.headers["retry-after"]
    first.close()
    wait_until_live(second)


def test_tabs_by_websocket_come_back_after_a_restart_as_well(
    own_drop: RunningShop, window: BrowserContext, complaints: Complaints
) -> None:
    complaints.server_goes_away = True
    tabs = [visit(window.new_page(), own_drop.url) for _ in range(6)]
    add(tabs[0], 1)
    own_drop.kill()
    for tab in tabs:
        expect(tab.locator("html")).to_have_attribute("data-live", "off")
    own_drop.start()
    for tab in tabs:
        wait_until_live(tab)
    add(tabs[5], 3)
    for tab in tabs:
        expect_cart(tab, [1, 3])


def test_acting_while_the_shop_is_away_says_so_and_works_afterwards(
    own_drop: RunningShop, tab: Page, complaints: Complaints
) -> None:
    complaints.server_goes_away = True
    visit(tab, own_drop.url)
    own_drop.kill()
    size_button(tab, 1).click()
    expect(tab.locator("#notices .notice")).to_contain_text("can’t be reached")
    own_drop.start()
    wait_until_live(tab)
    add(tab, 1)
    expect(tab.locator("#notices .notice")).to_have_count(0)


def test_the_back_button_shows_what_is_true_now(drop: RunningShop, window: BrowserContext) -> None:
    tab, other = (visit(window.new_page(), drop.url) for _ in range(2))
    tab.locator(".product-listing__name").first.click()
    tab.wait_for_url("**/products/*")
    add(other, 1)
    drop.flask("stock", "set", drop.sku(3), "0")
    tab.go_back(wait_until="commit")
    expect(line(tab, 1)).to_be_visible()
    expect(size_button(tab, 3)).to_be_disabled()
    tab.go_forward(wait_until="commit")
    expect(line(tab, 1)).to_be_visible()


def test_a_hidden_tab_tells_of_a_sold_out_line_by_its_title(
    drop: RunningShop, window: BrowserContext
) -> None:
    tab = visit(window.new_page(), drop.url)
    add(tab, 1)
    title = tab.title()
    # Headless tabs never count as hidden: this one says that it is.
    tab.evaluate(
        """() => {
        Object.defineProperty(document, 'hidden', { get: () => window.away ?? true });
        document.dispatchEvent(new Event('visibilitychange')) }"""
    )
    drop.flask("stock", "set", drop.sku(1), "0")
    expect(tab).to_have_title(re.compile("Sold out: Tideline 6 "))
    tab.evaluate(
        "() => { window.away = false; document.dispatchEvent(new Event('visibilitychange')) }"
    )
    expect(tab).to_have_title(title)


def test_a_notice_of_a_sold_out_line_is_announced_and_swaps_with_one_click(
    drop: RunningShop, tab: Page
) -> None:
    visit(tab, drop.url)
    add(tab, 2)
    drop.flask("stock", "set", drop.sku(2), "0")
    notice = tab.locator("#notices[aria-live] .notice")
    expect(notice).to_contain_text("Tideline, size 6.5")
    expect(notice).to_contain_text("sold out")
    offered = notice.locator("button.notice__swap")
    left = [i for i, row in drop.stock().items() if i <= 13 and row["available"]]
    values = offered.evaluate_all("buttons => buttons.map(b => Number(b.value))")
    assert sorted(values) == left
    drop.flask("stock", "set", drop.sku(left[0]), "0")
    expect(offered).to_have_count(len(left) - 1)  # what is offered follows as well
    notice.locator(f'button[value="{left[1]}"]').click()
    expect_cart(tab, [left[1]])
    expect(notice).to_have_count(0)


def test_a_dismissed_notice_stays_dismissed_when_the_cart_changes(
    drop: RunningShop, tab: Page
) -> None:
    visit(tab, drop.url)
    add(tab, 2)
    drop.flask("stock", "set", drop.sku(2), "0")
    tab.locator("#notices .notice__dismiss").click()
    expect(tab.locator("#notices .notice")).to_be_hidden()
    add(tab, 14)
    expect(tab.locator("#notices .notice")).to_be_hidden()


def test_focus_and_half_typed_words_survive_what_happens_elsewhere(
    drop: RunningShop, window: BrowserContext
) -> None:
    other = visit(window.new_page(), drop.url)
    add(other, 1)
    checkout = visit(window.new_page(), f"{drop.url}/checkout")
    checkout.locator("#street").press_sequentially("12 Har")
    add(other, 14)
    expect_cart(checkout, [1, 14])
    drop.flask("stock", "set", drop.sku(1), "0")
    expect(checkout.locator("#purchase")).to_be_disabled()
    expect(checkout.locator("#street")).to_be_focused()
    checkout.keyboard.type("bour")
    expect(checkout.locator("#street")).to_have_value("12 Harbour")


def test_focus_goes_to_the_next_line_when_the_focused_one_is_removed(
    drop: RunningShop, tab: Page
) -> None:
    visit(tab, drop.url)
    add(tab, 1)
    add(tab, 14)
    line(tab, 1).locator(".cart-item__remove").focus()
    tab.keyboard.press("Enter")
    expect_cart(tab, [14])
    expect(line(tab, 14).locator(".cart-item__remove")).to_be_focused()
    tab.keyboard.press("Enter")
    expect_cart(tab, [])
    expect(tab.locator("#cart-title")).to_be_focused()


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_shifts_when_the_drop_opens_and_sizes_sell_out(
    shop: RunningShop, open_window: Callable[..., BrowserContext], width: int
) -> None:
    viewport = {"width": width, "height": 800}
    tab = open_window(viewport=viewport, reduced_motion="no-preference").new_page()
    tab.add_init_script(
        """window.shifted = 0; new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.shifted += entry.value;
        }).observe({ type: 'layout-shift', buffered: true });"""
    )
    visit(tab, shop.url)
    tab.wait_for_load_state("load")
    tab.evaluate("document.fonts.ready.then(() => { window.shifted = 0 })")
    shop.flask("release", "1", "2")
    expect(tab.locator(".size-container")).to_have_count(2)
    shop.flask("stock", "set", shop.sku(1), "0")
    expect_level(tab, 1, "out")
    shop.flask("stock", "set", shop.sku(1), "20")
    expect_level(tab, 1, "low")
    assert tab.evaluate("window.shifted") < 0.01


def test_a_purchase_is_sent_once_however_often_the_button_is_pressed(
    own_drop: RunningShop, window: BrowserContext
) -> None:
    tab = visit(window.new_page(), own_drop.url)
    add(tab, 1)
    one, two = (visit(window.new_page(), f"{own_drop.url}/checkout") for _ in range(2))
    for checkout in (one, two):
        fill_in(checkout)
    posts: list[Request] = []
    for checkout in (one, two):
        checkout.on("request", lambda r: posts.append(r) if r.method == "POST" else None)
        # In the page, so that both are on their way before either is answered.
        checkout.evaluate(
            "() => { for (let i = 0; i < 3; i++) document.getElementById('purchase').click() }"
        )
    for checkout in (one, two):
        checkout.wait_for_url("**/checkout/complete")
    (order,) = own_drop.orders()
    for checkout in (one, two):
        expect(checkout.locator(".receipt")).to_contain_text(order["number"])
    two.go_back()
    two.go_forward()
    expect(two.locator(".receipt")).to_contain_text(order["number"])
    assert len(posts) == 2
    assert len(own_drop.orders()) == 1


def test_a_price_that_changes_on_an_open_checkout_is_not_slipped_under_the_button(
    own_drop: RunningShop, window: BrowserContext
) -> None:
    tab = visit(window.new_page(), own_drop.url)
    add(tab, 1)
    visit(tab, f"{own_drop.url}/checkout")
    fill_in(tab)
    connection = own_drop.connect()
    connection.execute("UPDATE products SET price = 99900 WHERE id = 1")
    connection.close()
    expect(line(tab, 1)).to_contain_text("$999.00")
    tab.locator("#purchase").click()
    expect(tab.locator("#notices")).to_contain_text("The price of Tideline, size 6 has changed")
    assert own_drop.orders() == []
    expect(tab.locator("#email")).to_have_value("kim@example.com")
    tab.locator("#purchase").click()
    tab.wait_for_url("**/checkout/complete")
    assert own_drop.orders()[0]["total"] == 99900


def test_the_operator_empties_and_refills_the_shop_under_open_tabs(
    own_drop: RunningShop, tab: Page
) -> None:
    visit(tab, own_drop.url)
    add(tab, 1)
    own_drop.flask("reset", "--yes")
    expect(tab.locator(".empty__title")).to_have_text("Nothing here yet")
    expect_cart(tab, [])
    own_drop.flask("seed", "--random-seed", "8")
    own_drop.flask("release", "1", "2")
    expect(tab.locator(".size-container")).to_have_count(2)
    available = next(i for i, row in own_drop.stock().items() if row["available"])
    add(tab, available)


def test_a_changed_price_is_said_and_bought_at_once_it_was_seen(
    own_drop: RunningShop, tab: Page
) -> None:
    visit(tab, own_drop.url)
    add(tab, 1)
    visit(tab, f"{own_drop.url}/checkout")
    fill_in(tab)
    own_drop.flask("catalog", "edit", "OST-TIDELINE", "--price", "99.00")
    expect(tab.locator("#announcement")).to_have_text(
        "The price of Tideline, size 6 is now $99.00."
    )
    expect(tab.locator("#purchase")).to_have_text("Buy for $99.00")
    expect(tab.locator("#seen-1")).to_have_value("1:9900")
    tab.locator("#purchase").click()
    expect(tab).to_have_url(f"{own_drop.url}/checkout/complete")
    assert own_drop.orders()[0]["total"] == 9900


def test_products_come_change_and_go_on_an_open_front_page(
    own_drop: RunningShop, tab: Page
) -> None:
    visit(tab, own_drop.url)
    size_button(tab, 1).focus()
    own_drop.flask(
        *("catalog", "add", "GALE", "--name", "Gale", "--brand", "Northwind", "--color", "Red"),
        *("--price", "99.00", "--sizes", "41,42", "--count", "9"),
    )
    new = tab.locator('.product-listing[data-product-id="3"]')
    expect(new).to_contain_text("Gale")
    expect(size_button(tab, 1)).to_be_focused()
    own_drop.flask("release", "GALE")
    expect(new.locator("button.size-container__entry")).to_have_count(2)
    new.locator("button.size-container__entry").first.click()
    expect_cart(tab, [27])
    own_drop.flask("catalog", "edit", "GALE", "--name", "Storm")
    expect(new.locator(".product-listing__name")).to_have_text("Storm")
    expect(line(tab, 27)).to_contain_text("Storm")
    own_drop.flask("catalog", "hide", "GALE")
    expect(new).to_have_count(0)
    expect(line(tab, 27)).to_contain_text("No longer sold")
