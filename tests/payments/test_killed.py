"""A shop that is killed again and again while people pay, with a Stripe that breaks."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException

import pytest

from tests.support.payer import Payer, time_passes
from tests.support.running import NeverHappened, RunningShop
from tests.support.stripe_double import StripeDouble
from tests.support.stripe_shop import settings_for

#: How often it is killed, and how many buy each time: schedules in all.
KILLS, BUYERS = 40, 5

ITEM, SKU, STOCK = 1, "OST-TIDELINE-060", 120

#: What goes wrong with Stripe at a time.
FAULTS = ("", "lost", "away", "busy", "error", "error after")
WEBHOOKS = ("", "lost", "twice", "early")


@pytest.mark.drill
@pytest.mark.timeout(900)
@pytest.mark.both_databases
def test_money_is_taken_for_orders_with_their_pairs_though_everything_is_killed(
    make_shop: Callable[..., RunningShop],
) -> None:
    chance = random.Random(7)
    with StripeDouble().serving() as double:
        shop = make_shop("released", **settings_for(double), SHOP_PAIRS_PER_ADDRESS="0")
        shop.environ["SHOP_PUBLIC_URL"] = shop.url
        double.webhook = f"{shop.url}/payments/stripe"
        shop.flask("stock", "set", SKU, str(STOCK))
        shop.start()
        for number in range(KILLS):
            go_on_until_killed(shop, double, chance, number)
            shop.start()
        come_to_rest(shop, double)
        paid = check_books(shop, double)
        assert 5 < paid <= STOCK, "a drill in which nobody pays shows nothing"


def go_on_until_killed(
    shop: RunningShop, double: StripeDouble, chance: random.Random, number: int
) -> None:
    """Have some people buy and pay, each in their own way, and kill the shop at some moment."""
    double.faults.webhooks = chance.choice(WEBHOOKS)
    double.faults.next_calls.extend(chance.choices(FAULTS, k=4))
    buyers = [
        threading.Thread(
            target=buy, args=(shop, double, random.Random(chance.random()), f"kim{number}-{i}")
        )
        for i in range(BUYERS)
    ]
    for buyer in buyers:
        buyer.start()
    time.sleep(chance.uniform(0.1, 1.5))
    shop.kill()
    for buyer in buyers:
        buyer.join(30)
    if chance.random() < 0.3:
        time_passes(shop, 601)  # while nothing runs


def buy(shop: RunningShop, double: StripeDouble, chance: random.Random, name: str) -> None:
    """Buy something, and go on in one of several ways; the shop may be gone at any moment."""
    with suppress(OSError, HTTPException, NeverHappened, AssertionError):
        payer = Payer(shop, ITEM, email=f"{name}@example.com")
        if not payer.address.endswith("/pay"):  # it was refused: the shop is going, or sold out
            return
        way = chance.choice(("pay", "pay", "pay later", "leave", "release", "extend", "twice"))
        if way in ("release", "extend"):
            payer.act(way)
            return
        session = payer.until_open(3).rpartition("/")[2]
        if way == "leave":
            return
        double.pay(session, delayed=way == "pay later")
        if way == "twice":
            double.pay(session)
        payer.shopper.get(f"{payer.address}?returned=1")


def come_to_rest(shop: RunningShop, double: StripeDouble) -> None:
    """Let everything work again, and every hold be over."""
    double.faults.webhooks, double.faults.away = "", False
    double.faults.next_calls.clear()
    for name, session in list(double.sessions.items()):
        if (session["status"], session["payment_status"]) == ("complete", "unpaid"):
            double.come_through(name, paid=True)
    deadline = time.monotonic() + 120
    while shop.sql("SELECT 1 FROM orders WHERE state IN ('held', 'in_doubt')"):
        assert time.monotonic() < deadline, shop.sql("SELECT * FROM payments")
        time_passes(shop, 601)
        time.sleep(1)


def check_books(shop: RunningShop, double: StripeDouble) -> int:
    """Compare money, orders and pairs; return how many orders were paid."""
    shop.flask("check", "--provider")
    taken: dict[str, int] = {}
    for session in double.sessions.values():
        if session["payment_status"] == "paid":
            number = session["client_reference_id"]
            taken[number] = taken.get(number, 0) + session["amount_total"]
    states = shop.sql("SELECT number, total, state FROM orders")
    assert taken == {number: total for number, total, state in states if state == "paid"}
    ((left, held, sold),) = shop.sql("SELECT available, held, sold FROM items WHERE id = 1")
    assert (left, held, sold) == (STOCK - len(taken), 0, len(taken))
    ((receipts,),) = shop.sql("SELECT count(*) FROM mails WHERE kind = 'receipt'")
    assert receipts == len(taken)
    return len(taken)
