"""Pages of the catalogue follow it: what is new, edited, hidden or removed, without a reload."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.running import RunningShop
from tests.support.shopper import Shopper, SocketTab, Tab, items_in

pytestmark = pytest.mark.both_databases

NEW = ("--name", "Gale", "--brand", "Northwind", "--color", "Red", "--price", "99.00")


class FrontPage(Tab):
    """A tab that shows the first page of the list."""

    def _connect(self, shop: object, query: str, headers: dict[str, str]) -> None:
        super()._connect(shop, "?list=1", headers)  # type: ignore[arg-type]


class FrontPageBySocket(SocketTab):
    def _connect(self, shop: object, query: str, headers: dict[str, str]) -> None:
        super()._connect(shop, "?list=1", headers)  # type: ignore[arg-type]


class DetailPage(Tab):
    def _connect(self, shop: object, query: str, headers: dict[str, str]) -> None:
        super()._connect(shop, "?detail=1", headers)  # type: ignore[arg-type]


def add(shop: RunningShop, sku: str = "GALE", sizes: str = "41,42") -> None:
    shop.flask("catalog", "add", sku, *NEW, "--sizes", sizes, "--count", "5")


@pytest.mark.parametrize("kind", [FrontPage, FrontPageBySocket])
def test_a_new_product_comes_into_open_front_pages_and_stays_live(
    drop: RunningShop, kind: type[Tab]
) -> None:
    with kind(drop, Shopper(drop)) as tab:
        tab.next()
        assert "Tideline" in tab.shown["products"]
        add(drop)
        tab.until(lambda tab: "Gale" in tab.shown["products"])
        drop.flask("release", "GALE")
        tab.until(lambda tab: "size-container__entry" in tab.shown.get("stock-3", ""))
        drop.flask("stock", "set", drop.stock()[27]["sku"], "0")
        tab.until(lambda tab: "--level-out" in tab.shown["stock-3"])


def test_an_empty_front_page_hears_of_the_first_product(
    open_shop: Callable[..., RunningShop],
) -> None:
    shop = open_shop(stage="new", SHOP_DEMO="off")
    with FrontPage(shop, Shopper(shop)) as tab:
        tab.next()
        assert "Nothing here yet" in tab.shown["products"]
        add(shop)
        tab.until(lambda tab: "Gale" in tab.shown["products"])
        shop.flask("catalog", "remove", "GALE")
        tab.until(lambda tab: "Nothing here yet" in tab.shown["products"])


def test_what_is_hidden_shown_edited_or_removed_follows_in_open_pages(drop: RunningShop) -> None:
    with FrontPage(drop, Shopper(drop)) as front, DetailPage(drop, Shopper(drop)) as detail:
        for tab in (front, detail):
            tab.next()
        drop.flask("catalog", "edit", "OST-TIDELINE", "--name", "Ebb", "--color", "Sand")
        for tab in (front, detail):
            tab.until(
                lambda tab: "Ebb" in tab.shown["products"] and "Sand" in tab.shown["products"]
            )
        drop.flask("catalog", "hide", "OST-TIDELINE")
        front.until(lambda tab: "Ebb" not in tab.shown["products"])
        detail.until(lambda tab: "no longer in the shop" in tab.shown["products"])
        drop.flask("catalog", "show", "OST-TIDELINE")
        for tab in (front, detail):
            tab.until(lambda tab: "Ebb" in tab.shown["products"])
        drop.flask("catalog", "remove", "OST-TIDELINE")
        front.until(lambda tab: "Ebb" not in tab.shown["products"])
        detail.until(lambda tab: "no longer in the shop" in tab.shown["products"])


def test_a_sale_sends_the_stock_alone_and_not_the_list(drop: RunningShop) -> None:
    with FrontPage(drop, Shopper(drop)) as tab:
        tab.next()
        before = len(tab.events)
        drop.flask("stock", "set", drop.sku(1), "3")
        tab.until(lambda tab: "--level-low" in tab.shown.get("stock-1", ""))
        assert all('id="products"' not in event.data for event in tab.events[before:])


def test_a_page_shows_24_products_and_leads_to_the_others(drop: RunningShop) -> None:
    for number in range(23):
        add(drop, f"GALE{number}", "One size")
    shopper = Shopper(drop)
    first, second = shopper.get("/"), shopper.get("/?page=2")
    assert first.text.count("data-product-id=") == 24
    assert second.text.count("data-product-id=") == 1
    assert 'href="/?page=2" rel="next"' in first.text and 'href="/" rel="prev"' in second.text
    assert [shopper.get(f"/?page={page}").status for page in ("3", "0", "x", "9" * 30)] == [404] * 4
    with FrontPage(drop, shopper) as tab:
        tab.next()
        drop.flask("catalog", "hide", "OST-KILN")
        tab.until(lambda tab: tab.shown["products"].count("data-product-id=") == 24)
        tab.until(lambda tab: "Page 1 of" not in tab.shown["products"])
    assert shopper.get("/?page=2").status == 404
    assert items_in(shopper.get("/").text) == []
