"""A real browser in front of the shipped nginx, with one and with two servers behind it."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Complaints, OpenWindow
from tests.browser.shopper import WATCH, add, expect_cart, line, size_button, visit, wait_until_live
from tests.support.front import Front, open_folder
from tests.support.running import RunningShop, eventually

TABS = 12

#: A window that takes the test's own certificate.
THAT_TRUSTS: dict[str, Any] = {
    "ignore_https_errors": True,
    "viewport": {"width": 1280, "height": 900},
}

#: Counts in a page how often it was not live any more.
COUNT = """
window.timesLost = 0;
addEventListener("shop:live", ({ detail }) => { if (!detail.on) window.timesLost += 1; });
"""


@pytest.fixture(scope="module")
def instance(released: Path) -> Iterator[Path]:
    folder = open_folder()
    yield Path(shutil.copytree(released, folder / "shop"))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def servers(instance: Path) -> Iterator[list[RunningShop]]:
    """Two servers of one shop."""
    shops = [RunningShop(instance, SHOP_HTTPS="on").start() for _ in range(2)]
    instance.chmod(0o711)
    yield shops
    for shop in shops:
        shop.end()


@pytest.fixture(scope="module")
def front(servers: list[RunningShop], instance: Path) -> Iterator[Front]:
    with Front(servers, instance) as nginx:
        yield nginx


@pytest.fixture
def browser_window(open_window: OpenWindow) -> BrowserContext:
    return open_window(**THAT_TRUSTS)


@pytest.fixture(scope="module")
def tabs(front: Front, open_shared_window: OpenWindow, shared_complaints: Complaints) -> list[Page]:
    """Twelve tabs, each in the state in which the test before left it."""
    shared_complaints.server_goes_away = True
    window = open_shared_window(**THAT_TRUSTS)
    window.add_init_script(WATCH + COUNT)
    return [visit(window.new_page(), front.url) for _ in range(TABS)]


def available(shop: RunningShop) -> list[int]:
    return [item_id for item_id, row in shop.stock().items() if row["available"]]


def live(tab: Page) -> bool:
    return bool(tab.evaluate("document.documentElement.dataset.live === 'on'"))


def test_everything_of_a_page_comes_over_http2(
    front: Front, browser_window: BrowserContext
) -> None:
    tab = visit(browser_window.new_page(), front.url)
    protocols = tab.evaluate(
        "performance.getEntries().filter(e => e.nextHopProtocol !== undefined)"
        ".map(e => [e.name, e.nextHopProtocol])"
    )
    assert len(protocols) > 6
    assert {protocol for _, protocol in protocols} == {"h2"}, protocols


def test_twelve_tabs_are_live_through_nginx(
    front: Front, servers: list[RunningShop], tabs: list[Page]
) -> None:
    delays: list[float] = []
    item_ids = available(servers[0])[:10]
    for count, item_id in enumerate(item_ids):
        acting = tabs[count % TABS]
        size_button(acting, item_id).click()
        for tab in tabs:
            eventually(partial(tab.evaluate, f"window.seen['item:{item_id}']"))
        clicked = acting.evaluate("window.clicked")
        delays += [tab.evaluate(f"window.seen['item:{item_id}']") - clicked for tab in tabs]
    print(
        f"\n12 tabs, two servers, nginx: shown after {statistics.median(delays):.0f} ms (median), "
        f"at most {max(delays):.0f} ms"
    )
    for tab in tabs:
        expect_cart(tab, item_ids)
    # Both servers have tabs, and both ways of following the shop are in use.
    sockets = sum(bool(tab.evaluate(SOCKET)) for tab in tabs)
    assert 0 < sockets < TABS


HELD = "[...document.querySelectorAll('#cart .cart-item')].map(l => Number(l.dataset.itemId))"

SOCKET = "document.getElementById('live').dataset.way === 'socket'"


@pytest.mark.parametrize(
    ("which", "end", "restore"),
    [(1, RunningShop.freeze, RunningShop.thaw), (0, RunningShop.kill, RunningShop.start)],
    ids=["frozen", "killed"],
)
def test_tabs_of_a_lost_server_are_right_again_by_the_other(
    which: int,
    end: Callable[[RunningShop], None],
    restore: Callable[[RunningShop], object],
    front: Front,
    servers: list[RunningShop],
    tabs: list[Page],
) -> None:
    left, lost = servers[1 - which], servers[which]
    held = tabs[0].evaluate(HELD)
    first, second, third, *_ = (i for i in available(left) if i not in held)
    add(tabs[0], first)
    for tab in tabs:
        eventually(partial(live, tab))
        expect(line(tab, first)).to_be_visible()
        tab.evaluate("window.timesLost = 0")
    end(lost)
    ended = time.time()
    # Changed by an operator, beside the servers: nobody's click.
    left.flask("stock", "set", left.sku(second), "0")
    for tab in tabs:
        eventually(partial(tab.evaluate, f"window.soldOut['{second}']"), 30)
        eventually(partial(live, tab), 30)
    assert any(tab.evaluate("window.timesLost") for tab in tabs), "some were of that server"
    shown = [tab.evaluate(f"window.soldOut['{second}']") / 1000 - ended for tab in tabs]
    print(f"\nafter a {end.__name__}: all 12 tabs right after {max(shown):.1f} s")
    add(tabs[3], third)
    restore(lost)


# The last one: nginx leaves a server out that failed, for 10 s; twelve tabs would be the other's.
def test_a_tab_is_right_soon_after_nginx_ended_its_stream(
    front: Front, servers: list[RunningShop], browser_window: BrowserContext, complaints: Complaints
) -> None:
    complaints.server_goes_away = True
    tab = visit(browser_window.new_page(), front.url)
    tab.evaluate(
        """() => {
          window.away = [];
          let since = 0;
          new MutationObserver(() => {
            if (document.documentElement.dataset.live === "off") since = performance.now();
            else window.away.push(performance.now() - since);
          }).observe(document.documentElement, { attributeFilter: ["data-live"] });
        }"""
    )
    for shop in servers:
        shop.stop()
        shop.start()
        wait_until_live(tab)
    away = eventually(partial(tab.evaluate, "window.away"))
    print(f"\na stream was ended: the tab is live again after {max(away):.0f} ms")
