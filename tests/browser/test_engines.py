"""The shop in Firefox and WebKit, from before the drop on; all other tests are in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.browser.engines import Engine, Firefox, Tab, WebKit
from tests.browser.shopper import DETAILS
from tests.support.databases import Databases, shop_in
from tests.support.running import RunningShop

Visit = Callable[..., Tab]

LIVE = 'html[data-live="on"]'
SIZE = 'button.size-container__entry[name=item_id][value="{}"]'
LINE = '#cart .cart-item[data-item-id="{}"]'


@pytest.fixture(scope="module", params=[Firefox, WebKit])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    browser: Engine = request.param(tmp_path_factory.mktemp("browser"))
    with browser:
        yield browser


@pytest.fixture(scope="module")
def served(
    engine: Engine, dbms: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningShop]:
    """A shop before the drop, for all tests in one browser: they go through one drop, in order."""
    folder = tmp_path_factory.mktemp("served") / "instance"
    with shop_in(dbms, folder, "stocked", SHOP_DEMO="off") as shop:
        yield shop.start()
    assert engine.complaints(shop.url) == []


@pytest.fixture
def visit(engine: Engine, served: RunningShop) -> Iterator[Visit]:
    """Give a function that opens a page of the shop in a new tab and waits until it is live."""
    opened: list[Tab] = []

    def open_one(path: str = "/") -> Tab:
        opened.append(engine.open(served.url + path))
        return opened[-1].wait_for(LIVE)

    yield open_one
    for tab in opened:
        tab.close()


def expect_cart(tab: Tab, *item_ids: int) -> None:
    shown = "[...document.querySelectorAll('#cart .cart-item')].map(l => l.dataset.itemId).join()"
    tab.wait(f"{shown} === '{','.join(map(str, item_ids))}'")


def test_the_drop_opens_in_every_tab_without_a_reload(served: RunningShop, visit: Visit) -> None:
    tabs = [visit(), visit()]
    for tab in tabs:
        assert tab.run("return document.querySelectorAll('.product-soon').length") == 2
        tab.run("window.notReloaded = true")
    served.flask("release", "1", "2")
    for tab in tabs:
        tab.wait("document.querySelectorAll('.size-container').length === 2")
        assert tab.run("return window.notReloaded")
    tabs[0].click(SIZE.format(1))
    for tab in tabs:
        expect_cart(tab, 1)


def test_six_tabs_are_live_as_soon_as_they_are_loaded_and_the_fifth_takes_a_websocket(
    visit: Visit,
) -> None:
    tabs = [visit() for _ in range(6)]
    ways = [tab.run("return document.getElementById('live').dataset.way") for tab in tabs]
    # A page that has gone may hold its place for a moment.
    assert ways[:3] == ["events"] * 3 and ways[-1] == "socket"
    tabs[-1].click(SIZE.format(14))
    for tab in tabs:
        expect_cart(tab, 1, 14)
    tabs[0].click(f"{LINE.format(14)} .cart-item__remove")
    for tab in tabs:
        expect_cart(tab, 1)


def test_what_sells_out_is_struck_and_can_be_swapped_and_bought(
    served: RunningShop, visit: Visit
) -> None:
    tab, checkout = visit(), visit("/checkout")
    for field, text in DETAILS.items():
        checkout.type(f"#{field}", text)
    # Which country a form comes with is by the browser's language, and not all say one.
    checkout.run("document.querySelector('#country').value = 'NO'")
    served.flask("stock", "set", served.sku(1), "0")
    tab.wait_for(f"{LINE.format(1)}.cart-item--out-of-stock")
    tab.wait_for(f"{SIZE.format(1)}:disabled")
    struck = "document.querySelector(arguments[0])).textDecorationLine"
    size = f"{SIZE.format(1)} .size-container__size"
    assert tab.run(f"return getComputedStyle({struck}", size) == "line-through"
    checkout.wait_for("#purchase:disabled")

    swap = "#notices button.notice__swap"
    other = int(tab.wait_for(swap).run(f"return document.querySelector('{swap}').value"))
    tab.click(swap)
    for each in (tab, checkout):
        expect_cart(each, other)
    checkout.wait_for("#purchase:enabled").click("#purchase")
    checkout.wait("location.pathname === '/checkout/complete'")
    (order,) = served.orders()
    checkout.wait(f"document.querySelector('.receipt').textContent.includes('{order['number']}')")
    expect_cart(tab)


def test_the_back_button_shows_what_is_true_now(served: RunningShop, visit: Visit) -> None:
    tab, other = visit(), visit()
    tab.run("document.querySelector('.product-listing__name').click()")
    tab.wait("location.pathname.startsWith('/products/')").wait_for(LIVE)
    other.click(SIZE.format(15))
    expect_cart(other, 15)
    served.flask("stock", "set", served.sku(16), "0")
    tab.back()
    tab.wait("location.pathname === '/'").wait_for(LIVE)
    expect_cart(tab, 15)
    tab.wait_for(f"{SIZE.format(16)}:disabled")
    tab.click(f"{LINE.format(15)} .cart-item__remove")
    expect_cart(other)


def test_tabs_come_back_after_a_restart_by_whichever_way_they_were_there(
    served: RunningShop, visit: Visit
) -> None:
    tabs = [visit() for _ in range(5)]
    tabs[0].click(SIZE.format(17))
    expect_cart(tabs[4], 17)
    served.kill()
    for tab in tabs:
        tab.wait_for('html[data-live="off"]')
    tabs[0].wait("document.getElementById('live-status').textContent.includes('Not live')")
    served.start()
    for tab in tabs:
        tab.wait_for(LIVE)
    tabs[4].click(SIZE.format(18))
    for tab in tabs:
        expect_cart(tab, 17, 18)
