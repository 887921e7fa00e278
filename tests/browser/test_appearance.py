"""Every page: accessible, light and dark, on phones and wide screens, and from one origin."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.shopper import add, expect_cart, fill_in, hold, line, visit
from tests.support.payer import time_passes
from tests.support.running import ROOT, RunningShop

AXE = (ROOT / "tests" / "vendor" / "axe.min.js").read_text()

#: Widths in CSS pixels: a small phone, a phone, a tablet, a laptop, a wide screen.
WIDTHS = (320, 360, 768, 1280, 1920)

#: By which of axe's rules a page is checked in each scheme: it is one page in other colors.
RULES: dict[Literal["light", "dark"], list[str] | None] = {"light": None, "dark": ["cat.color"]}

Keep = Callable[[Page, str], None]


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Give a function that takes a picture of a page, if `--pictures FOLDER` asks for them."""
    folder = request.config.getoption("--pictures")

    def take(tab: Page, name: str) -> None:
        if folder:
            tab.screenshot(path=Path(folder) / f"{name}.png")

    return take


def _stations(shop: RunningShop, tab: Page) -> list[tuple[str, Callable[[], object]]]:
    """Every kind of page, in the order of a visit, and how one gets there."""
    sku = shop.stock()[14]["product"]

    def sold_out() -> None:
        visit(tab, shop.url)
        add(tab, 1)
        add(tab, 15)
        shop.flask("stock", "set", shop.sku(1), "0")
        shop.flask("stock", "set", shop.sku(2), "20")
        expect(line(tab, 1)).to_contain_class("cart-item--out-of-stock")

    def wrong() -> None:
        fill_in(tab, email="nobody")
        tab.locator("#purchase").click()
        expect(tab.locator("#checkout-errors")).to_be_visible()

    def buy() -> None:
        fill_in(tab)
        tab.locator("#purchase").click()
        expect(tab.locator(".receipt")).to_be_visible()

    def swapped() -> None:
        visit(tab, f"{shop.url}/cart")
        tab.locator("#notices .notice__swap").nth(2).click()
        expect(tab.locator("#cart .cart-item--out-of-stock")).to_have_count(0)

    return [
        ("soon", lambda: visit(tab, shop.url)),
        ("sizes", lambda: (shop.flask("release", "1", "2"), visit(tab, shop.url))),
        ("product", lambda: visit(tab, f"{shop.url}/products/{sku}")),
        ("sold-out", sold_out),
        ("cart-sold-out", lambda: visit(tab, f"{shop.url}/cart")),
        ("checkout-closed", lambda: visit(tab, f"{shop.url}/checkout")),
        ("cart", swapped),
        ("checkout", lambda: visit(tab, f"{shop.url}/checkout")),
        ("checkout-wrong", wrong),
        ("receipt", buy),
        ("empty-cart", lambda: visit(tab, f"{shop.url}/cart")),
        ("not-found", lambda: visit(tab, f"{shop.url}/nowhere")),
        ("empty", lambda: (shop.flask("reset", "--yes"), visit(tab, shop.url))),
    ]


def test_every_page_is_accessible_and_fits_every_screen(
    shop: RunningShop, open_window: Callable[..., BrowserContext], keep: Keep
) -> None:
    tab = _window(open_window).new_page()
    assert _ugly(tab, _stations(shop, tab), keep) == []


def test_the_pages_of_a_payment_are_accessible_and_fit_every_screen(
    open_shop: Callable[..., RunningShop], open_window: Callable[..., BrowserContext], keep: Keep
) -> None:
    shop = open_shop(stage="released", SHOP_DEMO="off", SHOP_PAYMENTS="demo")
    tab = _window(open_window).new_page()
    assert _ugly(tab, _payment_stations(shop, tab), keep) == []


def _payment_stations(shop: RunningShop, tab: Page) -> list[tuple[str, Callable[[], object]]]:
    """Return the pages from a hold to its end, in the order in which they are come by."""

    def expired() -> None:
        time_passes(shop, 601)
        expect(tab.locator("#hold")).to_have_attribute("data-state", "expired")

    def paid() -> None:
        hold(tab, shop.url, 1)
        tab.locator("#hold-pay").click()
        tab.locator("button[value=pay]").click()
        expect(tab.locator("#hold")).to_have_attribute("data-state", "paid")

    return [
        ("hold", lambda: hold(tab, shop.url, 1)),
        ("hold-elsewhere", lambda: visit(tab, shop.url)),
        ("hold-again", lambda: tab.goto(f"{shop.url}/checkout/complete")),
        ("demo-payment", lambda: tab.locator("#hold-pay").click()),
        ("hold-left", lambda: tab.go_back()),
        ("hold-expired", expired),
        ("hold-paid", paid),
    ]


def _window(open_window: Callable[..., BrowserContext]) -> BrowserContext:
    return open_window(
        viewport={"width": 1280, "height": 900},
        bypass_csp=True,  # axe is put in from outside; what the pages do themselves stays checked
    )


def _ugly(tab: Page, stations: Iterable[tuple[str, Callable[[], object]]], keep: Keep) -> list[str]:
    """Go from page to page, and return what is wrong with them, by light and in the dark."""
    found: list[str] = []
    for name, go in stations:
        go()
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 740 if width < 768 else 900})
            if _scrolls_sideways(tab):
                found.append(f"{name} scrolls sideways at {width} px")
            if width in (360, 1280):
                for scheme, rules in RULES.items():
                    tab.emulate_media(color_scheme=scheme)
                    found += [
                        f"{name} at {width} px, {scheme}: {v}" for v in _violations(tab, rules)
                    ]
                    keep(tab, f"{name}-{width}-{scheme}")
    return found


def _scrolls_sideways(tab: Page) -> bool:
    answer: bool = tab.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    return answer


def _violations(tab: Page, rules: list[str] | None = None) -> list[str]:
    """Return what axe finds, by all its rules or by those with certain tags."""
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "tag", "values": rules}
    result: dict[str, Any] = tab.evaluate("options => axe.run(options)", options)
    return [
        f"{violation['id']}: {node['html'][:120]} {node['failureSummary']}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]


def test_the_phone_sheet_with_a_cart_is_accessible(
    drop: RunningShop, open_window: Callable[..., BrowserContext], keep: Keep
) -> None:
    window = open_window(viewport={"width": 360, "height": 740}, bypass_csp=True)
    tab = visit(window.new_page(), drop.url)
    for item_id in (1, 14):
        tab.locator(f'button.size-container__entry[value="{item_id}"]').click()
        expect_count = tab.locator("#cart-bar .cart-bar__count")
        expect(expect_count).to_have_text("1" if item_id == 1 else "2")
    drop.flask("stock", "set", drop.sku(1), "0")
    expect(line(tab, 1)).to_contain_class("cart-item--out-of-stock")
    tab.locator("#cart-bar").click()
    expect(tab.locator("#cart")).to_be_visible()
    assert _violations(tab) == []
    keep(tab, "sheet-360-light")


def test_no_request_leaves_the_shop_and_the_first_page_is_light(
    drop: RunningShop, window: BrowserContext
) -> None:
    tab = window.new_page()
    session = window.new_cdp_session(tab)
    session.send("Network.enable")
    weight = {"bytes": 0}
    elsewhere: list[str] = []
    session.on("Network.loadingFinished", lambda e: weight.update(
        bytes=weight["bytes"] + int(e["encodedDataLength"])))  # fmt: skip
    tab.on("request", lambda r: elsewhere.append(r.url)
           if urlsplit(r.url).netloc != urlsplit(drop.url).netloc else None)  # fmt: skip
    visit(tab, drop.url)
    tab.wait_for_load_state("load")
    tab.locator(".product-listing img").last.scroll_into_view_if_needed()
    assert elsewhere == []
    print(f"\nthe first page weighs {weight['bytes'] / 1000:.0f} KB over the wire")
    assert 10_000 < weight["bytes"] <= 120_000


def test_the_picture_of_the_shop_for_its_readme(
    drop: RunningShop, window: BrowserContext, keep: Keep
) -> None:
    tab = visit(window.new_page(), drop.url)
    add(tab, 1)
    add(tab, 14)
    drop.flask("stock", "set", drop.sku(5), "40")
    drop.flask("stock", "set", drop.sku(10), "12")
    expect(tab.locator(".size-container__entry--level-low")).to_have_count(2)
    expect_cart(tab, [1, 14])
    tab.evaluate("scrollTo(0, 0)")
    tab.mouse.move(300, 400)
    tab.wait_for_function("() => document.getAnimations().every(a => a.playState !== 'running')")
    keep(tab, "shop")
