"""The shop's own name, colours and texts: there at the next request, and never a broken page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from shop.face.contrast import contrast
from tests.support.running import RunningShop
from tests.support.shopper import Shopper, Tab

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 10"><path d="M0 0h9"/></svg>'


@pytest.fixture(scope="module")
def shop(open_drop: RunningShop) -> RunningShop:
    return open_drop


def write(shop: RunningShop, name: str, text: str | bytes) -> Path:
    file = shop.instance / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_name_colours_and_logo_are_there_at_the_next_request(shop: RunningShop) -> None:
    shopper = Shopper(shop)
    assert "<title>Noon: the drop</title>" in shopper.get("/").text
    write(shop, "brand/brand.toml", 'name = "North & Co"\n[light]\naccent = "#0b5fff"\n')
    page = shopper.get("/").text
    assert "<title>North &amp; Co: the drop</title>" in page
    address = re.search(r"/brand/\w+/brand.css", page)
    assert address is not None
    styles = shopper.get(address[0])
    assert "--sun:#0b5fff;--on-sun:#ffffff" in styles.text
    assert "immutable" in styles.headers["Cache-Control"]
    write(shop, "brand/logo.svg", SVG)
    page = shopper.get("/").text
    logo = re.search(r'src="(/brand/\w+/logo.svg)" alt="North &amp; Co" width="40"', page)
    assert logo is not None
    assert "sandbox" in shopper.get(logo[1]).headers["Content-Security-Policy"]
    for path in ("/cart", "/nowhere", "/products/OST-KILN"):
        assert "North &amp; Co" in shopper.get(path).text


def test_what_can_not_be_used_leaves_the_shop_as_it_was(shop: RunningShop) -> None:
    shopper = Shopper(shop)
    write(shop, "brand/brand.toml", 'name = "Before"')
    assert "Before: the drop" in shopper.get("/").text
    for bad in ("name = ", b"\xff\xfe", 'nmae = "x"', '[light]\naccent = "blue"', "name = 7"):
        write(shop, "brand/brand.toml", bad)
        assert "Before: the drop" in shopper.get("/").text


@pytest.mark.parametrize(
    ("brand", "said"),
    [
        ('[light]\naccent = "#ffff00"\ntext = "#ffffff"', "contrast is 1.1:1"),
        ('[dark]\naccent = "red"', "is no colour such as #0b5fff"),
        ('colour = "red"', "nobody knows colour"),
        ("name = ", "can't be read"),
    ],
)
def test_a_brand_that_can_not_be_used_ends_the_start_with_a_line(
    make_shop: Callable[..., RunningShop], brand: str, said: str
) -> None:
    shop = make_shop("released")
    file = write(shop, "brand/brand.toml", brand)
    with pytest.raises(AssertionError) as ended:
        shop.start()
    assert said in str(ended.value) and str(file) in str(ended.value)
    assert "Traceback" not in str(ended.value)


def test_texts_stand_at_the_foot_of_every_page_cleaned(shop: RunningShop) -> None:
    shopper = Shopper(shop)
    write(
        shop,
        "pages/imprint.md",
        "# Who we are\n\nNorth *Ltd*\n\n<script>alert(1)</script><img src=x onerror=alert(1)>\n\n"
        "[bad](javascript:alert(1)) [good](https://example.com)\n",
    )
    for path in ("/", "/cart", "/nowhere"):
        assert '<a href="/pages/imprint" dir="auto">Who we are</a>' in shopper.get(path).text
    page = shopper.get("/pages/imprint").text
    assert "<h1>Who we are</h1>" in page and "<em>Ltd</em>" in page
    assert "<title>Who we are · " in page and 'href="https://example.com"' in page
    assert (
        "alert(1)</script>" not in page and "onerror" not in page and 'href="javascript' not in page
    )
    write(shop, "pages/imprint.md", "# Changed")
    assert "<h1>Changed</h1>" in shopper.get("/pages/imprint").text
    (shop.instance / "pages/imprint.md").unlink()
    assert shopper.get("/pages/imprint").status == 404
    assert "/pages/imprint" not in shopper.get("/").text


def test_a_text_that_can_not_be_used_is_left_out(shop: RunningShop) -> None:
    shopper = Shopper(shop)
    write(shop, "pages/bad.md", b"\xff\xfe")
    write(shop, "pages/huge.md", "x" * 300_000)
    write(shop, "pages/..md", "x")
    write(shop, "pages/plain.md", "no heading")
    assert [shopper.get(f"/pages/{name}").status for name in ("bad", "huge", ".", "..%2Fx")] == [
        404
    ] * 4
    assert "<title>Plain · " in shopper.get("/pages/plain").text


def test_a_description_is_cleaned_and_follows_in_open_pages(drop: RunningShop) -> None:
    text = "<p>For <b>heat</b>.</p><script>alert(1)</script>"
    drop.flask("catalog", "edit", "OST-TIDELINE", "--description", text)
    page = Shopper(drop).get("/products/OST-TIDELINE").text
    assert "product-description" in page and "<p>For <b>heat</b>.</p>" in page
    assert "alert(1)" not in page
    assert "product-description" not in Shopper(drop).get("/products/OST-KILN").text
    tab = DetailPage(drop, Shopper(drop))
    with tab:
        tab.next()
        drop.flask("catalog", "edit", "OST-TIDELINE", "--description", "Now in *Markdown*.")
        tab.until(lambda tab: "<em>Markdown</em>" in tab.shown["products"])


class DetailPage(Tab):
    """A tab that shows the first product's own page."""

    def _connect(self, shop: object, query: str, headers: dict[str, str]) -> None:
        super()._connect(shop, "?detail=1", headers)  # type: ignore[arg-type]


def test_contrasts_are_those_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
