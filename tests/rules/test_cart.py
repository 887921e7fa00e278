"""The cart as a value: a set of items, at most one of each; and how it is exported."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner, URLSafeSerializer, URLSafeTimedSerializer

from shop.models import AlreadyInCart, Cart, NotInCart
from shop.models.cart import EXPORT_MAX_AGE, cart_ref, export_cart, import_cart, new_cart_id


def test_a_new_cart_is_empty() -> None:
    assert Cart().item_ids == frozenset()


def test_adding_and_removing_give_a_new_cart_and_leave_the_old_one() -> None:
    empty = Cart()
    one = empty.add(7)
    two = one.add(8)
    assert [sorted(cart.item_ids) for cart in (empty, one, two)] == [[], [7], [7, 8]]
    assert two.remove(7).item_ids == {8}
    assert two.item_ids == {7, 8}


def test_an_item_is_in_a_cart_once() -> None:
    with pytest.raises(AlreadyInCart):
        Cart().add(7).add(7)


def test_what_is_not_in_a_cart_can_not_be_removed() -> None:
    with pytest.raises(NotInCart):
        Cart().add(7).remove(8)


def test_swapping_puts_one_item_in_the_place_of_another() -> None:
    assert Cart().add(7).add(8).swap(7, 9).item_ids == {8, 9}


def test_swapping_what_is_not_there_or_for_what_is_there_is_refused() -> None:
    cart = Cart().add(7).add(8)
    with pytest.raises(NotInCart):
        cart.swap(9, 10)
    with pytest.raises(AlreadyInCart):
        cart.swap(7, 8)
    assert cart.item_ids == {7, 8}


IDS = st.integers(1, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), IDS),
        st.tuples(st.just("remove"), IDS),
        st.tuples(st.just("swap"), IDS, IDS),
    )
)


def by_the_rules(held: list[int], step: tuple) -> list[int] | type[Exception]:
    """What a step leads to, told with a list of what a shopper holds."""
    if step[0] == "add":
        return AlreadyInCart if step[1] in held else [*held, step[1]]
    if step[1] not in held:
        return NotInCart
    rest = [item_id for item_id in held if item_id != step[1]]
    if step[0] == "remove":
        return rest
    return AlreadyInCart if step[2] in rest else [*rest, step[2]]


@given(STEPS)
def test_whatever_is_done_a_cart_is_a_set_by_the_rules(steps: list[tuple]) -> None:
    cart, held = Cart(), list[int]()
    for step in steps:
        expected = by_the_rules(held, step)
        action: Callable[..., Cart] = getattr(cart, step[0])
        if isinstance(expected, type):
            with pytest.raises(expected):
                action(*step[1:])
        else:
            cart, held = action(*step[1:]), expected
        assert sorted(cart.item_ids) == sorted(held)
        assert len(cart.item_ids) == len(set(held)) == len(held)


# --- The export -----------------------------------------------------------------------------

KEY = "a secret key of this shop and no other"
MINE, YOURS = new_cart_id(), new_cart_id()
SKUS = ["OST-KILN-095", "OST-TIDELINE-060"]


def signer(key: str = KEY, *, age: float = 0, salt: str = "cart-export") -> URLSafeTimedSerializer:
    """A real signer, as it was `age` seconds ago."""

    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time() - age)

    return URLSafeTimedSerializer(key, salt=salt, signer=Then)


def restored(text: str, cart_id: str = MINE) -> list[str]:
    return import_cart(URLSafeTimedSerializer(KEY, salt="cart-export"), cart_id, text)


@given(st.lists(st.text(), unique=True))
def test_an_exported_cart_comes_back(skus: list[str]) -> None:
    assert restored(export_cart(signer(), MINE, skus)) == sorted(skus)


def test_an_export_is_good_for_seven_days() -> None:
    assert EXPORT_MAX_AGE == 7 * 24 * 3600
    assert restored(export_cart(signer(age=EXPORT_MAX_AGE - 60), MINE, SKUS)) == SKUS
    assert restored(export_cart(signer(age=EXPORT_MAX_AGE + 60), MINE, SKUS)) == []


def test_another_carts_export_is_empty() -> None:
    assert restored(export_cart(signer(), YOURS, SKUS)) == []


def test_an_export_by_another_key_or_for_another_purpose_is_empty() -> None:
    for other in (signer("another secret key of another shop"), signer(salt="session")):
        assert restored(export_cart(other, MINE, SKUS)) == []
    untimed = URLSafeSerializer(KEY, salt="cart-export").dumps(
        {"cart": cart_ref(MINE), "skus": SKUS}
    )
    assert restored(untimed) == []


@given(st.integers(0, 400), st.characters(min_codepoint=33, max_codepoint=126))
def test_an_export_in_which_anything_was_changed_is_empty(at: int, character: str) -> None:
    good = export_cart(signer(), MINE, SKUS)
    at %= len(good)
    forged = good[:at] + character + good[at + 1 :]
    if forged == good:
        assert restored(forged) == SKUS
    elif at < len(good) - 1:  # the last character of a signature holds bits that don't count
        assert restored(forged) == []


@given(st.one_of(st.text(), st.text("abc.-_", max_size=20)))
def test_nonsense_is_an_empty_cart(text: str) -> None:
    assert restored(text) == []


@pytest.mark.parametrize(
    "contents",
    [
        None,
        [],
        "text",
        7,
        {},
        {"cart": cart_ref(MINE)},
        {"skus": SKUS},
        {"cart": cart_ref(MINE), "skus": None},
        {"cart": cart_ref(MINE), "skus": 7},
        {"cart": [], "skus": SKUS},
    ],
)
def test_an_export_of_another_shape_is_an_empty_cart(contents: object) -> None:
    assert restored(str(signer().dumps(contents))) == []


# --- Ids ------------------------------------------------------------------------------------


def test_cart_ids_are_long_url_safe_and_never_the_same() -> None:
    ids = {new_cart_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(cart_id) for cart_id in ids} == {64}
    assert all(cart_id.replace("-", "").replace("_", "").isalnum() for cart_id in ids)


def test_a_fingerprint_is_short_always_the_same_and_tells_carts_apart() -> None:
    assert cart_ref(MINE) == cart_ref(MINE) != cart_ref(YOURS)
    assert len(cart_ref(MINE)) < 32
    assert cart_ref(MINE) not in MINE
