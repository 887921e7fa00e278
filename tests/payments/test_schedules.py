"""Whatever happens in whatever order: money is taken exactly for orders that have their pairs.

Provider, clock, processes and network are actors. A process is interrupted between any two steps:
after it took a payment, after the provider has done what it was asked, before it is written down.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)
from sqlalchemy import text
from sqlalchemy.engine import URL

from shop.buyer import Buyer
from shop.carts import Carts
from shop.checkout import buy
from shop.db import open_database
from shop.models import set_stock
from shop.models.books import find_broken
from shop.models.cart import new_cart_id
from shop.models.order_edit import CANCELLING, GivingBack, StillHeld
from shop.models.order_state import WrongState
from shop.models.payment import CANCELLED, RELEASED
from shop.models.payment_queue import DuePayment
from shop.payments import asking
from shop.payments.calls import Work
from shop.payments.comparing import compare
from shop.payments.holds import end_hold, extend
from shop.payments.provider import ProviderAway
from shop.payments.queue import PaymentQueue
from shop.payments.refunding import refund_and_end
from shop.purchase import Offer, Terms
from tests.support.fake_provider import FAULTS, LOST, OK, FakeProvider
from tests.support.state_machines import folder_in_memory, run

ITEM = 1
STOCK = 3
KIM = Buyer("kim@example.com", "Kim", "1 Street")
TERMS = Terms("USD", provider="fake")
#: In seconds.
HOLD = 30

#: How many steps a schedule has.
STEPS = 30

#: What a process has in hand: a payment that it took, or what it is to write down.
InHand = DuePayment | Work

numbers = st.integers(0, 100)


class Payments(RuleBasedStateMachine):
    """Two processes, one provider, and whoever comes along.

    A rule that has nothing to do does nothing: what there is depends on leases, and so on the
    clock, which Hypothesis must not meet in a precondition.
    """

    idempotent = True
    #: where a shop after the drop is
    after_the_drop: Path

    @initialize()
    def open_shop(self) -> None:
        self.folder = folder_in_memory()
        file = self.folder / "shop.sqlite3"
        shutil.copy(self.after_the_drop / "shop.sqlite3", file)
        self.database = open_database(URL.create("sqlite", database=str(file)))
        self.database.transact(lambda tx: set_stock(tx, ITEM, STOCK))
        self.provider = FakeProvider(idempotent=self.idempotent)
        self.queues = [PaymentQueue(self.database, self.provider, "", HOLD) for _ in range(2)]
        self.in_hand: list[tuple[PaymentQueue, InHand]] = []
        self.orders: dict[str, int] = {}
        self.looked_at: tuple[int, int] | None = None

    def teardown(self) -> None:
        if not hasattr(self, "orders"):
            return
        try:
            self.settle_everything()
            self.check_at_rest()
        finally:
            self.database.close()
            shutil.rmtree(self.folder)

    # --- Shoppers ---------------------------------------------------------------------------

    @rule()
    def somebody_buys(self) -> None:
        cart_id = new_cart_id()
        if self.left() == 0:
            return
        Carts(self.database).add(cart_id, ITEM)
        ((price,),) = self.rows("SELECT price FROM products WHERE id = 1")
        bought = self.database.transact(
            lambda tx: buy(tx, cart_id, KIM, Offer(0, {ITEM: price}), TERMS)
        )
        ((self.orders[bought.number],),) = self.rows(
            "SELECT id FROM orders WHERE number = :number", number=bought.number
        )

    @rule(which=numbers, delayed=st.booleans())
    def somebody_pays(self, which: int, delayed: bool) -> None:
        if not self.provider.pages:
            return
        # Whoever was ever shown the page, as long as the provider lets them.
        shown = [
            row.url.removeprefix("/")
            for row in self.rows("SELECT url FROM payments WHERE url IS NOT NULL")
        ]
        if shown:
            self.provider.pay(shown[which % len(shown)], delayed=delayed)

    @rule(which=numbers, paid=st.booleans())
    def money_comes_or_not(self, which: int, paid: bool) -> None:
        if not self.provider.pages:
            return
        pages = list(self.provider.pages)
        self.provider.come_through(pages[which % len(pages)], paid=paid)

    @rule(which=numbers)
    def somebody_gives_back(self, which: int) -> None:
        if not self.orders:
            return
        order_id = self.one_of(which)[1]
        self.database.transact(
            lambda tx: end_hold(tx, order_id, RELEASED, who="shop", why="given back")
        )

    @rule(which=numbers)
    def somebody_wants_longer(self, which: int) -> None:
        if not self.orders:
            return
        order_id = self.one_of(which)[1]
        self.database.transact(lambda tx: extend(tx, order_id))

    # --- Operators ----------------------------------------------------------------------------

    @rule(which=numbers)
    def operator_cancels(self, which: int) -> None:
        if not self.orders:
            return
        number, order_id = self.one_of(which)
        back = GivingBack((), "why not", "anna")
        try:
            refund_and_end(self.database, self.provider, number, back, CANCELLING)
        except StillHeld:
            self.database.transact(
                lambda tx: end_hold(tx, order_id, CANCELLED, who="anna", why="why not")
            )
        except (ProviderAway, WrongState):
            pass

    # --- Processes, clock and network ---------------------------------------------------------

    @rule(which=st.integers(0, 1), most=st.integers(1, 3))
    def process_takes(self, which: int, most: int) -> None:
        queue = self.queues[which]
        self.in_hand += [(queue, due) for due, _ in queue.take(most)]

    @rule(which=numbers)
    def process_goes_on(self, which: int) -> None:
        if not self.in_hand:
            return
        queue, what = self.in_hand.pop(which % len(self.in_hand))
        if isinstance(what, DuePayment):
            self.in_hand.append((queue, queue.calls.make(what)))
        else:
            self.database.transact(what)

    @rule(which=numbers)
    def process_goes_on_twice(self, which: int) -> None:
        if not self.in_hand:
            return
        _, what = self.in_hand[which % len(self.in_hand)]
        if not isinstance(what, DuePayment):
            self.database.transact(what)

    @rule(which=st.integers(0, 1))
    def process_is_killed(self, which: int) -> None:
        if not self.in_hand:
            return
        self.in_hand = [held for held in self.in_hand if held[0] is not self.queues[which]]

    @rule(seconds=st.sampled_from([0.3, 1, 5, 20, 31, 400]))
    def time_passes(self, seconds: float) -> None:
        self.sql(
            "UPDATE payments SET hold_ends = hold_ends - :ms, due = due - :ms,"
            " leased_until = leased_until - :ms",
            ms=int(seconds * 1000),
        )

    @rule(fault=st.sampled_from(FAULTS))
    def next_call_fails(self, fault: str) -> None:
        self.provider.next = fault

    # --- What is always true --------------------------------------------------------------------

    @invariant()
    def whoever_paid_has_a_pair(self) -> None:
        for number, _, state in self.states():
            if state in ("expired", "cancelled"):
                assert self.provider.taken(number) == 0, f"{number} is {state}, and was paid"
                assert not self.provider.can_be_paid(number), f"{number} can still be paid"
            if state == "paid":
                refunds_begun = self.rows("SELECT 1 FROM refunds WHERE state = 'wanted'")
                assert self.provider.taken(number) > 0 or refunds_begun

    @invariant()
    def books_are_right(self) -> None:
        if not hasattr(self, "database"):
            return
        written = (self.folder / "shop.sqlite3-wal").stat()
        state = (written.st_size, written.st_mtime_ns)
        if state == self.looked_at:  # nothing was committed since
            return
        with self.database.reading() as session:
            assert list(find_broken(session)) == []
        self.looked_at = state

    def settle_everything(self) -> None:
        """Let all processes go on until nothing is due any more, and every hold is over."""
        self.in_hand.clear()
        for _ in range(60):
            self.provider.next = OK
            self.time_passes(10_000)
            for page in list(self.provider.pages):
                self.provider.come_through(page, paid=True)
            queue = self.queues[0]
            taken = queue.take(20)
            for due, _ in taken:
                self.database.transact(queue.calls.make(due))
            if not self.rows("SELECT 1 FROM orders WHERE state IN ('held', 'in_doubt')"):
                return
        raise AssertionError(f"there is no end to {self.states()}")

    def check_at_rest(self) -> None:
        self.provider.next = OK
        for number, _, state in self.states():
            if self.rows("SELECT 1 FROM refunds WHERE state = 'wanted'") and state == "paid":
                back = GivingBack((), "why not", "anna")
                refund_and_end(self.database, self.provider, number, back, CANCELLING)
        for number, total, state in self.states():
            taken = self.provider.taken(number)
            assert taken == (total if state == "paid" else 0), f"{number} is {state}: {taken}"
        assert list(compare(self.database, self.provider)) == []
        self.looked_at = None
        self.books_are_right()

    # --- Looking ------------------------------------------------------------------------------

    def one_of(self, which: int) -> tuple[str, int]:
        return sorted(self.orders.items(), key=lambda each: each[1])[which % len(self.orders)]

    def states(self) -> list[Any]:
        if not hasattr(self, "database"):
            return []
        return list(self.rows("SELECT number, total, state FROM orders ORDER BY id"))

    def left(self) -> int:
        ((left,),) = self.rows("SELECT available FROM items WHERE id = :item", item=ITEM)
        return int(left)

    def rows(self, question: str, **values: object) -> Any:
        return self.database.rows(text(question), values)

    def sql(self, statement: str, **values: object) -> None:
        self.database.transact(lambda tx: tx.execute(text(statement), values))


class WithoutKeys(Payments):
    """A provider that does again what it is asked again, as when its answer was lost."""

    idempotent = False

    @rule()
    def next_call_fails(self) -> None:
        self.provider.next = LOST


@pytest.fixture(autouse=True)
def shop_after_the_drop(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Payments, "after_the_drop", released, raising=False)


def test_money_is_taken_exactly_for_orders_that_have_their_pairs() -> None:
    run(Payments, 100, STEPS)


@pytest.mark.drill
@pytest.mark.timeout(3600)
def test_money_is_taken_exactly_for_orders_in_ten_thousand_schedules() -> None:
    run(Payments, 10_000, STEPS)


def test_without_ending_the_page_first_a_pair_is_paid_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = asking.Asking.ask

    def end_without_asking(self: asking.Asking, due: DuePayment) -> Any:
        session = ask(self, due._replace(ending="", hold_ends=None))
        return replace(session, state="expired") if asking.is_ending(due) else session

    monkeypatch.setattr(asking.Asking, "ask", end_without_asking)
    with pytest.raises(AssertionError, match=r"was paid|can still be paid"):
        run(Payments, 300, STEPS)


def test_without_names_for_what_is_asked_there_are_two_pages_for_a_pair() -> None:
    with pytest.raises(AssertionError):
        run(WithoutKeys, 300, STEPS)
