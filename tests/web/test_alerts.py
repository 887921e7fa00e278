"""Told when a size is back: as many people as pairs came back, in the order of asking."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from shop.db import open_database
from shop.models.stock_alert import REMEMBERED_FOR, forget_old_addresses
from tests.support.databases import Databases, shop_in
from tests.support.running import RunningShop, eventually
from tests.support.shopper import Shopper, notices_in

pytestmark = pytest.mark.both_databases

PATH = "/products/OST-TIDELINE/alerts"
ITEM = 4
SKU = "OST-TIDELINE-075"


@pytest.fixture(scope="module")
def served(dbms: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop after the drop in which one size is sold out."""
    folder = tmp_path_factory.mktemp("alerts") / "instance"
    with shop_in(dbms, folder, "released", SHOP_DEMO="off") as shop:
        yield shop.start()
        shop.flask("check")


def ask(shop: RunningShop, email: str, item: int = ITEM) -> str:
    shopper = Shopper(shop)
    answer = shopper.post(PATH, {"item_id": str(item), "email": email})
    return notices_in(shopper.follow(answer).text)[0]


def told(shop: RunningShop) -> list[str]:
    rows = shop.sql(
        "SELECT email FROM stock_alerts JOIN mails ON mails.alert_id = stock_alerts.id"
        " WHERE email <> '' ORDER BY mails.id"
    )
    return [email for (email,) in rows]


def send_all(served: RunningShop) -> None:
    """Have all mails sent, by the server or by the command."""
    served.flask("mail", "send")
    eventually(lambda: not served.sql("SELECT 1 FROM mails WHERE state = 'waiting'"))


def test_as_many_are_told_as_pairs_come_back_in_the_order_of_asking(served: RunningShop) -> None:
    served.flask("stock", "set", SKU, "0")
    said = ask(served, "anna@example.com")
    assert said == "When size 7.5 is back, one mail goes to anna@example.com."
    for email in ("ben@example.com", "cleo@example.com", "Anna@example.com"):
        assert ask(served, email) == said.replace("anna@example.com", email)
    assert told(served) == []
    served.flask("stock", "set", SKU, "2")
    assert told(served) == ["anna@example.com", "ben@example.com"]
    served.flask("stock", "add", SKU, "5")
    assert told(served)[2:] == ["cleo@example.com"]
    served.flask("stock", "add", SKU, "5")
    assert len(told(served)) == 3
    send_all(served)
    listed = served.flask("mail", "list", "--json").stdout
    assert listed.count('"alert"') in (0, 3)
    files = sorted((served.instance / "mail").glob("alert-*.eml"))
    assert len(files) == 3
    letter = files[0].read_text()
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in letter
    assert "To: anna@example.com" in letter


def test_an_address_is_forgotten_some_time_after_its_mail(served: RunningShop) -> None:
    served.flask("stock", "set", SKU, "0")
    ask(served, "olga@example.com")
    served.flask("stock", "set", SKU, "1")
    send_all(served)
    with closing(open_database(served.database_url)) as database:
        database.transact(forget_old_addresses)
        assert "olga@example.com" in told(served)
        served.sql("UPDATE stock_alerts SET mailed_at = mailed_at - ?", REMEMBERED_FOR + 1)
        database.transact(forget_old_addresses)
    assert told(served) == []


def test_a_wish_is_taken_back_by_its_link_and_by_a_mail_program(served: RunningShop) -> None:
    served.flask("stock", "set", SKU, "0")
    for email in ("dan@example.com", "eve@example.com"):
        ask(served, email)
    for email, as_program in (("dan@example.com", False), ("eve@example.com", True)):
        ((token,),) = served.sql("SELECT token FROM stock_alerts WHERE email = ?", email)
        page = Shopper(served).get(f"/alerts/{token}")
        assert "No mail, please" in page.text
        assert page.headers["Referrer-Policy"] == "no-referrer"
        if as_program:
            body = [("List-Unsubscribe", "One-Click")]
            assert Shopper(served).send("POST", f"/alerts/{token}", {}, body).status == 303
        else:
            Shopper(served).post(f"/alerts/{token}")
        assert "No mail will come" in Shopper(served).get(f"/alerts/{token}").text
    before = told(served)
    served.flask("stock", "set", SKU, "9")
    assert told(served) == before
    assert "No mail will come" in Shopper(served).get("/alerts/made-up").text
    assert Shopper(served).post("/alerts/made-up").status == 303


def test_what_comes_back_by_a_cancelled_order_is_told_too(served: RunningShop) -> None:
    served.flask("stock", "set", SKU, "1")
    shopper = Shopper(served)
    shopper.add(ITEM)
    shopper.buy()
    ask(served, "finn@example.com")
    ((number,),) = served.sql("SELECT number FROM orders ORDER BY id DESC LIMIT 1")
    served.flask("orders", "cancel", number, "--reason", "x")
    assert told(served)[-1] == "finn@example.com"


def test_what_cannot_be_asked_for_is_said(served: RunningShop) -> None:
    served.flask("stock", "set", SKU, "0")
    shopper = Shopper(served)
    assert re.search(rf'<option value="{ITEM}"', shopper.get(PATH).text)
    wrong = shopper.post(PATH, {"item_id": str(ITEM), "email": "nobody\nBcc: all@example.com"})
    assert wrong.status == 422
    assert 'aria-invalid="true"' in wrong.text
    assert shopper.post(PATH, {"item_id": "999", "email": "kim@example.com"}).status == 422
    assert shopper.post(PATH, {"email": "kim@example.com"}).status == 422
    assert shopper.get("/products/NO-SUCH/alerts").status == 404
    assert "is there right now" in ask(served, "kim@example.com", item=1)


def test_somebody_who_is_forgotten_is_told_of_nothing(served: RunningShop) -> None:
    served.flask("stock", "set", SKU, "0")
    ask(served, "gone@example.com")
    assert SKU in served.flask("privacy", "export", "gone@example.com").stdout
    served.flask("privacy", "erase", "gone@example.com", "--yes")
    before = told(served)
    served.flask("stock", "set", SKU, "3")
    assert told(served) == before


def test_mails_of_somebody_who_is_forgotten_are_deleted_from_the_folder(
    served: RunningShop,
) -> None:
    served.flask("stock", "set", SKU, "0")
    ask(served, "paul@example.com")
    served.flask("stock", "set", SKU, "1")
    send_all(served)

    def letters() -> list[str]:
        return [f.name for f in (served.instance / "mail").glob("*") if "paul@" in f.read_text()]

    assert len(letters()) == 1
    served.flask("privacy", "erase", "paul@example.com", "--yes")
    assert letters() == []
