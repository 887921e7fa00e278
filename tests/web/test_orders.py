"""The page of an order: for whoever has its address, live, and found again by mail alone."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from tests.support.running import RunningShop, eventually
from tests.support.shopper import Shopper, Tab, notices_in

pytestmark = pytest.mark.both_databases


def bought(shop: RunningShop, email: str) -> tuple[str, str]:
    """Buy a pair; return the order's number and the path of its page."""
    shopper = Shopper(shop)
    shopper.add(1)
    shopper.buy(typed={"email": email})
    receipt = shopper.get("/checkout/complete").text
    number = re.search(r"\b[A-Z2-9]{4}-[A-Z2-9]{4}\b", receipt)
    path = re.search(r"/orders/[0-9a-f]{48}\b", receipt)
    assert number and path
    return number[0], path[0]


def come_to(shop: RunningShop, number: str, before: str, after: str) -> None:
    """Bring an order to another state, as a process beside the shop does."""
    ((order_id,),) = shop.sql("SELECT id FROM orders WHERE number = ?", number)
    shop.sql("UPDATE orders SET state = ?, tracking = 'RR123' WHERE id = ?", after, order_id)
    shop.sql(
        "INSERT INTO order_changes (order_id, at, who, before, after, why)"
        " VALUES (?, 1, 'kim', ?, ?, '')",
        *(order_id, before, after),
    )


class OrderTab(Tab):
    """A tab that shows the page of an order."""

    def __init__(self, shop: RunningShop, path: str) -> None:
        self._order = path.rpartition("/")[2]
        super().__init__(shop, None)

    def _connect(self, shop: object, query: str, headers: dict[str, str]) -> None:
        super()._connect(shop, f"?order={self._order}", headers)  # type: ignore[arg-type]

    def state(self) -> str:
        found = re.search(r'data-state="(\w+)"', self.shown.get("order", ""))
        return found[1] if found else ""


@pytest.fixture
def shop(open_drop: RunningShop) -> RunningShop:
    return open_drop


def test_an_order_has_a_page_for_whoever_has_its_address_and_for_nobody_else(
    shop: RunningShop,
) -> None:
    number, path = bought(shop, "page@example.com")
    answer = Shopper(shop).get(path)
    assert answer.status == 200 and number in answer.text
    assert 'id="order" data-state="placed"' in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers.get_all("Referrer-Policy") == ["no-referrer"]
    assert "noindex" in str(answer.headers["X-Robots-Tag"])
    for wrong in (f"/orders/{number}", path[:-1], f"{path}0", "/orders/" + "0" * 48):
        assert Shopper(shop).get(wrong).status == 404


def test_the_page_follows_what_operators_do_to_the_order(shop: RunningShop) -> None:
    number, path = bought(shop, "live@example.com")
    with closing(OrderTab(shop, path)) as tab:
        tab.until(lambda tab: tab.state() == "placed")
        token = path.rpartition("/")[2]
        for before, state in (("placed", "paid"), ("paid", "fulfilled")):
            come_to(shop, number, before, state)
            tab.until(lambda tab, state=state: tab.state() == state)  # type: ignore[misc]
        assert "RR123" in tab.shown["order"] and token not in tab.shown["order"]
    assert "RR123" in Shopper(shop).get(path).text


def test_who_asks_for_an_order_hears_the_same_whether_there_is_one(shop: RunningShop) -> None:
    number, path = bought(shop, "found@example.com")
    shopper = Shopper(shop)
    said = []
    for sent in (
        {"number": number.lower().replace("-", " "), "email": " Found@Example.com "},
        {"number": number, "email": "other@example.com"},
        {"number": "AAAA-AAAA", "email": "found@example.com"},
        {"number": "", "email": ""},
    ):
        answer = shopper.post("/orders", sent)
        assert (answer.status, answer.location) == (303, "/orders")
        said.append(
            [re.sub(r"\s+", " ", notice) for notice in notices_in(shopper.get("/orders").text)]
        )
    assert said[0] and all(words == said[0] for words in said)

    def links() -> list[str]:
        return [file.read_text() for file in (shop.instance / "mail").glob("*-link-*.eml")]

    eventually(links)
    (mail,) = links()
    assert "To: found@example.com" in mail and path[-40:] in mail.replace("=\n", "")
    for _ in range(10):
        last = shopper.post("/orders", {"number": number, "email": "found@example.com"})
    assert last.status == 429
    assert len(links()) == 1, "nobody has somebody's mailbox filled"
