"""An address that seems to lack its town is asked about once, and never refused."""

from __future__ import annotations

import pytest

from shop.addresses import seems_to_lack_a_town
from tests.support.running import RunningShop
from tests.support.shopper import Shopper, element, inputs_of, text_of

STREETS_ALONE = (
    "aaaaaaaa",
    "12 Long Street",
    "12 Long Street / Apt 4",
    "12 Long Street\nApt 4",
    "12 Long Street, Flat 2b",
    "12 Long Street\n2nd floor",
    "Lange Straße 12, Top 4",
    "Rose Cottage",
)

WHOLE = (
    "1 Way\nTown",
    "1 Harbour Street, Port Town, Norway",
    "The Old Rectory, Little Snoring",
    "Dorfstraße 5 12345 Neudorf",
    "12 Long Street\nApt 4\nPort Town",
    "〒150-0001 東京都渋谷区神宮前1-2-3",
    "서울특별시 강남구 테헤란로 152",
    "ул. Ленина, 5, Тверь",
    "شارع النيل ١٢، القاهرة",
    "Unit 4 Long Lane Industrial Estate Manchester England",
    "P.O. Box 12 Nuuk 3900",
    "Calle Mayor 5, 2º, Madrid",
)


@pytest.mark.parametrize("address", STREETS_ALONE)
def test_a_street_alone_is_asked_about(address: str) -> None:
    assert seems_to_lack_a_town(address)


@pytest.mark.parametrize("address", WHOLE)
def test_addresses_of_all_the_world_are_taken_as_they_are(address: str) -> None:
    assert not seems_to_lack_a_town(address)


@pytest.mark.parametrize("address", ["12 Long Street / Apt 4", "12 Long Street\r\nApt 4"])
def test_it_is_asked_once_and_the_same_again_is_bought(
    open_drop: RunningShop, address: str
) -> None:
    shopper = Shopper(open_drop)
    shopper.add(1)
    asked = shopper.buy(typed={"address": address, "asked_address": ""})
    assert asked.status == 422
    assert "Is this the whole address?" in text_of(element(asked.text, "checkout-errors"))
    form = element(asked.text, "checkout")
    typed = dict(inputs_of(form))
    assert typed["address"].removeprefix("\n").split() == address.split()

    other = shopper.post("/checkout", {**typed, "address": "14 Long Street"})
    assert other.status == 422, "another street is asked about anew"
    again = shopper.post("/checkout", inputs_of(form))
    assert again.location == "/checkout/complete"


def test_who_completes_it_is_not_asked_again(open_drop: RunningShop) -> None:
    shopper = Shopper(open_drop)
    shopper.add(1)
    street = {"address": "12 Long Street", "asked_address": ""}
    assert shopper.buy(typed=street).status == 422
    whole = {"address": "12 Long Street\nPort Town", "asked_address": "12 Long Street"}
    assert shopper.buy(typed=whole).location == "/checkout/complete"
