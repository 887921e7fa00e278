"""A shop that is killed again and again while people buy and its operator works."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException

import pytest

from tests.support.mail_server import MailServer
from tests.support.running import HURRIED, NeverHappened, RunningShop, eventually
from tests.support.shopper import Shopper

pytestmark = [pytest.mark.both_databases, pytest.mark.drill, pytest.mark.timeout(900)]

#: How often it is killed, and how many shoppers there are meanwhile.
KILLS, SHOPPERS = 50, 6

#: More of the first item than are bought, hardly any of the others.
STOCK = {1: 100_000, 2: 40, 3: 40}

GONE = (OSError, HTTPException, NeverHappened)


@pytest.fixture
def server() -> Iterator[MailServer]:
    server = MailServer().start()
    yield server
    server.stop()


def test_after_each_kill_the_books_are_clean_and_no_answered_order_or_mail_is_lost(
    make_shop: Callable[..., RunningShop], server: MailServer
) -> None:
    chance = random.Random(13)
    shop = make_shop(
        *("released", "instance"),
        main=HURRIED,
        MAIL_REST="0.05",
        **server.settings,
    )
    for item_id, pairs in STOCK.items():
        shop.flask("stock", "set", shop.sku(item_id), str(pairs))
    crowd = Crowd(shop)
    operator = Operator(shop)
    for _ in range(KILLS):
        shop.start()
        working = [*crowd.start(chance), operator.start()]
        time.sleep(chance.uniform(0.1, 1.2))
        crowd.over.set()
        shop.kill()
        for thread in working:
            thread.join(30)
        shop.flask("check")
    shop.start()
    orders = shop.orders()
    emails = {order["email"] for order in orders}
    assert crowd.answered <= emails
    assert operator.cancelled <= {o["number"] for o in orders if o["state"] == "cancelled"}
    assert len(crowd.answered) > 2 * KILLS, "a drill in which nobody buys shows nothing"
    assert operator.cancelled, "nor does one in which nothing is cancelled"
    # Who held a mail when it was killed has it for a while yet: that time passes.
    shop.sql("UPDATE mails SET held_until = held_until - 1000 WHERE state = 'waiting'")
    shop.flask("mail", "send")  # beside the server, which gives mails a small part of its time
    eventually(lambda: not shop.sql("SELECT 1 FROM mails WHERE state = 'waiting'"), 60)
    assert set(server.recipients) == emails
    # A mail that the server has taken in the moment of a kill comes again, under the same name:
    # nobody can know that it was taken.
    assert len(server.ids) == len(orders)
    again = server.ids.total() - len(orders)
    assert again <= KILLS
    print(
        f"\n{KILLS} kills, {len(orders)} orders, {len(crowd.answered)} of them answered,"
        f" {len(operator.cancelled)} cancelled; {again} mails came again"
    )
    shop.flask("check")


class Crowd:
    """Shoppers who buy one thing after another, until the shop is killed."""

    def __init__(self, shop: RunningShop) -> None:
        self.shop = shop
        #: the addresses of those who were told that they have bought
        self.answered: set[str] = set()
        self.over = threading.Event()
        self._round = 0

    def start(self, chance: random.Random) -> list[threading.Thread]:
        self.over.clear()
        self._round += 1
        names = [f"kim{self._round}-{number}" for number in range(SHOPPERS)]
        return [_started(self._buy, name, random.Random(chance.random())) for name in names]

    def _buy(self, name: str, chance: random.Random) -> None:
        with suppress(*GONE):
            count = 0
            while not self.over.is_set():
                count += 1
                shopper, email = Shopper(self.shop), f"{name}-{count}@example.com"
                for item_id in chance.sample(list(STOCK), chance.randint(1, 3)):
                    shopper.add(item_id)
                checkout = shopper.get("/checkout")
                if checkout.status != 200:  # all of it is sold out, or the shop is going
                    continue
                answer = shopper.buy(typed={"email": email})
                if (answer.status, answer.location) == (303, "/checkout/complete"):
                    self.answered.add(email)


class Operator:
    """Cancels orders and sets counts, with commands that are killed with the shop."""

    def __init__(self, shop: RunningShop) -> None:
        self.shop = shop
        #: the numbers of orders whose cancellation was confirmed
        self.cancelled: set[str] = set()

    def start(self) -> threading.Thread:
        return _started(self._work)

    def _work(self) -> None:
        with suppress(*GONE):
            placed = self.shop.sql("SELECT number FROM orders WHERE state = 'placed' LIMIT 1")
            for (number,) in placed:
                cancel = ("orders", "cancel", number, "--reason", "asked for it")
                done = self.shop.flask(*cancel, check=False)
                if done.returncode == 0:
                    self.cancelled.add(number)
            with self.shop.start_flask("stock", "set", self.shop.sku(2), "40") as command:
                time.sleep(random.uniform(0.0, 0.5))
                command.kill()


def _started(target: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread
