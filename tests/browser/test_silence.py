"""What a page does when what lies between it and the shop is silent, buffers or cuts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Complaints
from tests.browser.shopper import (
    add,
    expect_cart,
    expect_level,
    fill_in,
    size_button,
    visit,
    wait_until_live,
)
from tests.support.middlebox import CUT, HOLD, LOSE, Middlebox
from tests.support.running import RunningShop, eventually


@pytest.fixture
def quiet_complaints(complaints: Complaints) -> None:
    complaints.server_goes_away = True


@pytest.fixture
def few_streams(open_shop: Callable[..., RunningShop]) -> RunningShop:
    """A shop whose carts have one event stream each: a second tab takes a WebSocket."""
    return open_shop(stage="released", SHOP_DEMO="off", SHOP_SSE_PER_CART="1")


@pytest.fixture
def box(open_drop: RunningShop, quiet_complaints: None) -> Iterator[Middlebox]:
    with Middlebox(open_drop.port) as box:
        yield box


def way(tab: Page) -> str | None:
    """How a page follows the shop."""
    return tab.locator("#live").get_attribute("data-way")


def set_state(tab: Page, state: str) -> None:
    """Freeze a page, as browsers do with those in the background; or have it go on."""
    tab.context.new_cdp_session(tab).send("Page.setWebLifecycleState", {"state": state})


def test_silence_is_said_and_a_page_is_live_as_soon_as_the_network_is_back(
    few_streams: RunningShop, window: BrowserContext, quiet_complaints: None
) -> None:
    with Middlebox(few_streams.port) as box:
        tabs = [visit(window.new_page(), box.url) for _ in range(2)]
        assert [way(tab) for tab in tabs] == ["events", "socket"]
        frozen = visit(window.new_page(), box.url)
        set_state(frozen, "frozen")
        box.fall_silent()
        silent = time.monotonic()
        few_streams.flask("stock", "set", few_streams.sku(1), "0")
        for tab in tabs:
            tab.locator('html[data-live="off"]').wait_for(state="attached")
            expect(tab.locator("#live-status")).to_contain_text("Not live")
        noticed = time.monotonic() - silent
        tabs[0].evaluate("new Promise(done => setTimeout(done, 5000))")  # attempts hang by now
        box.speak_again()
        back = time.monotonic()
        for tab in tabs:
            wait_until_live(tab)
            expect_level(tab, 1, "out")
        waited = time.monotonic() - back
        print(f"\nsilence: said after {noticed:.1f} s; live {waited:.1f} s after its end")
        set_state(frozen, "active")
        expect_level(frozen, 1, "out")
        add(tabs[0], 3)
        for tab in (tabs[1], frozen):
            expect_cart(tab, [3])


def test_a_page_whose_streams_are_held_back_takes_a_websocket(
    box: Middlebox, window: BrowserContext
) -> None:
    box.rules["GET /stream"] = HOLD
    tab = window.new_page()
    visit(tab, box.url)
    assert way(tab) == "socket"
    add(tab, 1)
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    visit(tab, f"{box.url}/cart")
    assert way(tab) == "socket"
    assert asked and not any("/stream" in url for url in asked)  # it remembers
    # Elsewhere it is the other way round.
    box.rules = {"GET /socket": HOLD}
    visit(tab, box.url)
    assert way(tab) == "events"


def test_a_page_whose_streams_are_cut_takes_a_websocket(
    box: Middlebox, window: BrowserContext
) -> None:
    box.rules["GET /stream"] = CUT
    at_once = visit(window.new_page(), box.url)
    assert way(at_once) == "socket"
    box.lets_pass = 1_000_000  # what is said first passes
    later = visit(window.new_page(), box.url)
    assert way(later) == "events"
    box.lets_pass = 0
    for item_id in (1, 3):
        add(at_once, item_id)  # each message is too much
        wait_until_live(later)
    expect(later.locator("#live")).to_have_attribute("data-way", "socket")
    expect_cart(later, [1, 3])


# --- Actions whose answer never comes -----------------------------------------------------------


def test_a_size_whose_request_was_lost_can_be_added_again(
    box: Middlebox, window: BrowserContext
) -> None:
    tab = visit(window.new_page(), box.url)
    box.rules["POST /cart/items"] = LOSE
    size_button(tab, 5).click()
    notice = tab.locator("#notices .notice")
    expect(notice).to_contain_text("has not answered yet")
    box.rules.clear()
    expect(notice).to_contain_text("can’t be reached")
    add(tab, 5)


@pytest.mark.parametrize("fate", [LOSE, HOLD])
def test_a_purchase_that_was_stopped_can_be_sent_again_and_is_made_once(
    box: Middlebox, open_drop: RunningShop, window: BrowserContext, fate: str
) -> None:
    tab = visit(window.new_page(), box.url)
    add(tab, 6)
    visit(tab, f"{box.url}/checkout")
    fill_in(tab)
    before = len(open_drop.orders())
    box.rules["POST /checkout"] = fate
    tab.locator("#purchase").dblclick(no_wait_after=True)
    browser = window.new_cdp_session(tab)
    if fate == LOSE:
        eventually(lambda: box.lost)
        assert len(open_drop.orders()) == before
    else:
        eventually(lambda: len(open_drop.orders()) > before)
    browser.send("Page.stopLoading")
    box.rules.clear()
    if fate == LOSE:
        tab.locator("#purchase").click()
    else:  # it was bought, and its page knows
        expect(tab.locator("#purchase")).to_be_disabled()
        tab.locator(".purchase__hint a").click()
    tab.wait_for_url("**/checkout/complete")
    assert len(open_drop.orders()) == before + 1
