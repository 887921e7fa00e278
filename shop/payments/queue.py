"""Calls the provider for the payments that are due: to open a page, to ask, to end it.

All processes of a shop share one queue, in the database. Each payment is taken by one of them for
some seconds; one that dies with it in hand only delays it. Everything that is asked of a provider
can be asked twice, so nothing is lost or done twice by that.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable
from threading import Event, Thread

from sqlalchemy.exc import DBAPIError

from shop.changes import order_id_of
from shop.config import Settings
from shop.db import Database, DatabaseBusy, Transaction
from shop.models.payment_queue import (
    DuePayment,
    read_outlook,
    reserve_calls,
    take_due,
    take_one,
)
from shop.payments.asking import OPENING, Asking, call_of, is_ending
from shop.payments.calls import Calls
from shop.payments.holds import EXTENSION
from shop.payments.provider import Provider
from shop.payments.settling import Times

log = logging.getLogger(__name__)

#: How often it is looked for what other processes have left, in seconds.
EVERY = 0.25

#: How many calls one process makes at a time.
CALLS = 20

#: For how long a process has a payment in hand, in milliseconds: a call to elsewhere may hang.
LEASE, LEASE_HERE = 20_000, 1000

#: How often an open payment is looked at, at the most, and how many of all are, in milliseconds.
CHECK_EVERY, CHECKS_APART = 5000, 100

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
        self._lasts = hold_seconds + EXTENSION // 1000 + TO_SPARE
        times = Times(hold_seconds * 1000, CHECK_EVERY)
        #: makes them, one by one
        self.calls = Calls(provider, Asking(database, provider, address), times, self._lasts)
        self._lease = LEASE if provider.rate else LEASE_HERE
        self._wake = Event()
        self._stopping = False
        self._in_hand = 0
        self._probe_at = 0.0

    @classmethod
    def of(cls, settings: Settings, database: Database, provider: Provider) -> PaymentQueue:
        """Return the queue of a shop and its provider."""
        return cls(database, provider, settings.public_url or "", settings.hold_seconds)

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
            self._database.transact(self.calls.make(due))

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
        self.calls.check_every(max(CHECK_EVERY, outlook.active * CHECKS_APART))
        taken = self.take(most)
        self._open_here([due for due, _ in taken if self._opens_here(due)])
        for due, wait in taken:
            if not self._opens_here(due):
                self._in_hand += 1
                Thread(target=self._see_to, args=(due, wait), name="payment", daemon=True).start()
        return 0.0 if taken else EVERY

    def take(self, most: int) -> list[tuple[DuePayment, float]]:
        """Take what is due; return with each in how many seconds its call may be made.

        Args:
            most: how many at the most.
        """
        return self._database.transact(lambda tx: self._take(tx, most))

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
        if not self.calls.provider_is_away:
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

    def _opens_here(self, due: DuePayment) -> bool:
        """Tell whether a page is to be opened by a provider that waits for nobody."""
        return not self._provider.rate and call_of(due) == OPENING and not is_ending(due)

    def _open_here(self, dues: list[DuePayment]) -> None:
        """Open such pages, and write them down together.

        They lock carts and no items, so nobody waits for them in a circle.
        """
        works = [self.calls.make(due) for due in dues]
        if works:
            self._database.transact(lambda tx: [work(tx) for work in works])

    def _see_to(self, due: DuePayment, wait: float) -> None:
        """Make the call of one payment when it is its turn, and note what came of it."""
        try:
            time.sleep(wait)
            self._database.transact(self.calls.make(due))
        except (DBAPIError, DatabaseBusy) as error:
            log.debug("order %s is looked at again, the database is away: %s", due.number, error)
        except Exception:
            log.exception("order %s could not be looked at; it is looked at again", due.number)
        finally:
            self._in_hand -= 1
            self._wake.set()
