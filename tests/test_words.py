"""What a shopper reads: plain words that say what is so and what to do, and fit any goods."""

from __future__ import annotations

import re

import pytest

from tests.support.running import RunningShop
from tests.support.shopper import Shopper, element, notices_in, text_of


@pytest.fixture(scope="module")
def shop(open_drop: RunningShop) -> RunningShop:
    """A shop in which the first product is released and the second one is not."""
    open_drop.sql("UPDATE products SET released = false WHERE id = 2")
    open_drop.sql("UPDATE items SET available = 300 WHERE id = 2")
    return open_drop


@pytest.fixture
def shopper(shop: RunningShop) -> Shopper:
    return Shopper(shop)


def test_the_words_of_a_visit_are_plain(shopper: Shopper) -> None:
    front = text_of(shopper.get("/").text)
    assert "Sizes appear here automatically. No need to reload." in front
    assert "going fast" in front
    assert "Your cart is empty." in text_of(element(shopper.get("/cart").text, "cart"))
    shopper.add(1)
    cart = text_of(element(shopper.get("/cart").text, "cart"))
    assert "Not reserved. It can sell out until you buy." in cart
    checkout = text_of(shopper.get("/checkout").text)
    assert "As on your doorbell or mailbox." in checkout
    assert "If anything sells out before you confirm, nothing is bought." in checkout
    assert "They’re yours" in text_of(shopper.follow(shopper.buy()).text)


def test_no_page_takes_it_for_granted_what_is_sold(shopper: Shopper) -> None:
    shopper.add(1)
    pages = [shopper.get(p) for p in ("/", "/products/OST-KILN", "/cart", "/checkout", "/nowhere")]
    pages += [shopper.get("/products/NONE"), shopper.follow(shopper.buy())]
    for page in pages:
        assert not re.search(r"\b(shoes?|pairs?)\b", text_of(page.text), re.IGNORECASE)


def test_a_price_that_changed_is_named(shop: RunningShop, shopper: Shopper) -> None:
    shopper.add(1)
    form = shopper.checkout_form()
    shop.sql("UPDATE products SET price = price + 100 WHERE id = 1")
    page = shopper.follow(shopper.buy(form))
    (said,) = [notice for notice in notices_in(page.text) if "Nothing was bought" in notice]
    assert said.startswith("The price of Tideline, size 6 has changed.")


@pytest.mark.parametrize(
    ("method", "path", "status", "heading"),
    [
        ("POST", "/", 405, "Start again from the shop’s front page"),
        ("POST", "/cart/items", 413, "Shorten it and try again"),
    ],
)
def test_an_error_is_headed_by_what_to_do(
    shopper: Shopper, method: str, path: str, status: int, heading: str
) -> None:
    answer = shopper.send(method, path, fields=b"x" * 200_000 if status == 413 else b"")
    assert answer.status == status
    assert re.findall(r"<h1[^>]*>([^<]*)</h1>", answer.text) == [heading]
