"""Calls the provider for the payments that are due: to open a page, to ask, to end it.

All processes of a shop share one queue, in the database. Each payment is taken by one of them for
some seconds; one that dies with it in hand only delays it. Everything that is asked of a provider
can be asked twice, so nothing is lost or done twice by that.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from threading import Event, Thread

from sqlalchemy.exc import DBAPIError

from shop.changes import order_id_of
from shop.db import Database, DatabaseBusy, Transaction
from shop.models.ledger import SHOP
from shop.models.payment import NO_PAGE
from shop.models.payment_queue import (
    DuePayment,
    look_later,
    read_outlook,
    reserve_calls,
    take_due,
    take_one,
    try_again,
)
from shop.payments.asking import Asking, call_of, is_ending, was_never_asked
from shop.payments.holds import EXTENSION, end_hold
from shop.payments.provider import (
    PaymentSession,
    Provider,
    ProviderAway,
    ProviderFailed,
    ProviderRefused,
)
from shop.payments.settling import Mismatch, Terms, doubt, end, settle

log = logging.getLogger(__name__)

#: What is written once the provider was asked.
Work = Callable[[Transaction], None]

#: How often it is looked for what other processes have left, in seconds.
EVERY = 0.25

#: How many calls one process makes at a time.
CALLS = 20

#: For how long a process has a payment in hand, in milliseconds: a call to elsewhere may hang.
LEASE, LEASE_HERE = 20_000, 1000

#: How often an open payment is looked at, at the most, and how many of all are, in milliseconds.
LOOK, LOOKS_APART = 5000, 100

#: How many pages are asked for in vain until an order is given up.
MOST_ATTEMPTS = 3

#: After how long a call that had no answer is made again, in milliseconds: at first, and at most.
AGAIN = (250, 10_000)

#: More characters than are kept of what a call failed by.
_LONGEST_ERROR = 300

#: Seconds between two calls that only find out whether a provider is there again.
PROBE = 1.0

#: For how much longer than the longest hold one could pay on a page, in seconds: it is ended long
#: before, and a request that had no answer is still good when it is made again.
TO_SPARE = 3600


class PaymentQueue:
    """Looks at payments for as long as a process serves."""

    def __init__(
        self, database: Database, provider: Provider, address: str, hold_seconds: int
    ) -> None:
        """Take the address by which shoppers reach the shop, without a slash at its end."""
        self._database = database
        self._provider = provider
        self._asking = Asking(database, provider, address)
        self._hold = hold_seconds * 1000
        self._lasts = hold_seconds + EXTENSION // 1000 + TO_SPARE
        self._lease = LEASE if provider.rate else LEASE_HERE
        self._look = LOOK
        self._wake = Event()
        self._stopping = False
        self._in_hand = 0
        self._away = False
        self._probe_at = 0.0

    def start(self) -> None:
        """Begin, in a thread (under gevent: a greenlet) of its own."""
        Thread(target=self._run, name="payments", daemon=True).start()

    def stop(self) -> None:
        """End; calls that are under way are waited for by nobody, and made again by others."""
        self._stopping = True
        self._wake.set()

    def hear(self, names: Iterable[str]) -> None:
        """Look at payments soon, if something happened to an order."""
        if not self._wake.is_set() and any(order_id_of(name) is not None for name in names):
            self._wake.set()

    def see_to(self, order_id: int) -> None:
        """Take the payment of one order, whoever has it in hand, and make its call now."""
        for due in self._database.transact(lambda tx: take_one(tx, order_id, self._lasts)):
            self._database.transact(self.ask(due))

    def turn(self) -> float:
        """Take what is due, and see to it; return for how many seconds there is nothing to do."""
        outlook = read_outlook(self._database, self._provider.name)
        if outlook.due is None:
            return EVERY
        if outlook.due > outlook.now:
            return min((outlook.due - outlook.now) / 1000, EVERY)
        most = self._room()
        if not most:
            return EVERY
        self._look = max(LOOK, outlook.active * LOOKS_APART)
        taken = self.take(most)
        for due, wait in taken:
            self._in_hand += 1
            Thread(target=self._see_to, args=(due, wait), name="payment", daemon=True).start()
        return 0.0 if taken else EVERY

    def take(self, most: int) -> list[tuple[DuePayment, float]]:
        """Take what is due; return with each in how many seconds its call may be made.

        Args:
            most: how many at the most.
        """
        return self._database.transact(lambda tx: self._take(tx, most))

    def ask(self, due: DuePayment) -> Work:
        """Ask the provider, outside every transaction; return what is to be written then."""
        if is_ending(due) and was_never_asked(due):
            return lambda tx: end(tx, due.order_id)
        try:
            session = self._asking.ask(due)
        except ProviderAway as error:
            return self._no_answer(due, error)
        except ProviderRefused as error:
            return self._refused(due, error)
        if self._away:
            log.info("payments go on: %s answers again", self._provider.name)
        self._away = False
        return partial(self._settle, due=due, session=session)

    def _run(self) -> None:
        while not self._stopping:
            try:
                pause = self.turn()
            except (DBAPIError, DatabaseBusy) as error:
                log.debug("payments wait, the database does not answer: %s", error)
                pause = EVERY
            except Exception:
                log.exception("looking at payments failed; it goes on")
                pause = 1.0
            if pause:
                self._wake.wait(pause)
            self._wake.clear()
            time.sleep(0)

    def _room(self) -> int:
        """Return how many payments may be taken now: of a provider that is away, one at times."""
        if not self._away:
            return CALLS - self._in_hand
        if self._in_hand or time.monotonic() < self._probe_at:
            return 0
        self._probe_at = time.monotonic() + PROBE
        return 1

    def _take(self, transaction: Transaction, most: int) -> list[tuple[DuePayment, float]]:
        name, rate = self._provider.name, self._provider.rate
        taken = take_due(transaction, name, most, self._lease, self._lasts)
        if not rate:
            return [(due, 0.0) for due in taken]
        waits = {}
        for call, count in Counter(map(call_of, taken)).items():
            first = reserve_calls(transaction, f"{name} {call}", count, 1000 // rate)
            waits[call] = iter(range(first, first + count * 1000, 1000 // rate))
        return [(due, next(waits[call_of(due)]) / 1000) for due in taken]

    def _see_to(self, due: DuePayment, wait: float) -> None:
        """Make the call of one payment when it is its turn, and note what came of it."""
        try:
            time.sleep(wait)
            self._database.transact(self.ask(due))
        except (DBAPIError, DatabaseBusy) as error:
            log.debug("order %s is looked at again, the database is away: %s", due.number, error)
        except Exception:
            log.exception("order %s could not be looked at; it is looked at again", due.number)
        finally:
            self._in_hand -= 1
            self._wake.set()

    def _settle(self, transaction: Transaction, due: DuePayment, session: PaymentSession) -> None:
        try:
            settle(transaction, due.order_id, session, Terms(self._hold, self._look))
        except Mismatch as error:
            log.error("a payment is not what was asked for: %s", str(error))
            look_later(transaction, due.order_id, AGAIN[1], str(error)[:_LONGEST_ERROR])

    def _no_answer(self, due: DuePayment, error: ProviderAway) -> Work:
        said = str(error)[:_LONGEST_ERROR] or "no answer"
        if not self._away and not isinstance(error, ProviderFailed):
            log.warning("payments wait, %s does not answer: %s", self._provider.name, said)
            self._away = True
        delay = min(AGAIN[0] * 2 ** min(due.failures, 10), AGAIN[1])
        delay = int(delay * random.uniform(0.5, 1.0))

        def work(transaction: Transaction) -> None:
            if is_ending(due):
                doubt(transaction, due.order_id, "the payment provider does not answer")
            if isinstance(error, ProviderFailed) and due.session_id is None:
                try_again(transaction, due.order_id, self._lasts, said)
            else:
                look_later(transaction, due.order_id, delay, said)

        return work

    def _refused(self, due: DuePayment, error: ProviderRefused) -> Work:
        """Ask for a page under another name some times; then the order can't be paid for."""
        said = str(error)[:_LONGEST_ERROR]
        log.error("%s refuses order %s: %s", self._provider.name, due.number, said)
        order_id = due.order_id
        if due.session_id is not None:
            return partial(look_later, order_id=order_id, delay=AGAIN[1], error=said)
        if due.attempt < MOST_ATTEMPTS and not is_ending(due):
            return partial(try_again, order_id=order_id, lasts=self._lasts, error=said)
        try:
            self._asking.end_pages(due)
        except (ProviderAway, ProviderRefused) as error_then:
            return partial(look_later, order_id=order_id, delay=AGAIN[1], error=str(error_then))
        return partial(_end_without_page, order_id=order_id)


def _end_without_page(transaction: Transaction, order_id: int) -> None:
    end_hold(transaction, order_id, NO_PAGE, who=SHOP, why=_NO_PAGE)
    end(transaction, order_id)


_NO_PAGE = "no payment page could be opened"
