"""Photographs on a page: small on a phone, in their place from the beginning, new in open tabs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.shopper import visit
from tests.browser.test_goods import SHIFTS
from tests.support.databases import Files, shop_in
from tests.support.photographs import write_photographs
from tests.support.running import RunningShop

NINE_COLUMNS = """\
product,brand,name,color,size,price,count,image
ONE,Me,One,Blue,8,120.00,500,1.jpg | 4.jpg | 5.jpg
TWO,Me,Two,Red,8,120.00,500,2.jpg
THREE,Me,Three,Red,8,120.00,500,3.jpg
"""


@pytest.fixture(scope="module")
def shop(on_sqlite: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop of three products, with photographs of 4,000 pixels as originals."""
    folder = tmp_path_factory.mktemp("photographs")
    write_photographs(folder / "large", "1.jpg", "2.jpg", "3.jpg")
    write_photographs(folder / "large", "4.jpg", "5.jpg", width=600, height=900)
    (folder / "own.csv").write_text(NINE_COLUMNS)
    with shop_in(on_sqlite, folder / "instance", "new", SHOP_DEMO="off") as shop:
        shop.flask("catalog", "import", str(folder / "own.csv"), "--images", str(folder / "large"))
        yield shop.start()


@pytest.fixture
def open_phone(open_window: Callable[..., BrowserContext]) -> Callable[[int], Page]:
    """Give a function that opens a tab on a phone with so many dots to a pixel."""

    def open_one(dots: int) -> Page:
        size = {"width": 390, "height": 844}
        window = open_window(viewport=size, device_scale_factor=dots, is_mobile=True)
        window.add_init_script(SHIFTS)
        return window.new_page()

    return open_one


@pytest.mark.parametrize("dots", [2, 3])
def test_three_photographs_come_to_a_phone_in_250_kb_and_move_nothing(
    shop: RunningShop, open_phone: Callable[[int], Page], dots: int
) -> None:
    phone = open_phone(dots)
    session, received = phone.context.new_cdp_session(phone), list[float]()
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    visit(phone, shop.url)
    pictures = phone.locator(".product-pictures img")
    expect(pictures).to_have_count(3)
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("e => e.naturalWidth") > 0
        assert "/640.avif" in picture.evaluate("e => e.currentSrc")
    assert [p.get_attribute("loading") for p in pictures.all()] == [None, "lazy", "lazy"]
    assert {p.get_attribute("width") for p in pictures.all()} == {"4000"}
    assert phone.evaluate("window.shifted") < 0.01
    assert sum(received) <= 250_000


def test_a_products_own_page_has_all_its_pictures_in_their_place(
    shop: RunningShop, open_phone: Callable[[int], Page]
) -> None:
    phone = open_phone(2)
    held, open_ = list[Route](), list[bool]()
    phone.route(
        re.compile("/media/"), lambda route: route.continue_() if open_ else held.append(route)
    )
    phone.goto(f"{shop.url}/products/ONE", wait_until="domcontentloaded")
    pictures = phone.locator(".product-pictures img")
    expect(pictures).to_have_count(3)
    before = [picture.bounding_box() for picture in pictures.all()]
    open_.append(True)
    for route in held:
        route.continue_()
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
    phone.evaluate("scrollTo(0, 0)")
    assert [picture.bounding_box() for picture in pictures.all()] == before
    assert phone.evaluate("window.shifted") < 0.01
    assert [p.get_attribute("loading") for p in pictures.all()] == [None, "lazy", "lazy"]


def test_a_new_picture_is_in_open_tabs(
    shop: RunningShop, open_phone: Callable[[int], Page], tmp_path_factory: pytest.TempPathFactory
) -> None:
    front, own = open_phone(2), open_phone(2)
    visit(front, shop.url)
    visit(own, f"{shop.url}/products/TWO")
    shown = [tab.locator("#product-2 .product-listing__picture img") for tab in (front, own)]
    before = {picture.get_attribute("src") for picture in shown}
    folder = tmp_path_factory.mktemp("new")
    write_photographs(folder, "side.png", "top.png", width=500, height=400)
    files = (str(folder / "side.png"), str(folder / "top.png"))
    shop.flask("catalog", "image", "TWO", *files, "--alt", "From the side")
    for picture in shown:
        expect(picture).to_have_attribute("alt", "From the side")
        assert picture.get_attribute("src") not in before
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("e => e.naturalWidth") > 0
    expect(own.locator(".product-gallery img")).to_have_count(1)
    shop.flask("catalog", "image", "TWO", "--none")
    for picture in shown:
        expect(picture).to_have_count(0)
    expect(own.locator(".product-gallery img")).to_have_count(0)
