"""Pairs are held while they are paid for, until a moment that everybody can see."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.databases import Databases, shop_in
from tests.support.payer import Payer, time_passes
from tests.support.running import RunningShop
from tests.support.shopper import Shopper, Tab, element, items_in, notices_in, text_of

pytestmark = pytest.mark.both_databases

ITEM, OTHER, LAST = 1, 2, 3


@pytest.fixture(scope="module")
def demo(dbms: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop after the drop, whose payment page moves no money; its books are right at the end."""
    folder = tmp_path_factory.mktemp("demo") / "instance"
    with shop_in(dbms, folder, "released", SHOP_PAYMENTS="demo", SHOP_DEMO="off") as shop:
        yield shop.start()
        shop.flask("check", "--provider")


def counts(shop: RunningShop, item: int = ITEM) -> tuple[Any, ...]:
    """Return how many are left, held and sold of an item."""
    return tuple(shop.sql("SELECT available, held, sold FROM items WHERE id = ?", item)[0])


def changed(before: tuple[Any, ...], *by: int) -> tuple[Any, ...]:
    return tuple(count + change for count, change in zip(before, by, strict=True))


def mails(shop: RunningShop, number: str) -> list[str]:
    rows = shop.sql(
        "SELECT kind FROM mails JOIN orders ON orders.id = order_id WHERE number = ?", number
    )
    return [kind for (kind,) in rows]


def test_what_is_bought_is_held_until_it_is_paid(demo: RunningShop) -> None:
    before = counts(demo)
    kim = Payer(demo, ITEM)
    assert re.fullmatch(r"/orders/[0-9a-f]{48}/pay", kim.address)
    assert counts(demo) == changed(before, -1, 1, 0)
    assert (kim.state, mails(demo, kim.number)) == ("held", [])

    assert kim.pay().status == 303
    kim.until_state("paid")
    assert "Paid. It is sent next." in kim.shown()
    assert counts(demo) == changed(before, -1, 0, 1)
    assert mails(demo, kim.number) == ["receipt"]
    assert "They’re yours" in kim.shopper.get("/checkout/complete").text


def test_the_page_counts_down_by_the_shops_clock(demo: RunningShop) -> None:
    kim = Payer(demo, ITEM)
    kim.until_open()
    hold = element(kim.page(), "hold")
    ends_at = re.search(r'data-ends-at="(\d+)"', hold)
    assert ends_at
    assert abs(int(ends_at[1]) / 1000 - time.time() - 600) < 10
    answer = kim.shopper.get(kim.address)
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    kim.act("release")


def test_a_declined_card_leaves_everything_as_it_is(demo: RunningShop) -> None:
    kim = Payer(demo, ITEM)
    answer = kim.shopper.follow(kim.pay("decline"))
    assert notices_in(answer.text)[0] == "The card was declined. No money moved."
    assert kim.state == "held"
    kim.pay()
    kim.until_state("paid")


def test_what_is_not_paid_in_time_is_back_in_the_shop_and_in_the_cart(demo: RunningShop) -> None:
    before = counts(demo)
    kim = Payer(demo, ITEM, OTHER)
    page = kim.until_open()
    with Tab(demo, kim.shopper) as tab:
        tab.next()
        assert "Your pairs are held." in tab.shown["notices-cart"]
        time_passes(demo, 601)
        tab.until(lambda tab: tab.cart == [ITEM, OTHER])
        assert "The time to pay is over." in tab.shown["notices-cart"]
    kim.until_state("expired")
    assert "Nothing was charged" in kim.shown()
    assert counts(demo) == before
    assert kim.shopper.cart() == [ITEM, OTHER]
    ended = kim.shopper.get(page)
    assert "It can’t be paid here any more." in ended.text
    assert kim.shopper.post(page, {"do": "pay"}).location == page
    assert kim.state == "expired"
    kim.shopper.remove(OTHER)
    assert "The time to pay is over." not in kim.shopper.get("/").text


def test_five_minutes_more_are_given_once(demo: RunningShop) -> None:
    kim = Payer(demo, ITEM)
    kim.until_open()
    first = kim.shopper.follow(kim.act("extend"))
    assert notices_in(first.text)[0] == "Your pairs are held for five more minutes."
    assert "5 more minutes" not in kim.shown()
    second = kim.shopper.follow(kim.act("extend"))
    assert notices_in(second.text)[0].startswith("They can’t be held for longer")
    time_passes(demo, 700)
    assert kim.state == "held"
    time_passes(demo, 201)
    kim.until_state("expired")


def test_what_is_given_back_is_there_for_others_at_once(demo: RunningShop) -> None:
    before = counts(demo)
    kim = Payer(demo, ITEM)
    kim.until_open()
    kim.act("release")
    kim.until_state("expired")
    assert counts(demo) == before
    assert kim.shown().startswith("Not bought")
    assert "You gave it back." in kim.shown()
    assert kim.shopper.cart() == []
    assert kim.act("release").status == 303
    assert kim.act("extend").status == 303
    assert kim.state == "expired"


def test_who_buys_twice_is_led_to_the_same_page(demo: RunningShop) -> None:
    shopper = Shopper(demo)
    shopper.add(ITEM)
    form = shopper.checkout_form()
    first, second = shopper.buy(form), shopper.buy(form)
    assert first.location == second.location
    assert shopper.get("/checkout").location == "/checkout/complete"
    assert shopper.get("/checkout/complete").location == first.location
    token = first.location.split("/")[2]
    rows = demo.sql(
        "SELECT attempt FROM payments JOIN orders ON id = order_id WHERE token = ?", token
    )
    assert len(rows) == 1
    shopper.post(f"/orders/{token}/release")


def test_a_form_of_a_hold_that_is_over_buys_nothing(demo: RunningShop) -> None:
    shopper = Shopper(demo)
    shopper.add(ITEM)
    form = shopper.checkout_form()
    bought = shopper.buy(form)
    token = bought.location.split("/")[2]
    time_passes(demo, 601)
    deadline = time.monotonic() + 10
    while demo.sql("SELECT state FROM orders WHERE token = ?", token) != [("expired",)]:
        time_passes(demo, 601)  # the page may not have been there before
        assert time.monotonic() < deadline
        time.sleep(0.05)
    again = shopper.buy(form)
    assert again.location == "/checkout"
    assert "The time to pay for that was over." in notices_in(shopper.follow(again).text)[0]


def test_a_size_that_is_all_held_says_so_and_opens_in_all_tabs_when_it_comes_back(
    demo: RunningShop,
) -> None:
    demo.flask("stock", "set", "OST-TIDELINE-070", "1")
    watcher = Shopper(demo)
    watcher.get("/")
    with Tab(demo, watcher, [1]) as tab:
        tab.next()
        kim = Payer(demo, LAST)
        tab.until(lambda tab: tab.level(1, LAST) == "out")
        said = text_of(tab.shown["stock-1"])
        assert "all in carts at the till – some may come back" in said
        assert watcher.add(LAST, hx=True).status == 409
        kim.until_open()
        kim.act("release")
        tab.until(lambda tab: tab.level(1, LAST) == "low")
        paid = Payer(demo, LAST)
        paid.pay()
        paid.until_state("paid")
        tab.until(
            lambda tab: tab.level(1, LAST) == "out" and "at the till" not in tab.shown["stock-1"]
        )


def test_operators_see_holds_and_end_them_through_the_provider_alone(demo: RunningShop) -> None:
    before = counts(demo)
    kim = Payer(demo, ITEM)
    page = kim.until_open()
    listed = demo.flask("orders", "list", "--state", "held").stdout
    assert kim.number in listed
    erased = demo.flask("privacy", "erase", "kim@example.com", "--yes", check=False)
    assert (erased.returncode, "is being paid for" in erased.stderr) == (1, True)
    for args in (["paid"], ["fulfil"], ["cancel", "--reason", "x", "--sku", "OST-TIDELINE-060"]):
        done = demo.flask("orders", args[0], kim.number, *args[1:], check=False)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "nothing changed" in done.stderr
    demo.flask("orders", "cancel", kim.number, "--reason", "no")
    assert demo.flask("orders", "cancel", kim.number, "--reason", "no").returncode == 0
    assert (kim.state, counts(demo)) == ("cancelled", before)
    assert kim.shopper.post(page, {"do": "pay"}).location == page


def test_what_was_paid_is_paid_back_before_the_pair_goes_back(demo: RunningShop) -> None:
    kim = Payer(demo, ITEM, OTHER)
    kim.pay()
    kim.until_state("paid")
    before = counts(demo)
    one = ("--reason", "one", "--sku", "OST-TIDELINE-060")
    assert "cancelled OST-TIDELINE-060" in demo.flask("orders", "cancel", kim.number, *one).stdout
    assert "before" in demo.flask("orders", "cancel", kim.number, *one).stdout
    assert counts(demo) == changed(before, 1, 0, -1)
    demo.flask("orders", "fulfil", kim.number)
    demo.flask("orders", "return", kim.number, "--reason", "other")
    assert kim.state == "returned"
    rows = demo.sql(
        "SELECT amount, refunds.state FROM refunds JOIN orders ON id = order_id WHERE number = ?",
        kim.number,
    )
    assert rows == [(12_000, "done")] * 2


def test_neither_strangers_nor_other_methods_find_anything(demo: RunningShop) -> None:
    shopper = Shopper(demo)
    assert shopper.get(f"/orders/{'0' * 48}/pay").status == 404
    assert shopper.post(f"/orders/{'0' * 48}/release").status == 404
    assert shopper.post(f"/orders/{'0' * 48}/extend").status == 404
    assert shopper.get("/demo-payments/made-up").status == 404
    assert shopper.post("/demo-payments/made-up", {"do": "pay"}).status == 404
    assert shopper.post("/payments/stripe", {}).status == 404
    kim = Payer(demo, ITEM)
    page = kim.until_open()
    assert kim.shopper.post(page, {"do": "steal"}).status == 400
    assert Shopper(demo).send("POST", page, {}, [("do", "pay")]).status == 400  # no token
    assert kim.state == "held"
    kim.act("release")


def test_holds_end_at_their_moment_though_all_processes_were_killed(
    make_shop: Callable[..., RunningShop],
) -> None:
    shop = make_shop("released", SHOP_PAYMENTS="demo", SHOP_DEMO="off").start()
    payers = [Payer(shop, ITEM, email=f"kim{n}@example.com") for n in range(5)]
    for payer in payers:
        payer.until_open()
    shop.kill()
    ends_at = time.time() + 8  # a busy machine takes some seconds to start a shop
    shop.sql("UPDATE payments SET hold_ends = ?, due = ?", int(ends_at * 1000), int(ends_at * 1000))
    shop.start()
    for payer in payers:
        payer.until_state("expired", 20)
    ended = shop.sql("SELECT max(at) FROM order_changes WHERE after = 'expired'")[0][0] / 1000
    assert 0 <= ended - ends_at < 1
    assert all(items_in(payer.shopper.get("/cart").text) == [ITEM] for payer in payers)
    shop.flask("check", "--provider")
