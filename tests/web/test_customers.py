"""One customer's limit: however they write themselves, and from however many tabs at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.running import RunningShop
from tests.support.shopper import Shopper, notices_in

pytestmark = pytest.mark.both_databases


@pytest.fixture
def limited(open_shop: Callable[..., RunningShop]) -> RunningShop:
    return open_shop(stage="released", SHOP_DEMO="off", SHOP_MAX_PER_CUSTOMER="2")


def buy(shop: RunningShop, email: str, address: str, *item_ids: int) -> tuple[bool, str]:
    shopper = Shopper(shop)
    for item_id in item_ids:
        shopper.add(item_id)
    answer = shopper.buy(typed={"email": email, "address": address})
    page = "" if answer.location == "/checkout/complete" else shopper.follow(answer).text
    return not page, " ".join(notices_in(page))


def test_a_customer_is_known_by_e_mail_and_by_address_however_written(limited: RunningShop) -> None:
    home = "4 Harbour Lane\nPort Elsewhere 1203\nNetherland"
    assert buy(limited, "kim.vale@gmail.com", home, 1, 2)[0]
    bought, said = buy(limited, "KIMVALE+2@googlemail.com", "9 Other Road\nTown 1\nLand", 3)
    assert not bought and "2 of Tideline at most" in said and "has 2 already" in said
    assert not buy(limited, "lee@example.com", home.upper().replace("\n", ", "), 3)[0]
    assert buy(limited, "lee@example.com", "1 Far Street\nTown 2\nLand", 3)[0]
    assert buy(limited, "kimvale@gmail.com", home, 16)[0], "another product"
    assert len(limited.orders()) == 3


def test_the_limit_stands_before_the_button(limited: RunningShop) -> None:
    shopper = Shopper(limited)
    shopper.add(1)
    before = shopper.get("/checkout").text.partition('id="purchase"')[0]
    assert "One customer may have 2 of each product at most." in before


def test_twenty_tabs_at_once_get_no_more_than_the_limit(limited: RunningShop) -> None:
    def one(number: int) -> bool:
        address = f"{number} Separate Street\nTown {number}\nLand"
        return buy(limited, "kim@example.com", address, 1)[0]

    with ThreadPoolExecutor(20) as tabs:
        assert sum(tabs.map(one, range(20))) == 2
