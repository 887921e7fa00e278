"""A provider in the memory of a test, which breaks as it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal, TypeVar

from shop.payments.provider import (
    Forged,
    Message,
    PaymentRequest,
    PaymentSession,
    ProviderAway,
    ProviderFailed,
    ProviderRefused,
    Refund,
)

State = Literal["open", "pending", "paid", "expired"]

T = TypeVar("T")

#: How the next call goes: as it should; there is no answer, and nothing was done, or it was done;
#: an error of the provider's own, with nothing done, or done all the same.
OK, AWAY, LOST, FAILED, FAILED_BUT_DONE = "ok", "away", "lost", "failed", "failed but done"
FAULTS = (AWAY, LOST, FAILED, FAILED_BUT_DONE)


class FakeProvider:
    """Keeps its books as a provider does."""

    name = "fake"
    live = False
    rate = 0

    def __init__(self, *, idempotent: bool = True) -> None:
        self.pages: dict[str, PaymentSession] = {}
        self.paid_back: dict[str, Refund] = {}
        #: how the next call goes
        self.next = OK
        self._idempotent = idempotent
        self._opened: dict[tuple[str, int], str] = {}
        self._broken: set[tuple[str, int]] = set()

    def open(self, request: PaymentRequest) -> PaymentSession:
        """Open a page, or give the one that the same request opened."""
        key = (request.number, request.attempt)
        if key in self._broken:
            raise ProviderFailed("an error, as before")
        if self.next in (FAILED, FAILED_BUT_DONE):
            self._broken.add(key)
        return self._do(lambda: self._open(request, key))

    def _open(self, request: PaymentRequest, key: tuple[str, int]) -> PaymentSession:
        if self._idempotent and key in self._opened:
            return self.pages[self._opened[key]]
        page = PaymentSession(
            id=f"page-{len(self.pages)}",
            url=f"/page-{len(self.pages)}",
            state="open",
            number=request.number,
            amount=request.amount,
            currency=request.currency,
            live=False,
        )
        self.pages[page.id] = page
        self._opened[key] = page.id
        return page

    def fetch(self, session_id: str) -> PaymentSession:
        """Give a session as it is."""
        return self._do(lambda: self.pages[session_id])

    def expire(self, session_id: str) -> PaymentSession:
        """End a session that nothing came of yet."""

        def end() -> PaymentSession:
            if self.pages[session_id].state == "open":
                self._change(session_id, "expired")
            return self.pages[session_id]

        return self._do(end)

    def refund(self, payment: str, amount: int, currency: str, key: str) -> Refund:
        """Pay back."""

        def pay_back() -> Refund:
            name = key if self._idempotent else f"{key}-{len(self.paid_back)}"
            return self.paid_back.setdefault(name, Refund(name, payment, amount, "done"))

        return self._do(pay_back)

    def verify(self, body: bytes, signature: str) -> Message:
        """Send nothing."""
        raise Forged

    def sessions(self, since: int) -> Iterator[PaymentSession]:
        """List all."""
        return iter(list(self.pages.values()))

    def open_sessions(self, since: int) -> Iterator[PaymentSession]:
        """List those that can be paid."""
        return (page for page in self.sessions(since) if page.state == "open")

    def refunds(self, since: int) -> Iterator[Refund]:
        """List all."""
        return iter(list(self.paid_back.values()))

    # --- What shoppers do on its pages --------------------------------------------------------

    def pay(self, session_id: str, *, delayed: bool = False) -> None:
        """Pay, if it can still be paid."""
        if self.pages[session_id].state == "open":
            self._change(session_id, "pending" if delayed else "paid")

    def come_through(self, session_id: str, *, paid: bool) -> None:
        """Have the money that was on its way be there, or never come."""
        if self.pages[session_id].state == "pending":
            self._change(session_id, "paid" if paid else "expired")

    def taken(self, number: str) -> int:
        """Return the money that it has of an order, less what went back."""
        paid = [p for p in self.pages.values() if p.number == number and p.state == "paid"]
        back = [r for r in self.paid_back.values() if r.payment in [p.payment for p in paid]]
        return sum(p.amount for p in paid) - sum(r.amount for r in back)

    def can_be_paid(self, number: str) -> bool:
        """Tell whether an order can be paid, or is being."""
        states = {page.state for page in self.pages.values() if page.number == number}
        return bool(states & {"open", "pending"})

    def _change(self, session_id: str, state: State) -> None:
        page = self.pages[session_id]
        payment = f"money-of-{session_id}" if state == "paid" else None
        self.pages[session_id] = replace(page, state=state, url=None, payment=payment)

    def _do(self, work: Callable[[], T]) -> T:
        """Do what is asked as the next call is to go."""
        how, self.next = self.next, OK
        if how == AWAY:
            raise ProviderAway("no answer")
        if how == FAILED:
            raise ProviderFailed("an error")
        done = work()
        if how == LOST:
            raise ProviderAway("the answer was lost")
        if how == FAILED_BUT_DONE:
            raise ProviderFailed("an error, after it was done")
        return done


class RefusingProvider(FakeProvider):
    """Says no to everything."""

    def _do(self, work: Callable[[], T]) -> T:
        raise ProviderRefused("not for this account")
