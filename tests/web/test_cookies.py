"""Cookies that nobody else can plant, and that outlive a new name and a new key."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.databases import Files, shop_in
from tests.support.running import RunningShop
from tests.support.shopper import (
    BUYER,
    Answer,
    Shopper,
    cookies_of,
    element,
    inputs_of,
    ref_in,
    token_of,
)

Open = Callable[..., RunningShop]

OLD_KEY, NEW_KEY = "an old key that was in use for long", "a new key that nobody knows by now"

#: What is refused, with all that was typed kept in the session.
WRONG = {"email": "nowhere", "name": "Kim Vale"}


@pytest.fixture
def reopen(make_shop: Open) -> Callable[..., RunningShop]:
    """Give a function that starts the same shop with other settings, having ended it before."""
    shop = make_shop("released", SHOP_DEMO="off")

    def start(**settings: str) -> RunningShop:
        if shop.process is not None:
            shop.stop()
        shop.environ |= settings
        return shop.start()

    return start


@pytest.fixture(scope="module")
def secure(on_sqlite: Files, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop after the drop that was never open without HTTPS."""
    folder = tmp_path_factory.mktemp("secure") / "instance"
    with shop_in(on_sqlite, folder, "released", SHOP_DEMO="off", SHOP_HTTPS="on") as shop:
        yield shop.start()


def with_a_draft(shop: RunningShop, item_id: int = 1) -> Shopper:
    """Return a shopper with an item in the cart, and details that were refused."""
    shopper = Shopper(shop)
    shopper.add(item_id)
    assert shopper.buy(typed=WRONG).status == 422
    return shopper


def typed_in(page: Answer) -> dict[str, str]:
    fields = dict(inputs_of(element(page.text, "checkout")))
    return {name: fields.get(name, "").strip() for name in BUYER}


def test_with_https_every_cookie_is_this_very_hosts(secure: RunningShop) -> None:
    shopper = Shopper(secure)
    answers = [shopper.get("/"), shopper.add(1), shopper.buy(typed=WRONG), shopper.buy()]
    given = {name: morsel for answer in answers for name, morsel in cookies_of(answer).items()}
    assert len(given) >= 3
    for name, morsel in given.items():
        assert name.startswith("__Host-"), name
        assert morsel["secure"] and morsel["httponly"], name
        assert (morsel["path"], morsel["domain"], morsel["samesite"]) == ("/", "", "Lax"), name


def test_carts_and_sessions_are_carried_over_once_when_https_is_switched_on(
    reopen: Callable[..., RunningShop],
) -> None:
    shop = reopen()
    buyer = Shopper(shop)
    buyer.add(3)
    buyer.buy()
    buyer.add(1)
    buyer.buy(typed=WRONG)
    page = buyer.get("/checkout")
    before = dict(buyer.cookies)

    reopen(SHOP_HTTPS="on")

    buyer.token = token_of(page.text)
    assert buyer.add(2, hx=True).status == 200, "the page that was open acts"
    assert buyer.cart() == [1, 2]
    assert ref_in(buyer.get("/").text) == ref_in(page.text)
    assert typed_in(buyer.get("/checkout"))["name"] == "Kim Vale"
    assert "__Host-" in min(buyer.cookies), f"all have new names: {[*buyer.cookies]}"
    assert buyer.get("/checkout/complete").status == 200
    # What came under the old names counts no more.
    stale = Shopper(shop)
    stale.add(5)
    stale.cookies |= before
    assert stale.cart() == [5]


def test_what_a_sibling_domain_plants_is_not_taken(secure: RunningShop) -> None:
    attacker = with_a_draft(secure)
    planted = {name.removeprefix("__Host-"): c for name, c in attacker.cookies.items()}
    assert {"shop_session", "cart_export"} < planted.keys()

    newcomer = Shopper(secure)
    newcomer.cookies = dict(planted)
    assert newcomer.cart() == []
    newcomer.add(2)
    assert newcomer.cart() == [2]
    assert not any(typed_in(newcomer.get("/checkout")).values())

    victim = Shopper(secure)
    victim.add(3)
    victim.cookies |= planted
    assert victim.cart() == [3]
    assert not any(typed_in(victim.get("/checkout")).values())


def test_what_was_typed_is_shown_with_its_own_cart_only(open_drop: RunningShop) -> None:
    attacker, victim = with_a_draft(open_drop), with_a_draft(open_drop, item_id=2)
    assert typed_in(victim.get("/checkout"))["name"] == "Kim Vale"
    victim.cookies["shop_session"] = attacker.cookies["shop_session"]
    assert not any(typed_in(victim.get("/checkout")).values())


def test_what_an_older_key_signed_is_good_until_that_key_is_forgotten(
    reopen: Callable[..., RunningShop],
) -> None:
    shop = reopen(SHOP_SECRET_KEY=OLD_KEY)
    shopper = with_a_draft(shop)
    page = shopper.get("/")

    reopen(SHOP_SECRET_KEY=NEW_KEY, SHOP_SECRET_KEY_FALLBACKS=f"another key of long ago, {OLD_KEY}")
    shopper.token = token_of(page.text)
    assert shopper.add(2, hx=True).status == 200
    assert typed_in(shopper.get("/checkout"))["name"] == "Kim Vale"

    reopen(SHOP_SECRET_KEY_FALLBACKS="")
    assert shopper.cart() == [1, 2], "by now the new key has signed it"
    late = Shopper(shop)
    late.keep_cookies(page)
    assert late.cart() == []
