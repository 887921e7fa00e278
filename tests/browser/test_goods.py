"""Any goods of any shop look right: long names, long sizes, photographs, whatever is sold out."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.shopper import add, expect_level, size_button, visit
from tests.support.databases import Files, shop_in
from tests.support.running import RunningShop

LONG_NAME = "The Harbour Museum of Ships"

#: A grey JPEG of one pixel, which a browser draws as large as it is told to.
PHOTOGRAPH = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgICAgMCAgIDAwMDBAYEBAQEBAgGBgUGCQgKCgkICQkKDA8MCgsOCwkJ"
    "DRENDg8QEBEQCgwSExIQEw8QEBD/wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/EABQQAQAAAAAAAAAAAAAA"
    "AAAAAAD/2gAIAQEAAD8AVN//2Q=="
)

SHIFTS = """window.shifted = 0; new PerformanceObserver((list) => {
for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({ type: 'layout-shift', buffered: true });"""


@pytest.fixture(scope="module")
def goods(on_sqlite: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    folder = tmp_path_factory.mktemp("goods") / "instance"
    with shop_in(on_sqlite, folder, "stocked", SHOP_DEMO="off", SHOP_NAME=LONG_NAME) as shop:
        yield shop.start()


@pytest.fixture
def shop(goods: RunningShop) -> RunningShop:
    """A shop with a long name whose two products are coming soon, with enough of everything."""
    goods.sql("UPDATE items SET available = 600")
    goods.sql("UPDATE items SET size = '8.5'")
    goods.sql("UPDATE products SET released = false, name = 'Tideline', main_image = 'icon.svg'")
    return goods


@pytest.fixture
def phone(open_window: Callable[..., BrowserContext]) -> Page:
    window = open_window(viewport={"width": 360, "height": 740})
    window.add_init_script(SHIFTS)
    return window.new_page()


def release(shop: RunningShop) -> None:
    shop.sql("UPDATE products SET released = true")


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_a_long_shop_name_and_long_words_are_whole(
    shop: RunningShop, phone: Page, width: int
) -> None:
    shop.sql("UPDATE products SET name = 'Ostervane' WHERE id = 1")
    shop.sql("UPDATE products SET name = 'Windbreakers' WHERE id = 2")
    phone.set_viewport_size({"width": width, "height": 740})
    visit(phone, shop.url)
    clipped = "e => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight"
    name = phone.locator(".masthead__name span")
    assert not name.evaluate(clipped)
    inside = "e => e.getBoundingClientRect().bottom <= e.closest('header').clientHeight"
    assert name.evaluate(inside)
    lines = "e => Math.round(e.offsetHeight / parseFloat(getComputedStyle(e).lineHeight))"
    for word in phone.locator(".product-listing__name").all():
        assert word.evaluate(lines) == 1


@pytest.mark.parametrize("size", ["EU 42 2/3", "One size fits all", "XXL"])
@pytest.mark.parametrize("width", [320, 360, 1280])
def test_sizes_open_without_a_shift_however_they_are_called(
    shop: RunningShop, phone: Page, width: int, size: str
) -> None:
    shop.sql("UPDATE items SET size = ?, available = 300", size)
    phone.set_viewport_size({"width": width, "height": 740})
    visit(phone, shop.url)
    phone.evaluate("document.fonts.ready.then(() => { window.shifted = 0 })")
    height = phone.evaluate("document.body.scrollHeight")
    release(shop)
    expect(phone.locator(".size-container")).to_have_count(2)
    assert phone.evaluate("document.body.scrollHeight") == height
    assert phone.evaluate("window.shifted") < 0.01


@pytest.mark.parametrize("width", [360, 1280])
def test_a_photograph_covers_neither_name_nor_price(
    shop: RunningShop, phone: Page, width: int
) -> None:
    shop.sql("UPDATE products SET main_image = '/photo.jpg'")

    def photograph(route: Route) -> None:
        route.fulfill(body=PHOTOGRAPH, content_type="image/jpeg")

    phone.route("**/photo.jpg", photograph)
    phone.set_viewport_size({"width": width, "height": 740})
    release(shop)
    visit(phone, shop.url)
    picture = phone.locator(".product-listing__picture img").first.bounding_box()
    name = phone.locator(".product-listing__name").first.bounding_box()
    price = phone.locator(".stock__price").first.bounding_box()
    assert picture and name and price
    assert name["y"] + name["height"] <= picture["y"]
    assert picture["y"] + picture["height"] <= price["y"]


def test_a_product_of_which_nothing_is_left_says_so_and_a_cart_how_much_of_it(
    shop: RunningShop, phone: Page
) -> None:
    release(shop)
    visit(phone, shop.url)
    for count, item_id in enumerate((1, 2, 14), 1):
        size_button(phone, item_id).click()
        expect(phone.locator("#cart-bar .cart-bar__count")).to_have_text(str(count))
    expect(phone.locator(".stock__sold-out")).to_have_count(0)
    shop.sql("UPDATE items SET available = 0 WHERE product_id = 2")
    expect_level(phone, 14, "out")
    expect(phone.locator(".stock__sold-out")).to_have_text("Sold out")
    expect(phone.locator("#cart-bar")).to_contain_text("1 of 3 sold out")


def test_one_control_leads_to_the_cart_and_an_empty_one_takes_no_room(
    shop: RunningShop, phone: Page
) -> None:
    controls = phone.locator(".masthead__cart:visible, #cart-bar:visible")
    visit(phone, shop.url)
    expect(controls).to_have_count(1)
    phone.set_viewport_size({"width": 1280, "height": 900})
    expect(phone.locator("#cart")).to_be_hidden()
    expect(controls).to_have_count(1)
    before = phone.locator(".product-soon").first.bounding_box()
    release(shop)
    expect(phone.locator("#cart")).to_be_visible()
    assert phone.locator(".size-container").first.bounding_box() == before
    add(phone, 1)
    expect(controls).to_have_count(0)
    expect(phone.locator("#cart .cart-item__size")).to_contain_text("Fog / Sea green")
