"""Twelve tabs of one browser over plain HTTP/1.1, where a browser holds six connections."""

from __future__ import annotations

import re
import statistics
import threading
import time
from functools import partial

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import OpenWindow
from tests.browser.shopper import WATCH, expect_cart, size_button, visit
from tests.support.running import RunningShop, eventually

TABS = 12


@pytest.fixture
def drop(open_drop: RunningShop) -> RunningShop:
    """A shop after the drop, shared by the tests here: each begins with enough of every size."""
    open_drop.sql("UPDATE items SET available = 160")
    return open_drop


@pytest.fixture(scope="module")
def window(open_shared_window: OpenWindow) -> BrowserContext:
    window = open_shared_window(viewport={"width": 1280, "height": 900})
    window.add_init_script(WATCH)
    return window


@pytest.fixture(scope="module")
def opened(open_drop: RunningShop, window: BrowserContext) -> list[Page]:
    return [visit(window.new_page(), open_drop.url) for _ in range(TABS)]


@pytest.fixture
def twelve(drop: RunningShop, opened: list[Page]) -> list[Page]:
    """Twelve tabs of one window that show an empty cart, and every size available."""
    for tab in opened:
        expect(tab.locator("button.size-container__entry:enabled")).to_have_count(26)
        expect_cart(tab, [])
        tab.evaluate("() => { window.soldOut = {}; window.reopened = []; }")
    return opened


def test_no_tab_shows_a_size_that_a_fresh_page_would_not_while_everything_sells_out(
    drop: RunningShop, twelve: list[Page]
) -> None:
    fresh = FreshPages(drop)
    fresh.start()
    with drop.start_flask("sell-out", "--per-tick", "200", "--tick-ms", "250") as command:
        output, _ = command.communicate(timeout=90)
    assert command.returncode == 0, output
    for tab in twelve:
        sold_out = "document.querySelectorAll('.size-container__entry--level-out').length === 26"
        eventually(partial(tab.evaluate, sold_out))
    fresh.finish()
    assert len(fresh.sold_out) == 26
    lags = []
    for tab in twelve:
        assert tab.evaluate("window.reopened") == []
        closed = tab.evaluate("window.soldOut")
        lags += [closed[str(i)] - at for i, at in fresh.sold_out.items()]
    print(
        f"\nsell-out, 12 tabs: a tab closes a size {statistics.median(lags):.0f} ms (median) after "
        f"the first fresh page that shows it sold out, at most {max(lags):.0f} ms"
    )


def test_a_click_in_one_of_twelve_tabs_shows_in_all_of_them(
    drop: RunningShop, window: BrowserContext, twelve: list[Page]
) -> None:
    sockets = sum(tab.locator("#live[data-way=socket]").count() for tab in twelve)
    item_ids = list(range(1, TABS + 1))  # a click in each
    loads: list[float] = []
    delays: list[int] = []
    for count, item_id in enumerate(item_ids, 1):
        acting = twelve[count - 1]
        acting.bring_to_front()  # as a shopper does: tabs behind it are drawn rarely
        size_button(acting, item_id).click()
        for tab in twelve:
            eventually(partial(tab.evaluate, f"window.seen['item:{item_id}']"))
        clicked = acting.evaluate("window.clicked")
        delays += [tab.evaluate(f"window.seen['item:{item_id}']") - clicked for tab in twelve]
        if count % 4 == 0:
            loads.append(_seconds_to_load(drop, window))
    p95 = statistics.quantiles(delays, n=20)[18]
    print(
        f"\n12 tabs, {TABS} clicks: shown after {statistics.median(delays):.0f} ms (median), p95"
        f" {p95:.0f} ms, most {max(delays)} ms; "
        f"a 13th tab loads in {max(loads) * 1000:.0f} ms at most; {sockets} by WebSocket"
    )
    for tab in twelve:
        expect_cart(tab, item_ids)


def _seconds_to_load(shop: RunningShop, window: BrowserContext) -> float:
    tab = window.new_page()
    started = time.monotonic()
    tab.goto(shop.url)
    expect(tab.locator("#cart .cart-item").first).to_be_visible()
    seconds = time.monotonic() - started
    tab.close()
    return seconds


class FreshPages(threading.Thread):
    """Asks for one fresh page after another, and notes when each size was first sold out."""

    def __init__(self, shop: RunningShop) -> None:
        super().__init__(daemon=True)
        self.shop = shop
        self.over = threading.Event()
        self.sold_out: dict[int, float] = {}

    def run(self) -> None:
        pattern = re.compile(r'--level-out"[^>]*value="(\d+)"')
        while not self.over.is_set():
            page = self.shop.page()
            answered = time.time() * 1000
            for found in pattern.findall(page):
                self.sold_out.setdefault(int(found), answered)
            self.over.wait(0.02)

    def finish(self) -> None:
        self.over.set()
        self.join(20)
