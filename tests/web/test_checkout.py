"""Buying: all of the cart or nothing, once, at the price that was shown."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.support.running import RunningShop
from tests.support.shopper import (
    BUYER,
    Answer,
    Shopper,
    Tab,
    element,
    inputs_of,
    items_in,
    notices_in,
    text_of,
)

pytestmark = pytest.mark.both_databases


@pytest.fixture
def shopper(open_drop: RunningShop) -> Shopper:
    return Shopper(open_drop)


def available(shop: RunningShop, *item_ids: int) -> list[int]:
    marks = ",".join("?" * len(item_ids))
    rows = shop.sql(f"SELECT available FROM items WHERE id IN ({marks}) ORDER BY id", *item_ids)
    return [count for (count,) in rows]


def orders(shop: RunningShop) -> int:
    count: int = shop.sql("SELECT count(*) FROM orders")[0][0]
    return count


def receipt(shopper: Shopper) -> str:
    """Return what the receipt page says."""
    answer = shopper.get("/checkout/complete")
    assert answer.status == 200
    return text_of(element(answer.text, "main"))


def number_in(text: str) -> str:
    found = re.search(r"\b[A-Z2-9]{4}-[A-Z2-9]{4}\b", text)
    assert found, text
    return found[0]


@contextmanager
def changed(shop: RunningShop, table: str, row: int, **values: object) -> Iterator[None]:
    """Change a row as another process does, and change it back."""
    columns = ", ".join(values)
    before = shop.sql(f"SELECT {columns} FROM {table} WHERE id = ?", row)[0]
    sets = ", ".join(f"{column} = ?" for column in values)
    shop.sql(f"UPDATE {table} SET {sets} WHERE id = ?", *values.values(), row)
    yield
    shop.sql(f"UPDATE {table} SET {sets} WHERE id = ?", *before, row)


# --- A purchase -----------------------------------------------------------------------------


def test_buying_takes_the_pieces_off_the_shelf_and_empties_the_cart(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    before = available(open_drop, 1, 14, 15)
    for item_id in (1, 14):
        shopper.add(item_id)

    answer = shopper.buy()

    assert (answer.status, answer.location) == (303, "/checkout/complete")
    assert available(open_drop, 1, 14, 15) == [before[0] - 1, before[1] - 1, before[2]]
    assert shopper.cart() == []


def test_the_receipt_of_a_pair_without_a_picture_asks_for_none(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    with changed(open_drop, "products", 1, main_image=""):
        shopper.add(3)
        shopper.buy()
    shown = element(shopper.get("/checkout/complete").text, "main")
    assert "receipt__no-picture" in shown and "<img" not in shown


def test_the_receipt_says_what_was_bought_by_whom_and_what_was_paid(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    for item_id in (2, 16):
        shopper.add(item_id)
    shopper.buy(typed={"email": "Kim@Example.COM", "name": "  Kim   Vale "})
    said = receipt(shopper)
    for fact in ("Tideline", "size 6.5", "$120.00", "Kiln", "size 7", "$165.00", "$285.00"):
        assert fact in said
    for fact in ("Kim Vale", "4 Harbour Lane", "Port Elsewhere 1203", "Netherland"):
        assert fact in said
    assert "kim@example.com" in said.lower()

    order = next(o for o in open_drop.orders() if o["number"] == number_in(said))
    assert (order["total"], order["currency"]) == (28500, "USD")
    assert order["lines"] == [
        {"sku": "OST-TIDELINE-065", "price": 12000},
        {"sku": "OST-KILN-070", "price": 16500},
    ]


def test_a_receipt_stays_as_it_was_when_the_shoe_changes(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    shopper.add(1)
    shopper.buy()
    before = receipt(shopper)
    with changed(open_drop, "products", 1, name="Renamed", price=1, color="Other"):
        assert "Renamed" in shopper.get("/").text
        assert receipt(shopper) == before


def test_the_same_item_can_be_bought_again_later(shopper: Shopper) -> None:
    numbers = set()
    for _ in range(2):
        shopper.add(1)
        assert shopper.buy().location == "/checkout/complete"
        numbers.add(number_in(receipt(shopper)))
    assert len(numbers) == 2


def test_a_receipt_is_shown_to_its_buyer_only(open_drop: RunningShop, shopper: Shopper) -> None:
    shopper.add(1)
    shopper.buy()
    stranger = Shopper(open_drop)
    stranger.add(1)
    answer = stranger.get("/checkout/complete")
    assert (answer.status, answer.location) == (303, "/")
    assert "There is no receipt" in " ".join(notices_in(stranger.follow(answer).text))
    assert stranger.get(f"/checkout/complete?order={number_in(receipt(shopper))}").status == 303


def test_an_empty_cart_has_no_checkout(shopper: Shopper) -> None:
    answer = shopper.get("/checkout")
    assert (answer.status, answer.location) == (303, "/")


# --- All or nothing -------------------------------------------------------------------------


def test_one_sold_out_line_keeps_the_whole_cart_from_being_bought(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    for item_id in (1, 2, 14):
        shopper.add(item_id)
    form = shopper.checkout_form()
    before, made = available(open_drop, 1, 14), orders(open_drop)
    with changed(open_drop, "items", 2, available=0):
        page = shopper.follow(shopper.buy(form))
        assert "Sold out: Tideline, size 6.5. Nothing was bought." in notices_in(page.text)
        assert available(open_drop, 1, 2, 14) == [before[0], 0, before[1]]
        assert re.search(r'id="purchase" disabled', page.text)
        link = re.search(r'<a class="cart__checkout"[^>]*>', element(page.text, "cart"))
        assert link and 'aria-disabled="true"' in link[0] and "href" not in link[0]
    assert orders(open_drop) == made
    assert shopper.cart() == [1, 2, 14]
    assert shopper.buy().location == "/checkout/complete", "open again once it is there again"


def test_every_line_that_is_in_the_way_is_named(open_drop: RunningShop, shopper: Shopper) -> None:
    for item_id in (1, 2, 14):
        shopper.add(item_id)
    form = shopper.checkout_form()
    with (
        changed(open_drop, "items", 1, available=0),
        changed(open_drop, "items", 2, available=0),
        changed(open_drop, "products", 2, released=False),
    ):
        (said, *_) = notices_in(element(shopper.buy(form, hx=True).text, "notices-action"))
    assert said == (
        "Sold out: Tideline, size 6, Tideline, size 6.5. "
        "Not released yet: Kiln, size 6. Nothing was bought."
    )


# --- Once -----------------------------------------------------------------------------------


def test_sending_the_form_again_buys_once_and_shows_the_same_receipt(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    shopper.add(1)
    form, made, before = shopper.checkout_form(), orders(open_drop), available(open_drop, 1)
    receipts = []
    for _ in range(3):  # a double click, then a reload that sends the form again
        assert shopper.buy(form).location == "/checkout/complete"
        receipts.append(receipt(shopper))
    assert len(set(receipts)) == 1
    assert orders(open_drop) == made + 1
    assert available(open_drop, 1) == [before[0] - 1]


@pytest.mark.parametrize("round_", range(3))
def test_tabs_that_buy_at_the_same_moment_buy_once(
    open_drop: RunningShop, shopper: Shopper, round_: int
) -> None:
    shopper.add(1)
    tabs = [shopper.checkout_form() for _ in range(8)]
    made = orders(open_drop)
    with ThreadPoolExecutor(8) as hands:
        answers = list(hands.map(shopper.buy, tabs))
    assert {answer.location for answer in answers} == {"/checkout/complete"}
    assert orders(open_drop) == made + 1
    assert len({receipt(shopper) for _ in range(3)}) == 1


@pytest.mark.parametrize("changed", BUYER)
def test_whoever_holds_a_carts_cookie_is_not_shown_the_receipt(
    open_drop: RunningShop, shopper: Shopper, changed: str
) -> None:
    shopper.add(1)
    form = shopper.checkout_form()
    shopper.buy(form)
    number, made = number_in(receipt(shopper)), orders(open_drop)
    other = Shopper(open_drop)
    other.cookies = {name: c for name, c in shopper.cookies.items() if "cart" in name}

    typed = {changed: "somebody.else@example.com"}
    answer = other.buy(form, typed, hx=True)

    assert answer.status == 409
    assert "Nothing was bought now." in notices_in(answer.text)[0]
    assert number not in answer.text
    page = other.follow(other.follow(other.buy(form, typed)))
    assert "Nothing was bought now." in notices_in(page.text)[0]
    assert other.get("/checkout/complete").location == "/"
    assert orders(open_drop) == made
    assert other.buy(form).location == "/checkout/complete", "with the buyer's own details"
    assert number_in(receipt(other)) == number


def test_who_bought_is_shown_the_receipt_whatever_is_typed_the_second_time(
    shopper: Shopper,
) -> None:
    shopper.add(1)
    form = shopper.checkout_form()
    shopper.buy(form)
    first = receipt(shopper)
    assert shopper.buy(form, {"name": "Kim V."}).location == "/checkout/complete"
    assert receipt(shopper) == first


def test_a_form_from_before_a_purchase_buys_nothing_of_the_next_cart(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    shopper.add(1)
    old_form = shopper.checkout_form()
    shopper.buy(old_form)
    first = receipt(shopper)
    shopper.add(2)
    made = orders(open_drop)
    assert shopper.buy(old_form).location == "/checkout/complete"
    assert (orders(open_drop), shopper.cart(), receipt(shopper)) == (made, [2], first)


def test_what_was_added_in_another_tab_is_not_bought_unseen(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    shopper.add(1)
    form, made = shopper.checkout_form(), orders(open_drop)
    shopper.add(2)
    answer = shopper.buy(form)
    assert (answer.location, orders(open_drop)) == ("/checkout", made)
    assert shopper.cart() == [1, 2]
    assert shopper.buy().location == "/checkout/complete"


# --- The price that was shown ---------------------------------------------------------------


@pytest.mark.parametrize("price", [1, 12001, 99900])
def test_a_price_that_changed_buys_nothing_and_is_said(
    open_drop: RunningShop, shopper: Shopper, price: int
) -> None:
    shopper.add(1)
    form, made, before = shopper.checkout_form(), orders(open_drop), available(open_drop, 1)
    with changed(open_drop, "products", 1, price=price):
        page = shopper.follow(shopper.buy(form))
        said = notices_in(page.text)[0]
        assert said.startswith("The price of Tideline, size 6 has changed.")
        assert "Nothing was bought." in said
        assert f"${price / 100:,.2f}" in element(page.text, "purchase-area")
        assert (orders(open_drop), available(open_drop, 1)) == (made, before)
        assert shopper.buy(form, hx=True).status == 409

        assert shopper.buy().location == "/checkout/complete", "at the price that is shown now"
        assert f"Total ${price / 100:,.2f}" in receipt(shopper)


def test_the_hidden_fields_decide_no_price(open_drop: RunningShop, shopper: Shopper) -> None:
    shopper.add(1)
    made = orders(open_drop)
    for seen in ("1:1", "1:0", "1:-12000", "2:12000"):
        assert shopper.buy([("purchase", "0"), ("seen", seen)]).location == "/checkout"
    assert orders(open_drop) == made


# --- What is typed --------------------------------------------------------------------------


def typed_in(page: Answer) -> dict[str, str]:
    fields = dict(inputs_of(element(page.text, "checkout")))
    return {name: fields[name].removeprefix("\n") for name in BUYER}


AWKWARD = {
    "email": 'kim"><script>@example.com',
    "name": '</textarea>O’Vale & "Söhne" <b> 李',
    "address": "  4 Harbour Lane\r\n<i>Port</i> &amp; Elsewhere",
}


def test_what_was_typed_is_kept_when_something_of_it_is_wrong(shopper: Shopper) -> None:
    shopper.add(1)
    answer = shopper.buy(typed=AWKWARD)
    assert answer.status == 422
    assert typed_in(answer) == AWKWARD


def test_what_was_typed_is_kept_when_the_cart_can_not_be_bought(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    shopper.add(1)
    form = shopper.checkout_form()
    typed = {**AWKWARD, "email": "kim@example.com"}
    with changed(open_drop, "items", 1, available=0):
        page = shopper.follow(shopper.buy(form, typed))
    assert typed_in(page) == typed
    assert shopper.buy(typed={**typed, "remember": "1"}).location == "/checkout/complete"
    shopper.add(1)
    assert typed_in(shopper.get("/checkout")) == typed, "for the second order as well"


@pytest.mark.sqlite_only("about what is typed")
@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("email", ""),
        ("email", "kim"),
        ("email", "kim@"),
        ("email", "@example.com"),
        ("email", "kim@example"),
        ("email", "kim@exa mple.com"),
        ("email", "kim@example.com, you@example.com"),
        ("email", "kim@example.com\r\nBcc: you@example.com"),
        ("email", "kim\0@example.com"),
        ("email", "k" * 300 + "@example.com"),
        ("name", ""),
        ("name", "   "),
        ("name", "Kim\nVale"),
        ("name", "Kim\x1b[31m"),
        ("name", "\u200b"),
        ("name", "\u3164"),
        ("name", "\u2800 \u115f\u1160 \uffa0"),
        ("name", "\u0301"),
        ("name", "\U000e0041\ufe0f\u200d"),
        ("name", "Kim\x9b31m"),
        ("name", "Kim\uffff"),
        ("name", "Kim\U0001fffe"),
        ("name", "Kim\ufdd0"),
        ("email", "\u200b"),
        ("email", "kim vale@example.com"),
        ("email", "kim@shop.test"),
        ("address", "\u200b" * 8),
        ("address", "\u3164" * 8),
        ("address", "\u200d\u0301" * 8),
        ("name", "x" * 201),
        ("address", ""),
        ("address", "Here"),
        ("address", "4 Harbour\0Lane, Port"),
        ("address", "\r\n \r\n" * 10),
        ("address", "x" * 1001),
        ("address", "x" * 50_000),
    ],
    ids=lambda text: ascii(text)[:30],
)
@pytest.mark.parametrize("hx", [True, False], ids=["with HTMX", "without"])
def test_details_that_can_not_be_right_are_refused_by_name(
    open_drop: RunningShop, shopper: Shopper, field: str, text: str, hx: bool
) -> None:
    shopper.add(1)
    made = orders(open_drop)
    answer = shopper.buy(typed={field: text}, hx=hx)
    assert answer.status == 422
    if hx:
        assert len(notices_in(answer.text)) == 1
    else:
        wrong = re.findall(r'id="(\w+)"[^>]* aria-invalid="true"', answer.text)
        assert wrong == [field]
        assert f'href="#{field}"' in element(answer.text, "checkout-errors")
    assert (orders(open_drop), shopper.cart()) == (made, [1])


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("email", "kim+drops@mail.example.com"),
        ("email", "  kim@example.com "),
        ("email", "kim@bücher.example.com"),
        ("name", "李小龍"),
        ("name", "Zoë d’Arc-Ó Briain"),
        ("name", "x" * 200),
        ("address", "1 Way\nTown"),
        ("address", "4 Harbour Lane, Port Elsewhere\t1203"),
        ("address", "x" * 1000),
    ],
)
def test_unusual_details_are_taken(shopper: Shopper, field: str, text: str) -> None:
    shopper.add(1)
    assert shopper.buy(typed={field: text}).location == "/checkout/complete"
    assert html.unescape(" ".join(text.split()))[:50] in receipt(shopper)


#: What is typed or pasted, and what is stored of it.
PASTED = [
    ("name", "\u2068Kim Vale\u2069", "Kim Vale"),
    ("name", "Kim \u202eelaV", "Kim elaV"),
    ("name", "\ufeffKim\u200b\xa0\t Vale\u200e\r\n", "Kim Vale"),
    ("name", "Kim\u2063 \u200d \xadVale\ufffc\U000e0056", "Kim Vale"),
    ("name", "\u5c71\u7530\u3000\u592a\u90ce", "\u5c71\u7530 \u592a\u90ce"),
    ("name", "Kim\u2028Vale\x0b\x85", "Kim Vale"),
    ("name", "Mu\u0308ller", "M\xfcller"),
    ("name", "\ufa19\u8fbb\U000e0100", "\ufa19\u8fbb\U000e0100"),
    ("address", "1 Way, Town\r\n\u202d+1 555 0100\u202c", "1 Way, Town\n+1 555 0100"),
    ("address", "1\xa0Way\u2028\u200b\u2028Port\u3164 Else\xadwhere", "1 Way\nPort Elsewhere"),
    ("email", "kim\u200b@example.com\u200e", "kim@example.com"),
    ("email", "\u202akim@example.com\u202c", "kim@example.com"),
    ("email", "\u2066Kim.Vale@EXAMPLE.com\u2069\xa0", "Kim.Vale@example.com"),
    ("email", "kim@\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45.com", "kim@example.com"),
    ("email", "kim@example\u3002com", "kim@example.com"),
    ("email", "ku\u0308m@bu\u0308cher.example.com", "k\xfcm@b\xfccher.example.com"),
    ("email", "kim@xn--bcher-kva.example.com", "kim@b\xfccher.example.com"),
]

#: Names that are stored as they are: spelled with joiners or variants, or newer than this
#: Python's Unicode.
UNCHANGED = [
    "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
    "\u0dc1\u0dca\u200d\u0dbb\u0dd3",
    "\u0d2e\u0d4b\u0d39\u0d28\u0d4d\u200d",
    "Kim \u2764\ufe0f\u200d\U0001f525",
    "Kim \U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "\U0002ebf0\U00031350",
    "\U0001fae9",
    "\ue000\U0010fffd",
]


@pytest.mark.parametrize(
    ("field", "pasted", "stored"),
    PASTED + [("name", name, name) for name in UNCHANGED],
    ids=ascii,
)
def test_what_is_pasted_is_stored_without_what_nobody_sees(
    open_drop: RunningShop, shopper: Shopper, field: str, pasted: str, stored: str
) -> None:
    shopper.add(1)
    assert shopper.buy(typed={field: pasted}).location == "/checkout/complete"
    found = open_drop.sql(f"SELECT {field} FROM orders ORDER BY id DESC LIMIT 1")
    assert found == [(stored,)]
    assert html.escape(" ".join(stored.split())) in receipt(shopper)


@pytest.mark.sqlite_only("about what is typed")
@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("name", "", "Please give your name."),
        ("name", "\u3164", "This name is blank. Please give your name."),
        (
            "name",
            "Kim\x1b[31m",
            "There is a character in this name that can’t be printed (U+001B).",
        ),
        ("address", "\u200b" * 8, "This address is blank. Please give the whole address"),
        ("email", "kim vale@example.com", "There is a space before the @."),
        ("email", "kim@exam ple.com", "There is a space after the @."),
        (
            "email",
            "kim@example.com\nBcc: x@example.com",
            "Please give your e-mail address on one line",
        ),
        ("name", "Kim\nVale", "Please give your name on one line."),
        ("email", "kim", "An email address must have an @-sign."),
        ("email", "kim@example", "It should have a period."),
        ("email", "kim..vale@example.com", "cannot have two periods in a row."),
        ("email", "kim@shop.test", "special-use or reserved name"),
    ],
    ids=ascii,
)
def test_a_message_says_which_field_is_wrong_and_why(
    shopper: Shopper, field: str, text: str, said: str
) -> None:
    shopper.add(1)
    (notice,) = notices_in(shopper.buy(typed={field: text}, hx=True).text)
    assert said in notice
    label = {"email": "e-mail address"}.get(field, field)
    assert label in notice


@pytest.mark.sqlite_only("about what is typed")
def test_a_shop_under_test_takes_addresses_that_can_not_exist(
    open_shop: Callable[..., RunningShop],
) -> None:
    shop = open_shop(stage="released", SHOP_DEMO="off", SHOP_TEST_EMAILS="on")
    shopper = Shopper(shop)
    shopper.add(1)
    assert shopper.buy(typed={"email": "kim@shop.invalid"}).status == 422
    assert shopper.buy(typed={"email": "kim@Shop.test"}).location == "/checkout/complete"
    assert shop.sql("SELECT email FROM orders") == [("kim@shop.test",)]


def test_missing_fields_are_all_named_at_once(shopper: Shopper) -> None:
    shopper.add(1)
    answer = shopper.post("/checkout", shopper.checkout_form())
    assert answer.status == 422
    assert re.findall(r'id="(\w+)"[^>]* aria-invalid="true"', answer.text) == [
        *("email", "name", "country", "street", "town")
    ]


HIDDEN = {
    "none": [],
    "no purchase": [("seen", "1:12000")],
    "no number": [("purchase", "x"), ("seen", "1:12000")],
    "no price": [("purchase", "0"), ("seen", "1")],
    "a price that is none": [("purchase", "0"), ("seen", "1:x")],
    "too many parts": [("purchase", "0"), ("seen", "1:2:3")],
    "NUL": [("purchase", "0\0"), ("seen", "1:12000")],
    "endless": [("purchase", "9" * 5000), ("seen", "1:12000")],
}


@pytest.mark.sqlite_only("about what is sent")
@pytest.mark.parametrize("hx", [True, False], ids=["with HTMX", "without"])
@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_form_without_its_hidden_fields_is_refused(
    open_drop: RunningShop, shopper: Shopper, hidden: list[tuple[str, str]], hx: bool
) -> None:
    shopper.add(1)
    made = orders(open_drop)
    answer = shopper.buy(hidden, hx=hx)
    assert answer.status == 400
    assert "Reload the page" in answer.text
    assert (orders(open_drop), shopper.cart()) == (made, [1])


@pytest.mark.parametrize("purchase", ["-1", "1", "7", str(2**63), str(-(2**70))])
def test_the_number_of_a_purchase_can_not_be_made_up(
    open_drop: RunningShop, shopper: Shopper, purchase: str
) -> None:
    shopper.add(1)
    made = orders(open_drop)
    answers = [shopper.buy([("purchase", purchase), ("seen", "1:12000")]) for _ in range(2)]
    assert all(answer.status in (303, 400) for answer in answers)
    assert orders(open_drop) <= made + 1


# --- Texts of products ----------------------------------------------------------------------


def test_a_script_in_a_products_texts_is_shown_as_text_everywhere(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    script = "<script>alert('x')</script>\"'&"
    texts = dict.fromkeys(("brand", "name", "color", "main_image", "sku"), script)
    pages: list[str] = []
    with (
        changed(open_drop, "products", 2, **texts),
        changed(open_drop, "items", 17, size=script, sku=script),
    ):
        for item_id in (16, 17):
            assert shopper.add(item_id).status == 303
        pages.append(shopper.add(17, hx=True).text)
        paths = ["/", "/cart", "/checkout", "/products/%3Cscript%3Ealert('x')%3C%2Fscript%3E%22'&"]
        pages += [shopper.get(path).text for path in paths]
        with changed(open_drop, "items", 17, available=0), Tab(open_drop, shopper, [2]) as tab:
            pages += [shopper.get("/cart").text, tab.next().data, shopper.buy(hx=True).text]
        shopper.buy()
        pages.append(shopper.get("/checkout/complete").text)
    for page in pages:
        assert "alert(" in html.unescape(page)
        assert "<script>" not in page
    assert items_in(shopper.get("/").text) == []


# --- What was just on the page --------------------------------------------------------------


@pytest.mark.parametrize("how", ["grew", "shrank"])
def test_a_cart_that_changed_since_the_page_is_not_bought_and_that_is_the_reason(
    open_drop: RunningShop, shopper: Shopper, how: str
) -> None:
    for item_id in (1, 2):
        shopper.add(item_id)
    form, made = shopper.checkout_form(), orders(open_drop)
    if how == "grew":
        shopper.add(3)
    else:
        shopper.remove(2)
    page = shopper.follow(shopper.buy(form))
    (said,) = [notice for notice in notices_in(page.text) if "Nothing was bought." in notice]
    assert said.startswith("Your cart is not what it was")
    assert "price" not in said
    assert orders(open_drop) == made


def test_an_address_of_1000_characters_on_four_lines_is_stored_whole(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    lines = ["a" * 250, "b" * 249, "c" * 249, "d" * 249]
    assert len("\n".join(lines)) == 1000
    shopper.add(1)
    assert shopper.buy(typed={"address": "\r\n".join(lines)}).location == "/checkout/complete"
    stored = open_drop.sql("SELECT address FROM orders ORDER BY id DESC LIMIT 1")
    assert stored == [("\n".join(lines),)]


@pytest.mark.parametrize("length", [500, 990])
@pytest.mark.parametrize("letter", ["x", "é", "李", "👟"])
def test_however_long_the_address_is_the_reason_is_shown(
    open_drop: RunningShop, shopper: Shopper, letter: str, length: int
) -> None:
    shopper.add(1)
    form, typed = shopper.checkout_form(), {"address": letter * length}
    with changed(open_drop, "items", 1, available=0):
        page = shopper.follow(shopper.buy(form, typed))
    assert "Sold out: Tideline, size 6. Nothing was bought." in notices_in(page.text)
    assert typed_in(page)["address"] in (typed["address"], "")
    assert typed_in(page)["name"] == BUYER["name"], "what there is room for is kept"
    assert all(len(f"{name}={value}") < 4096 for name, value in shopper.cookies.items())


@pytest.mark.sqlite_only("about what is typed")
@pytest.mark.parametrize("long", ["李" * 900, "".join(chr(0x4E00 + n * 7) for n in range(790))])
def test_what_can_not_be_kept_leaves_nothing_older_in_its_place(
    open_drop: RunningShop, shopper: Shopper, long: str
) -> None:
    shopper.add(1)
    form = shopper.checkout_form()
    with changed(open_drop, "items", 1, available=0):
        for address in ("1 Old Street, Old Town", long):
            page = shopper.follow(shopper.buy(form, {"address": address}))
            assert "Sold out: Tideline, size 6. Nothing was bought." in notices_in(page.text)
            assert typed_in(page)["address"] in (address, "")
    assert all(len(f"{name}={value}") < 4096 for name, value in shopper.cookies.items())
    assert "Old Street" not in shopper.get("/checkout").text


@pytest.mark.sqlite_only("about what is said")
def test_a_refusal_of_many_items_fits_into_a_cookie(
    open_drop: RunningShop, shopper: Shopper
) -> None:
    for item_id in range(1, 10):
        shopper.add(item_id)
    form, held = shopper.checkout_form(), len(shopper.cart())
    with changed(open_drop, "products", 1, released=False, name="A very long name " * 12):
        page = shopper.follow(shopper.buy(form))
    (said,) = [notice for notice in notices_in(page.text) if "Nothing was bought" in notice]
    assert f" and {held - 5} more." in said


# --- An address in parts -------------------------------------------------------------------------


PARTS = {
    "address": "",
    "street": "Lindengasse 4",
    "street2": "Stiege 2",
    "postcode": "1070",
    "town": "Wien",
    "country": "at",
    "phone": "+43 1 234567",
}


def test_an_address_can_be_sent_in_parts(open_drop: RunningShop, shopper: Shopper) -> None:
    shopper.add(1)
    assert shopper.buy(typed=PARTS).location == "/checkout/complete"
    said = receipt(shopper)
    for line in ("Lindengasse 4", "Stiege 2", "1070 Wien", "Austria", "+43 1 234567"):
        assert line in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"street": ""}, "give the street"),
        ({"town": " "}, "give the town"),
        ({"country": ""}, "choose a country"),
        ({"postcode": ""}, "give the postcode"),
        ({"postcode": " ", "country": "us"}, "give the ZIP code"),
        ({"phone": "call me"}, "no phone number"),
        ({"town": "x" * 101}, "This town is too long"),
        ({"street": "a\0b"}, "can’t be printed"),
        ({"country": "ZZ"}, "choose a country"),
        ({"country": "Austria"}, "choose a country"),
        ({"country": "EU"}, "choose a country"),
    ],
)
def test_a_part_that_is_missing_or_cannot_be_is_named_and_nothing_is_bought(
    open_drop: RunningShop, shopper: Shopper, wrong: dict[str, str], said: str
) -> None:
    shopper.add(1)
    before = orders(open_drop)
    answer = shopper.buy(typed={**PARTS, **wrong})
    assert answer.status == 422 and said in html.unescape(answer.text)
    assert "Stiege 2" in answer.text, "what was typed is still there"
    first = re.search(r'id="(\w+)"[^>]* autofocus', answer.text)
    assert first and first[1] in wrong, "the first wrong field has the focus"
    assert orders(open_drop) == before
