"""A shop that takes money through Stripe's library, against a double that breaks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from statistics import quantiles
from typing import Any

import pytest

from tests.support.databases import Databases
from tests.support.payer import Payer, time_passes
from tests.support.running import RunningShop
from tests.support.shopper import Shopper
from tests.support.stripe_double import KEY, SECRET, Faults, StripeDouble
from tests.support.stripe_shop import settings_for, shop_with_stripe

ITEM = 1


@pytest.fixture(scope="module")
def pair(
    dbms: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningShop, StripeDouble]]:
    with shop_with_stripe(dbms, tmp_path_factory.mktemp("stripe") / "instance") as pair:
        yield pair


def session_of(payer: Payer) -> str:
    """Wait until the payment page is there; return its session."""
    return payer.until_open().rpartition("/")[2]


@pytest.fixture
def shop(pair: tuple[RunningShop, StripeDouble]) -> RunningShop:
    return pair[0]


@pytest.fixture
def double(pair: tuple[RunningShop, StripeDouble]) -> Iterator[StripeDouble]:
    yield pair[1]
    pair[1].faults = Faults()


@pytest.mark.parametrize("webhooks", ["", "lost", "twice", "late", "early"])
def test_an_order_is_paid_however_stripes_messages_come(
    shop: RunningShop, double: StripeDouble, webhooks: str
) -> None:
    kim = Payer(shop, ITEM)
    session = session_of(kim)
    double.faults.webhooks = webhooks
    double.pay(session)
    kim.until_state("paid", 8)  # a lost one is made up for by asking every 5 seconds
    double.send_late_ones()
    assert kim.state == "paid"
    ((kinds,),) = shop.sql(
        "SELECT count(*) FROM mails JOIN orders ON orders.id = order_id WHERE number = ?",
        kim.number,
    )
    assert kinds == 1


def test_a_shopper_who_comes_back_need_not_wait(shop: RunningShop, double: StripeDouble) -> None:
    kim = Payer(shop, ITEM)
    session = session_of(kim)
    double.faults.webhooks = "lost"
    double.pay(session)
    kim.shopper.get(f"{kim.address}?returned=1")
    kim.until_state("paid", 2)


@pytest.mark.parametrize("fault", ["lost", "away", "busy", "gateway", "error", "error after"])
def test_a_page_is_there_though_the_first_call_fails(
    shop: RunningShop, double: StripeDouble, fault: str
) -> None:
    double.faults.next_calls.append(fault)
    kim = Payer(shop, ITEM)
    double.pay(session_of(kim))
    kim.until_state("paid")
    double.faults.next_calls.append(fault)
    lee = Payer(shop, ITEM, email="lee@example.com")
    lee.act("release")
    lee.until_state("expired")
    pages = [s for s in double.sessions.values() if s["client_reference_id"] == lee.number]
    assert {page["status"] for page in pages} <= {"expired"}


def test_a_hold_that_ends_while_somebody_pays_ends_one_way(
    shop: RunningShop, double: StripeDouble
) -> None:
    for way in range(6):
        kim = Payer(shop, ITEM, email=f"kim{way}@example.com")
        session = session_of(kim)
        paying = threading.Thread(target=double.pay, args=(session,))
        paying.start()
        time_passes(shop, 601)
        paying.join()
        deadline = time.monotonic() + 10
        while kim.state in ("held", "in_doubt") and time.monotonic() < deadline:
            time.sleep(0.05)
        paid = double.sessions[session]["payment_status"] == "paid"
        assert kim.state == ("paid" if paid else "expired")


@pytest.mark.parametrize("comes", [True, False])
def test_delayed_money_keeps_the_pair_held_until_it_is_there_or_never_comes(
    shop: RunningShop, double: StripeDouble, comes: bool
) -> None:
    kim = Payer(shop, ITEM)
    session = session_of(kim)
    double.pay(session, delayed=True)
    kim.until_state("in_doubt")
    assert "on its way" in kim.shown()
    time_passes(shop, 601)
    time.sleep(0.5)
    assert kim.state == "in_doubt"
    double.come_through(session, paid=comes)
    kim.until_state("paid" if comes else "expired")


def test_without_an_answer_an_order_is_in_doubt_and_its_pair_stays_held(
    shop: RunningShop, double: StripeDouble
) -> None:
    kim = Payer(shop, ITEM)
    session_of(kim)
    double.faults.away = True
    time_passes(shop, 601)
    kim.until_state("in_doubt")
    assert "We are asking whether your payment came through" in kim.shown()
    double.faults.away = False
    kim.until_state("expired", 15)


def test_messages_that_are_not_stripes_change_nothing(
    shop: RunningShop, double: StripeDouble
) -> None:
    kim = Payer(shop, ITEM)
    session = session_of(kim)
    event = {
        "id": "evt_forged",
        "object": "event",
        "type": "checkout.session.completed",
        "livemode": False,
        "data": {"object": {"id": session, "object": "checkout.session"}},
    }
    assert double.send(event, secret="whsec_another") == 400
    assert double.send(event, at=int(time.time()) - 400) == 400
    assert double.send({**event, "livemode": True}) == 400
    body = json.dumps(event).encode()
    assert Shopper(shop).send("POST", "/payments/stripe", {}, body).status == 400
    assert Shopper(shop).send("POST", "/payments/stripe", {}, b"\xff" * 1000).status == 400
    # A true one that says more than is true is asked for, and is not believed.
    assert double.send(event) == 204
    assert double.send(event) == 204
    time.sleep(0.5)
    assert kim.state == "held"
    kim.act("release")
    kim.until_state("expired")


def test_a_payment_that_is_not_what_was_asked_for_makes_no_order_paid(
    shop: RunningShop, double: StripeDouble
) -> None:
    wrong: dict[str, Any] = {"amount_total": 1, "currency": "eur", "livemode": True}
    asked = []
    for what, said in wrong.items():
        payer = Payer(shop, ITEM, email=f"{what}@example.com")
        session = session_of(payer)
        asked.append((payer, session, what, double.sessions[session][what]))
        double.sessions[session][what] = said
        double.pay(session)
    time.sleep(0.7)
    assert [payer.state for payer, *_ in asked] == ["held"] * 3
    for _, session, what, right in asked:
        double.sessions[session][what] = right
    for payer, *_ in asked:
        payer.until_state("paid", 20)


def test_a_refund_that_is_refused_leaves_the_order_as_it_was(
    shop: RunningShop, double: StripeDouble
) -> None:
    kim = Payer(shop, ITEM)
    session = session_of(kim)
    double.pay(session)
    kim.until_state("paid")
    intent = double.sessions[session]["payment_intent"]["id"]
    double.refunds["re_elsewhere"] = {
        "id": "re_elsewhere",
        "object": "refund",
        "amount": 12_000,
        "currency": "usd",
        "payment_intent": intent,
        "metadata": {},
        "status": "succeeded",
        "created": double.now(),
    }
    done = shop.flask("orders", "cancel", kim.number, "--reason", "x", check=False)
    assert done.returncode == 1
    assert "greater than the charge" in done.stderr
    assert kim.state == "paid"
    broken = shop.flask("check", "--provider", check=False)
    assert (broken.returncode, kim.number in broken.stdout) == (1, True)
    del double.refunds["re_elsewhere"]

    double.faults.away = True
    done = shop.flask("orders", "cancel", kim.number, "--reason", "x", check=False)
    assert (done.returncode, "no answer" in done.stderr) == (1, True)
    assert "being paid back" in shop.flask("orders", "fulfil", kim.number, check=False).stderr
    double.faults.away = False
    shop.flask("orders", "cancel", kim.number, "--reason", "x")
    assert kim.state == "cancelled"
    assert [r["amount"] for r in double.refunds.values() if r["payment_intent"] == intent] == [
        12_000
    ]


def secrets(shop: RunningShop) -> dict[str, str]:
    """Return the settings by which a shop takes money."""
    names = ("SHOP_PAYMENTS", "SHOP_PUBLIC_URL", "SHOP_STRIPE_API")
    return {n: v for n, v in shop.environ.items() if n in names or n.startswith("SHOP_STRIPE_")}


def test_neither_logs_nor_metrics_nor_processes_show_a_secret(
    shop: RunningShop, make_shop: Callable[..., RunningShop]
) -> None:
    # A forked one shows its template's: this one is started from the outset.
    own = make_shop("released", **secrets(shop), PYTHONHASHSEED="0").start()
    assert own.process is not None
    with open(f"/proc/{own.process.pid}/cmdline") as command:
        seen = command.read()
    assert "wsgi.py" in seen
    seen += "".join(shop.output) + Shopper(shop).get("/metrics").text
    assert KEY not in seen
    assert SECRET not in seen


def test_a_shop_for_real_shoppers_says_that_its_key_is_for_tests(
    make_shop: Callable[..., RunningShop],
) -> None:
    settings = {**settings_for(StripeDouble()), "SHOP_STRIPE_API": "http://127.0.0.1:9"}
    shop = make_shop("released", **settings, SHOP_HTTPS="on")
    shop.environ["SHOP_PUBLIC_URL"] = "https://shop.example.com"
    shop.start()
    shop.stop()
    said = [line for line in shop.output if "no money moves" in line]
    assert len(said) == 1
    assert "SHOP_STRIPE_KEY is a test key" in said[0]
    assert KEY not in said[0]


# --- Drills -------------------------------------------------------------------------------------


@pytest.mark.drill
@pytest.mark.parametrize(("fault", "buyers"), [("away", 500), ("broken", 200)])
def test_buying_goes_on_while_stripe_is_away_and_everybody_can_pay_a_minute_after(
    make_shop: Callable[..., RunningShop], fault: str, buyers: int
) -> None:
    with StripeDouble().serving() as double:
        shop = make_shop("released", **settings_for(double), SHOP_PAIRS_PER_ADDRESS="0")
        shop.environ["SHOP_PUBLIC_URL"] = shop.url
        double.webhook = f"{shop.url}/payments/stripe"
        shop.flask("stock", "set", "OST-TIDELINE-060", "600")
        shop.start()
        setattr(double.faults, fault, True)
        took, payers = [], []
        for number in range(buyers):
            payers.append(Payer(shop, ITEM, email=f"kim{number}@example.com"))
            assert payers[-1].bought.status == 303
            took.append(payers[-1].took)
        setattr(double.faults, fault, False)
        double.faults.most_calls = 25
        deadline = time.monotonic() + 60
        while True:
            ((waiting,),) = shop.sql("SELECT count(*) FROM payments WHERE state = 'waiting'")
            if not waiting:
                break
            assert time.monotonic() < deadline, f"{waiting} orders wait for a page"
            time.sleep(0.5)
        assert quantiles(took, n=100)[98] < 0.25
        shop.flask("check", "--provider")


@pytest.mark.drill
def test_a_silent_stripe_holds_up_nobody_else(shop: RunningShop, double: StripeDouble) -> None:
    double.faults.silence = 10.0
    payers: list[Payer] = []
    took: list[float] = []
    began = time.monotonic()
    while time.monotonic() < began + 12:
        if len(payers) < 25:
            payers.append(Payer(shop, ITEM, email=f"kim{len(payers)}@example.com"))
            took.append(payers[-1].took)
        asked = time.monotonic()
        assert Shopper(shop).get("/").status == 200
        took.append(time.monotonic() - asked)
    assert quantiles(took, n=100)[98] < 0.25
    double.faults.silence = 0.0
    for payer in payers:
        payer.until_open(40)
        payer.act("release")
    for payer in payers:
        payer.until_state("expired", 40)
