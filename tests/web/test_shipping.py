"""What an order costs beside its lines: shown before the button, kept, and said everywhere."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running import RunningShop
from tests.support.shopper import Answer, Shopper, element, inputs_of, notices_in, text_of
from tests.web.test_checkout import number_in, receipt

TABLE = """
tax = "included 20 %"
home = "AT"

[near]
countries = ["AT", "DE"]
price = "4.90"
free_from = "250"

[far]
countries = ["US", "NO"]
price = 25
"""

KIM = {"email": "kim@example.com", "name": "Kim Vale", "street": "Lindengasse 4"}
VIENNA = {**KIM, "postcode": "1070", "town": "Wien", "country": "AT", "phone": "+43 1 234567"}
PORTLAND = {**KIM, "postcode": "97201", "town": "Portland, OR", "country": "US"}

Maker = Callable[..., RunningShop]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("costs")


def with_costs(make_shop: Maker, table: str = TABLE) -> RunningShop:
    """Open a shop that has this table."""
    shop = make_shop("released")
    (shop.instance / "shipping.toml").write_text(table)
    return shop.start()


def form_of(page: Answer) -> dict[str, str]:
    return dict(inputs_of(element(page.text, "checkout")))


def buy(shopper: Shopper, details: dict[str, str], *items: int, **more: str) -> Answer:
    for item_id in items:
        shopper.add(item_id)
    shown = inputs_of(element(shopper.get("/checkout").text, "purchase-area"))
    return shopper.post("/checkout", [*shown, *details.items(), *more.items()])


@pytest.mark.sqlite_only("about a file")
def test_what_is_shown_before_the_button_is_what_is_kept_and_said(
    make_shop: Maker, tmp_path: Path
) -> None:
    shop = with_costs(make_shop)
    shopper = Shopper(shop)
    shopper.add(1)
    page = shopper.get("/checkout").text
    area = element(page, "purchase-area")
    shown = [text_of(each) for each in re.findall(r"<dl.*?</dl>", area, re.S)]
    assert shown == [
        "To near 1 piece $120.00 Shipping, free from $250.00 $4.90 Total $124.90 "
        "Includes 20 % tax $20.82",
        "To far 1 piece $120.00 Shipping $25.00 Total $145.00 Includes 20 % tax $24.17",
    ]
    assert re.search(r'<option value="AT" selected data-group="0"[^>]*>Austria<', page)
    assert re.search(r'<option value="JP" data-group="none"', page)

    assert buy(shopper, PORTLAND).location == "/checkout/complete"
    said = receipt(shopper)
    for fact in ("Shipping $25.00", "Total $145.00", "Includes 20 % tax $24.17", "Portland, OR"):
        assert fact in said
    number = number_in(said)
    order = json.loads(shop.flask("orders", "show", number, "--json").stdout)
    assert (order["total"], order["shipping"], order["tax"]) == (14500, 2500, 2417)
    assert (order["tax_kind"], order["tax_rate"]) == ("included", "20")
    assert {part: order[part] for part in ("street", "postcode", "town", "country")} == {
        part: PORTLAND[part] for part in ("street", "postcode", "town", "country")
    }
    assert "Shipping" in shop.flask("orders", "show", number).stdout
    shop.flask("orders", "export", str(tmp_path / "labels.csv"))
    (row,) = csv.DictReader((tmp_path / "labels.csv").read_text().splitlines())
    assert (row["town"], row["shipping"], row["total"]) == ("Portland, OR", "25.00", "145.00")
    (mail,) = (shop.instance / "mail").glob(f"{number}*.eml")
    assert "Shipping: $25.00" in mail.read_text() and "Total: $145.00" in mail.read_text()
    assert "right" in shop.flask("check").stdout

    assert buy(shopper, VIENNA, 2, 15, 16).location == "/checkout/complete"
    assert "Shipping free" in receipt(shopper), "from an amount on it costs nothing"


@pytest.mark.sqlite_only("about a file")
def test_who_saw_another_table_buys_nothing_and_is_told_the_new_total(make_shop: Maker) -> None:
    shop = with_costs(make_shop)
    shopper = Shopper(shop)
    shopper.add(1)
    shown = inputs_of(element(shopper.get("/checkout").text, "purchase-area"))
    shop.stop()
    dearer = TABLE.replace('price = "4.90"', "price = 6").replace("included 20", "added 10")
    (shop.instance / "shipping.toml").write_text(dearer)
    shop.start()
    for sent in (shown, [pair for pair in shown if pair[0] != "seen_costs"]):
        page = shopper.follow(shopper.post("/checkout", [*sent, *VIENNA.items()]))
        assert "With shipping and tax this is $138.60 now." in " ".join(notices_in(page.text))
    assert shop.orders() == []
    assert buy(shopper, VIENNA).location == "/checkout/complete"
    assert "Tax, 10 % $12.60 Total $138.60" in receipt(shopper)


@pytest.mark.sqlite_only("about a file")
def test_nothing_is_sold_to_where_nothing_is_sent(make_shop: Maker) -> None:
    shop = with_costs(make_shop)
    shopper = Shopper(shop)
    answer = buy(shopper, {**VIENNA, "country": "JP"}, 1)
    assert answer.status == 422 and "We don’t deliver to Japan." in answer.text
    as_text = {"email": KIM["email"], "name": "Kim", "address": "1 Way\nWien\nAustria"}
    answer = buy(shopper, as_text)
    assert answer.status == 422 and "Please choose a country" in answer.text
    assert form_of(answer)["address"].strip() == "1 Way\nWien\nAustria"
    assert buy(shopper, {**as_text, "country": "AT"}).location == "/checkout/complete"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tax = 19", 'tax can\'t be used: a line such as "included 19 %"'),
        ('tax = "included 190 %"', "tax can't be used"),
        ("free = 1", "free can't be used: tax, home, and a table"),
        ('home = "XX"', "home can't be used"),
        ('home = "NO"\n[a]\ncountries = ["AT"]\nprice = 1', "home can't be used"),
        ("home = 7", "home can't be used"),
        ("[a]\nprice = 1", "a.countries can't be used"),
        ('[a]\ncountries = ["Austria"]\nprice = 1', "not 'Austria'"),
        ('[a]\ncountries = "others"\nprice = -1', "a.price can't be used"),
        ('[a]\ncountries = "others"\nprice = "4.905"', "a.price can't be used"),
        ('[a]\ncountries = "others"\nprice = true', "a.price can't be used"),
        ('[a]\ncountries = "others"\nprice = 1\nfree_from = "x"', "a.free_from can't be used"),
        ('[a]\ncountries = ["AT"]\nprice = 1\n[b]\ncountries = ["AT"]\nprice = 2', "AT is in"),
        ("[a", "can't be read"),
        ("".join(f'[g{n}]\ncountries = ["AT"]\nprice = 1\n' for n in range(13)), "at most 12"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_file_key_and_what_is_allowed(
    folder: Path, text: str, said: str
) -> None:
    from shop.cost_file import CostFileError, read_costs

    file = folder / "shipping.toml"
    file.write_text(text)
    with pytest.raises(CostFileError) as error:
        read_costs(file, "EUR")
    assert said in str(error.value.format_message()) and str(file) in error.value.format_message()
    assert error.value.exit_code == 2


# --- Labels, and what is remembered --------------------------------------------------------------


def labels(page: str) -> list[str]:
    """Return what the form's labels say to somebody without script, or an old browser."""
    visible = re.sub(r"<span[^>]* hidden>.*?</span>", "", page)
    return [text_of(each) for each in re.findall(r"<label.*?</label>", visible, re.S)]


@pytest.mark.parametrize(
    ("country", "said"),
    [
        ("US", ["ZIP code", "City and state"]),
        ("GB", ["Postcode", "Town or city"]),
        ("CA", ["Postal code", "City and province"]),
        ("IE", ["Eircode (optional)", "Town or city"]),
    ],
)
def test_labels_are_those_of_the_country(
    open_drop: RunningShop, country: str, said: list[str]
) -> None:
    shopper = Shopper(open_drop)
    shopper.add(1)
    page = buy(shopper, {**VIENNA, "email": "x", "country": country})
    assert [each for each in labels(page.text) if each in said] == said
    by_language = shopper.get("/checkout", Accept_Language=f"en-{country}, de;q=0.5").text
    assert f'value="{country}"' in by_language


def test_a_country_without_postcodes_needs_none(open_drop: RunningShop) -> None:
    hong_kong = {**KIM, "town": "Central", "country": "HK"}
    assert buy(Shopper(open_drop), hong_kong, 1).location == "/checkout/complete"


def test_details_are_there_for_the_next_purchase_only_if_that_was_asked_for(
    open_drop: RunningShop,
) -> None:
    shopper = Shopper(open_drop)
    buy(shopper, VIENNA, 1)
    shopper.add(2)
    assert "Lindengasse" not in shopper.get("/checkout").text

    buy(shopper, VIENNA, remember="1")
    shopper.add(3)
    page = shopper.get("/checkout").text
    form = dict(inputs_of(element(page, "checkout")))
    assert (form["street"], form["phone"]) == (VIENNA["street"], VIENNA["phone"])
    assert re.search(r'id="remember"[^>]* checked', page)

    other = Shopper(open_drop)
    other.cookies = {k: v for k, v in shopper.cookies.items() if "cart" in k}
    assert "Lindengasse" not in other.get("/checkout").text, "whoever shares the cart"
    planted = Shopper(open_drop)
    planted.add(4)
    planted.cookies["checkout_details"] = shopper.cookies["checkout_details"]
    assert "Lindengasse" not in planted.get("/checkout").text, "whoever has the cookie alone"

    page = shopper.follow(shopper.post("/checkout/forget")).text
    assert "Lindengasse" not in page and "checkout_details" not in shopper.cookies


def test_the_cookie_is_for_the_checkout_and_no_script(open_drop: RunningShop) -> None:
    shopper = Shopper(open_drop)
    answer = buy(shopper, VIENNA, 1, remember="1")
    (cookie,) = [
        each for each in answer.headers.get_all("Set-Cookie") or () if "checkout_details" in each
    ]
    assert "HttpOnly" in cookie and "Path=/checkout" in cookie and "SameSite=Lax" in cookie


def test_a_broken_cookie_is_as_none(open_drop: RunningShop) -> None:
    shopper = Shopper(open_drop)
    shopper.add(1)
    for broken in ("x", "a.b.c", "e30.x" * 200, '"'):
        shopper.cookies["checkout_details"] = broken
        assert shopper.get("/checkout").status == 200
