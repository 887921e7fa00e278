"""Cached pages: whatever changes, nobody is shown an old page, or what is another visitor's."""

from __future__ import annotations

import re

import pytest

from tests.support.running import RunningShop, eventually
from tests.support.shopper import (
    Shopper,
    element,
    items_in,
    level_in,
    notices_in,
    ref_in,
    token_of,
    version_in,
)

PAGES = ("/", "/products/OST-TIDELINE")

#: Changes of what a page shows, as SQL that knows nothing of the shop, and what is seen then.
CHANGES = {
    "price": ("UPDATE products SET price = 123456 WHERE id = 1", "$1,234.56"),
    "name": ("UPDATE products SET name = 'Ember' WHERE id = 1", "Ember"),
    "color": ("UPDATE products SET color = 'Moss' WHERE id = 1", "Moss"),
    "image": ("UPDATE products SET main_image = '/other.svg' WHERE id = 1", "/other.svg"),
    "size": ("UPDATE items SET size = '99' WHERE id = 1", ">99<"),
    "a size more": (
        "INSERT INTO items (product_id, sku, size, available, version)"
        " VALUES (1, 'NEW', '77', 500, 1)",
        ">77<",
    ),
    "stock": ("UPDATE items SET available = 140 WHERE product_id = 1", "level-low"),
    "coming soon again": ("UPDATE products SET released = FALSE WHERE id = 1", "coming soon"),
}


def visit(shop: RunningShop, path: str = "/") -> str:
    """Return the page as somebody sees it who comes for the first time."""
    return Shopper(shop).get(path).text


def keep(shop: RunningShop) -> Shopper:
    """Return a shopper who has a cookie, and to whom every page was shown twice."""
    shopper = Shopper(shop)
    for path in PAGES * 2:
        assert shopper.get(path).status == 200
    return shopper


@pytest.mark.parametrize("path", PAGES)
def test_a_change_by_whatever_means_is_on_the_next_page(drop: RunningShop, path: str) -> None:
    shopper = keep(drop)
    for statement, seen in CHANGES.values():
        assert seen not in shown_of_the_first(shopper.get(path).text)
        drop.sql(statement)
        assert seen in shown_of_the_first(shopper.get(path).text)
        assert seen in shown_of_the_first(visit(drop, path))


def shown_of_the_first(html: str) -> str:
    """Return what a page shows of the first product."""
    shown = html.partition('data-product-id="1"')[2].partition("</article>")[0]
    assert shown
    return shown


def test_a_release_is_on_the_next_page(shop: RunningShop) -> None:
    shopper = keep(shop)
    assert "size-container" not in shopper.get("/").text
    shop.flask("release", "1")
    assert shopper.get("/").text.count('class="size-container"') == 1
    assert visit(shop).count('class="size-container"') == 1


def test_products_that_come_go_or_change_places_do_so_on_the_next_page(drop: RunningShop) -> None:
    shopper = keep(drop)

    def shown() -> list[str]:
        return re.findall(r'data-product-id="(\d+)"', shopper.get("/").text)

    assert shown() == ["1", "2"]
    drop.sql("UPDATE products SET position = 9 WHERE id = 1")
    assert shown() == ["2", "1"]
    drop.empty_books()
    drop.sql("DELETE FROM items WHERE product_id = 1")
    drop.sql("DELETE FROM products WHERE id = 1")
    assert shown() == ["2"]
    assert shopper.get(PAGES[1]).status == 404


def test_what_sold_out_and_came_back_is_there_on_the_next_page(drop: RunningShop) -> None:
    shopper, sku = keep(drop), drop.sku(1)
    for pieces, level in ((0, "out"), (7, "low"), (0, "out"), (700, "high")):
        drop.flask("stock", "set", sku, str(pieces))
        assert level_in(shopper.get("/").text, 1) == level


def test_visitors_of_one_kept_page_have_their_own_cart_token_and_version(drop: RunningShop) -> None:
    one, other = keep(drop), keep(drop)
    one.add(1)
    other.add(1)
    pages = [one.get("/").text, other.get("/").text, visit(drop), visit(drop)]

    assert [items_in(html) for html in pages] == [[1], [1], [], []]
    for own in (ref_in, token_of, version_in):
        assert len({own(html) for html in pages[:2]}) == 2, own
    assert len({ref_in(html) for html in pages}) == len({token_of(html) for html in pages}) == 4
    for html in pages:
        refs = set(re.findall(r'data-cart-ref="([^"]*)"', html))
        assert refs == {ref_in(html)}


def test_a_kept_page_shows_what_a_cart_holds_by_now(drop: RunningShop) -> None:
    shopper = keep(drop)
    held: list[int] = []
    for item_id in (3, 1, 8):
        shopper.add(item_id)
        held = sorted([*held, item_id])
        assert [items_in(shopper.get(path).text) for path in PAGES] == [held, held]
    drop.flask("stock", "set", drop.sku(3), "0")
    assert "is sold out" in element(shopper.get("/").text, "notices-cart")
    shopper.remove(3)
    assert "is sold out" not in element(shopper.get("/").text, "notices-cart")


def test_a_notice_is_shown_once_and_to_nobody_else(drop: RunningShop) -> None:
    shopper = keep(drop)
    shopper.add(1)
    assert notices_in(visit(drop)) == []
    assert notices_in(shopper.get("/").text) == ["The size was added."]
    assert notices_in(shopper.get("/").text) == notices_in(visit(drop)) == []


def test_a_page_tells_its_own_path_to_its_forms_and_its_socket(drop: RunningShop) -> None:
    shopper = keep(drop)
    for path in (*PAGES, *PAGES):
        html = shopper.get(path).text
        assert f'name="back" value="{path}"' in html
        assert f"&page={path}" in html


def test_what_is_typed_into_an_address_stays_out_of_kept_pages(drop: RunningShop) -> None:
    shopper = keep(drop)
    assert "typed-by-somebody" not in shopper.get("/?typed-by-somebody=1").text
    assert "typed-by-somebody" not in shopper.get("/").text


def test_a_page_is_the_same_whether_it_was_kept_or_not(drop: RunningShop) -> None:
    """Of a shop that has just been started, and of one that has shown it before."""
    shopper = keep(drop)
    shopper.add(5)
    shopper.get("/")
    kept = [shopper.get(path).text for path in PAGES]
    assert drop.stop() == 0
    drop.start()
    fresh = [shopper.get(path).text for path in PAGES]
    assert list(map(without_versions, fresh)) == list(map(without_versions, kept))


def without_versions(html: str) -> str:
    return re.sub(r'data-(version|now)="\d+"', "", html)


def test_names_are_as_they_are_whatever_is_in_them(drop: RunningShop) -> None:
    """Also what means something where a page's placeholders are filled."""
    name = "100% %s %(token)s {cart}"
    drop.sql("UPDATE products SET name = ? WHERE id = 1", name)
    shopper = keep(drop)
    assert [name in shopper.get(path).text for path in PAGES] == [True, True]


def test_more_pages_than_are_kept_are_all_as_they_should_be(drop: RunningShop) -> None:
    shopper = keep(drop)
    for price in range(100, 240):  # each is another page
        drop.sql("UPDATE products SET price = ? WHERE id = 1", price * 100)
        assert f"${price}.00" in shopper.get("/").text


def test_a_cookie_that_was_changed_is_nobodys_also_after_the_good_one_was_read(
    drop: RunningShop,
) -> None:
    shopper = keep(drop)
    shopper.add(1)
    good = shopper.cookie_header
    name = next(name for name in re.findall(r"([\w-]+)=", good) if name.startswith("cart-"))
    text = re.search(rf"{name}=([^;]+)", good)
    assert text is not None
    for at in (0, len(text[1]) // 2, len(text[1]) - 2):
        forged = f"{text[1][:at]}{'x' if text[1][at] != 'x' else 'y'}{text[1][at + 1 :]}"
        for _ in range(2):
            page = Shopper(drop).get("/", Cookie=f"{name}={forged}").text
            assert items_in(page) == []
    assert items_in(Shopper(drop).get("/", Cookie=good).text) == [1]


def test_a_page_is_told_of_while_the_database_is_away_and_not_kept_so(drop: RunningShop) -> None:
    shopper = keep(drop)
    database, away = drop.database, drop.database.with_name("away")
    database.rename(away)
    told = shopper.get("/")
    assert told.status == 200
    assert "reach our stock" in " ".join(notices_in(told.text))
    away.rename(database)
    eventually(lambda: notices_in(shopper.get("/").text) == [])
    assert notices_in(visit(drop)) == []
