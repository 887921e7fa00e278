"""What the shop holds of somebody, and having it forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.databases import Databases, shop_in
from tests.support.running import RunningShop, eventually
from tests.support.shopper import Shopper

pytestmark = pytest.mark.both_databases


@pytest.fixture(scope="module")
def served(dbms: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop after the drop that limits what a customer may have."""
    folder = tmp_path_factory.mktemp("privacy") / "instance"
    with shop_in(dbms, folder, "released", SHOP_DEMO="off", SHOP_MAX_PER_CUSTOMER="9") as shop:
        yield shop.start()
        shop.flask("check")


def bought_by(shop: RunningShop, email: str) -> str:
    """Buy something; return the order's number."""
    shopper = Shopper(shop)
    shopper.add(1)
    assert shopper.buy(typed={"email": email}).location == "/checkout/complete"
    ((number,),) = shop.sql("SELECT number FROM orders WHERE email = ?", email)
    return str(number)


def exported(shop: RunningShop, email: str) -> list[dict[str, object]]:
    held = json.loads(shop.flask("privacy", "export", email).stdout)
    assert held["email"] == email
    orders: list[dict[str, object]] = held["orders"]
    return orders


def test_all_of_somebody_is_exported_and_forgotten_however_they_wrote_their_address(
    served: RunningShop,
) -> None:
    numbers = [
        bought_by(served, "kim.vale+shoes@gmail.com"),
        bought_by(served, "KimVale@gmail.com"),
    ]
    other = bought_by(served, "kim_vale@gmail.com")
    orders = exported(served, "kimvale@googlemail.com")
    assert [order["number"] for order in orders] == numbers
    first = orders[0]
    assert (first["name"], first["total"]) == ("Kim Vale", 12_000)
    assert {"lines", "changes", "mails", "fingerprints", "placed_at"} <= first.keys()
    assert len(first["fingerprints"]) == 2  # type: ignore[arg-type]

    refused = served.flask("privacy", "erase", "kimvale@gmail.com", check=False)
    assert (refused.returncode, "2 orders" in refused.stderr) == (2, True)
    assert len(exported(served, "kimvale@gmail.com")) == 2
    token = served.sql("SELECT token FROM orders WHERE number = ?", numbers[0])[0][0]
    page = Shopper(served).get(f"/orders/{token}").text
    assert "Kim Vale" in page

    done = served.flask("privacy", "erase", "KIMVALE@gmail.com", "--yes").stdout
    assert all(number in done for number in numbers)
    assert exported(served, "kimvale@gmail.com") == []
    again = served.flask("privacy", "erase", "kimvale@gmail.com", "--yes").stdout
    assert again == "The shop holds nothing of kimvale@gmail.com.\n"
    page = Shopper(served).get(f"/orders/{token}").text
    assert "Kim Vale" not in page
    assert "Erased, as its buyer asked" in page
    listed = json.loads(served.flask("orders", "list", "--json").stdout)
    kept = {order["number"]: order for order in listed}
    assert kept[numbers[0]]["total"] == 12_000
    assert (kept[numbers[0]]["email"], kept[numbers[0]]["address"]) == ("", "")
    assert kept[other]["name"] == "Kim Vale"
    for table, column in (("orders", "email"), ("orders", "address"), ("mails", "error")):
        texts = [str(row[0]) for row in served.sql(f"SELECT {column} FROM {table}")]
        assert not any("vale+shoes" in text for text in texts)
    assert served.sql("SELECT count(*) FROM customer_keys") == [(2,)]


def test_mails_that_wait_are_not_sent_and_those_in_the_folder_go(served: RunningShop) -> None:
    number = bought_by(served, "lee@example.com")
    folder = served.instance / "mail"
    served.flask("mail", "send")
    eventually(lambda: list(folder.glob(f"{number}-*.eml")))  # it may be the server that sends it
    served.flask("orders", "resend", number)
    served.flask("privacy", "erase", "lee@example.com", "--yes")
    assert not list(folder.glob(f"{number}-*.eml"))
    waiting = served.sql("SELECT state FROM mails WHERE state = 'waiting'")
    assert waiting == []


def test_an_order_that_is_still_to_be_shipped_is_named(served: RunningShop) -> None:
    number = bought_by(served, "max@example.com")
    done = served.flask("privacy", "erase", "max@example.com", "--yes")
    assert f"{number}: its buyer is forgotten. It was not shipped yet." in done.stdout


def test_what_is_no_address_is_said(served: RunningShop) -> None:
    for command in (["export", "a\n@b"], ["erase", "nobody", "--yes"]):
        done = served.flask("privacy", *command, check=False)
        assert (done.returncode, "is no e-mail address" in done.stderr) == (2, True)


def test_an_address_that_is_a_pattern_finds_nobody_else(served: RunningShop) -> None:
    bought_by(served, "pat@example.com")
    for email in ("%@example.com", "pat@example_com"):
        assert exported(served, email) == []
