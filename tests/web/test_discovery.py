"""What search engines and link previews read of the shop."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from tests.support.running import RunningShop
from tests.support.shopper import Shopper

PUBLIC = "https://shop.example"


@pytest.fixture
def shop(open_shop: Callable[..., RunningShop]) -> RunningShop:
    return open_shop(stage="released", SHOP_PUBLIC_URL=PUBLIC)


def structured_in(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/ld\+json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, object] = json.loads(found[1])
    return data


def availability_of(shop: RunningShop) -> object:
    offers = structured_in(Shopper(shop).get("/products/OST-KILN").text)["offers"]
    assert isinstance(offers, dict)
    return offers["availability"]


def test_a_product_is_shown_elsewhere_with_its_availability(shop: RunningShop) -> None:
    shop.flask(
        "catalog", "edit", "OST-KILN", "--name", "Kiln </script> & Co", "--description", "A *boot*."
    )
    page = Shopper(shop).get("/products/OST-KILN").text
    assert '<meta property="og:title" content="Ostervane Kiln &lt;/script&gt; &amp; Co">' in page
    assert '<meta name="description" content="A boot.">' in page
    assert f'<meta property="og:url" content="{PUBLIC}/products/OST-KILN">' in page
    data = structured_in(page)
    assert data["name"] == "Ostervane Kiln </script> & Co" and data["sku"] == "OST-KILN"
    assert data["offers"] == {
        "@type": "Offer",
        "url": f"{PUBLIC}/products/OST-KILN",
        "price": "165.00",
        "priceCurrency": "USD",
        "availability": "https://schema.org/InStock",
    }
    shop.sql("UPDATE items SET available = 0 WHERE product_id = 2")
    assert availability_of(shop) == "https://schema.org/SoldOut"
    shop.flask("close", "OST-KILN")
    assert availability_of(shop) == "https://schema.org/PreOrder"


def test_the_sitemap_has_what_is_shown_and_robots_are_kept_from_carts(shop: RunningShop) -> None:
    shop.flask("catalog", "hide", "OST-KILN")
    shopper = Shopper(shop)
    tree = ElementTree.fromstring(shopper.get("/sitemap.xml").text)
    addresses = [place.text for place in tree.iter() if place.tag.endswith("loc")]
    assert addresses == [f"{PUBLIC}/", f"{PUBLIC}/products/OST-TIDELINE"]
    robots = shopper.get("/robots.txt").text.splitlines()
    assert "Disallow: /cart" in robots and f"Sitemap: {PUBLIC}/sitemap.xml" in robots
