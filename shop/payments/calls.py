"""One call of the provider for one payment, and what is written down of it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from functools import partial

from shop.db import Transaction
from shop.models.ledger import SHOP
from shop.models.payment import NO_PAGE
from shop.models.payment_queue import DuePayment, check_later, try_again
from shop.payments.asking import Asking, is_ending
from shop.payments.holds import end_hold
from shop.payments.provider import (
    PaymentSession,
    Provider,
    ProviderAway,
    ProviderFailed,
    ProviderRefused,
)
from shop.payments.settling import Mismatch, Times, doubt, end, settle

log = logging.getLogger(__name__)

#: What is written once the provider was asked.
Work = Callable[[Transaction], None]

#: How many pages are asked for in vain until an order is given up.
MOST_ATTEMPTS = 3

#: After how long a call that had no answer is made again, in milliseconds: at first, and at most.
AGAIN = (250, 10_000)

#: More characters than are kept of what a call failed by.
_LONGEST_ERROR = 300


class Calls:
    """Makes the calls of a shop's payments."""

    def __init__(self, provider: Provider, asking: Asking, times: Times, lasts: int) -> None:
        """Take for how long one is to be able to pay on a page, in seconds."""
        self._provider = provider
        self._asking = asking
        self._times = times
        self._lasts = lasts
        #: whether the last call had no answer
        self.provider_is_away = False

    def check_every(self, milliseconds: int) -> None:
        """Say how often an open payment is looked at from now on."""
        self._times = self._times._replace(every=milliseconds)

    def make(self, due: DuePayment) -> Work:
        """Ask the provider, outside every transaction; return what is to be written then."""
        if is_ending(due) and due.attempt == 0:  # no page was ever asked for
            return partial(end, order_id=due.order_id)
        try:
            session = self._asking.ask(due)
        except ProviderAway as error:
            return self._no_answer(due, error)
        except ProviderRefused as error:
            return self._refused(due, error)
        if self.provider_is_away:
            log.info("payments go on: %s answers again", self._provider.name)
        self.provider_is_away = False
        return partial(self._settle, due=due, session=session)

    def _settle(self, transaction: Transaction, due: DuePayment, session: PaymentSession) -> None:
        try:
            settle(transaction, due.order_id, session, self._times)
        except Mismatch as error:
            log.error("a payment is not what was asked for: %s", str(error))
            check_later(transaction, due.order_id, AGAIN[1], str(error)[:_LONGEST_ERROR])

    def _no_answer(self, due: DuePayment, error: ProviderAway) -> Work:
        said = str(error)[:_LONGEST_ERROR] or "no answer"
        if not self.provider_is_away and not isinstance(error, ProviderFailed):
            log.warning("payments wait, %s does not answer: %s", self._provider.name, said)
            self.provider_is_away = True
        delay = min(AGAIN[0] * 2 ** min(due.failures, 10), AGAIN[1])
        delay = int(delay * random.uniform(0.5, 1.0))

        def work(transaction: Transaction) -> None:
            if is_ending(due):
                doubt(transaction, due.order_id, "the payment provider does not answer")
            if isinstance(error, ProviderFailed) and due.session_id is None:
                try_again(transaction, due.order_id, self._lasts, said)
            else:
                check_later(transaction, due.order_id, delay, said)

        return work

    def _refused(self, due: DuePayment, error: ProviderRefused) -> Work:
        """Ask for a page under another name some times; then the order can't be paid for."""
        said = str(error)[:_LONGEST_ERROR]
        log.error("%s refuses order %s: %s", self._provider.name, due.number, said)
        order_id = due.order_id
        if due.session_id is not None:
            return partial(check_later, order_id=order_id, delay=AGAIN[1], error=said)
        if due.attempt < MOST_ATTEMPTS and not is_ending(due):
            return partial(try_again, order_id=order_id, lasts=self._lasts, error=said)
        try:
            self._asking.end_pages(due)
        except (ProviderAway, ProviderRefused) as error_then:
            return partial(check_later, order_id=order_id, delay=AGAIN[1], error=str(error_then))
        return partial(_end_without_page, order_id=order_id)


def _end_without_page(transaction: Transaction, order_id: int) -> None:
    end_hold(transaction, order_id, NO_PAGE, who=SHOP, why=_NO_PAGE)
    end(transaction, order_id)


_NO_PAGE = "no payment page could be opened"
