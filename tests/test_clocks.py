"""Wall clocks that differ between servers, are wrong, or are set: nothing depends on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clocks import beside
from tests.running import RunningShop
from tests.shopper import Shopper, notices_in

MINUTES = 7 * 60


@pytest.fixture(scope="module")
def behind(open_drop: RunningShop) -> Iterator[RunningShop]:
    """A second server of the same shop, minutes behind the first one."""
    server = beside(open_drop, -MINUTES)
    try:
        yield server.start()
    finally:
        server.end()


@pytest.fixture
def shopper(open_drop: RunningShop) -> Shopper:
    return Shopper(open_drop)


def test_a_purchase_at_a_server_ahead_has_its_receipt_at_a_server_behind(
    shopper: Shopper, behind: RunningShop
) -> None:
    shopper.add(1)
    bought = shopper.buy()
    assert bought.location == "/checkout/complete"
    shopper.by = behind
    assert shopper.follow(bought).status == 200  # there is no order in sight otherwise


def test_what_was_typed_at_a_server_ahead_is_in_the_form_of_a_server_behind(
    shopper: Shopper, behind: RunningShop
) -> None:
    shopper.add(2)
    shopper.buy(typed={"email": "nobody at all"})
    shopper.by = behind
    assert "nobody at all" in shopper.get("/checkout").text


def test_a_notice_of_a_server_ahead_is_shown_by_a_server_behind(
    shopper: Shopper, behind: RunningShop
) -> None:
    shopper.add(3)
    again = shopper.add(3)
    shopper.by = behind
    assert notices_in(shopper.follow(again).text)


def test_a_copy_of_a_cart_by_a_server_ahead_is_good_at_a_server_behind(
    open_drop: RunningShop, shopper: Shopper, behind: RunningShop
) -> None:
    shopper.add(1)
    open_drop.sql("DELETE FROM cart_items")
    open_drop.sql("DELETE FROM carts")
    shopper.by = behind
    assert shopper.cart() == [1]


def test_no_sentence_denies_a_purchase_to_somebody_whose_session_is_lost(shopper: Shopper) -> None:
    shopper.add(5)
    shopper.buy()
    del shopper.cookies["shop_session"]
    answer = shopper.get("/checkout/complete")
    (notice,) = notices_in(shopper.follow(answer).text)
    assert "order" in notice and "still stands" in notice and "nothing was bought" not in notice
