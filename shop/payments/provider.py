"""What the shop asks of whoever takes the money: one small protocol.

A provider is never called inside a transaction, and what it answers is believed of nobody else: a
webhook or a shopper who comes back only has the shop ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol


class ProviderAway(Exception):
    """There is no answer: nothing is known, and the same is asked again."""


class ProviderFailed(ProviderAway):
    """It answered by an error of its own, which it repeats for the same request."""


class ProviderRefused(Exception):
    """The provider says no for good. Its text is for an operator to read."""


class Forged(Exception):
    """A message that is not the provider's."""


@dataclass(frozen=True, slots=True)
class PaymentLine:
    """What a shopper pays for, as a line on the payment page."""

    name: str
    #: in minor units of the currency
    amount: int


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What a payment page is to be opened for. Asked twice with the same, it is the same page."""

    #: the order's
    number: str
    #: which try this is, counted from 1: number and attempt name the request
    attempt: int
    #: in minor units of the currency; what the lines come to
    amount: int
    currency: str
    email: str
    lines: tuple[PaymentLine, ...]
    #: where the shopper is sent when they have paid, and when they leave
    success_url: str
    cancel_url: str
    #: until when it must be possible to pay, in seconds since 1970
    ends_at: int


@dataclass(frozen=True, slots=True)
class PaymentSession:
    """A payment page and what came of it, as the provider says."""

    id: str
    #: where it can be paid; None: it can't be any more
    url: str | None
    #: `pending`: the shopper has done it, the money is on its way
    state: Literal["open", "pending", "paid", "expired"]
    #: the order's
    number: str
    #: in minor units of the currency
    amount: int
    currency: str
    #: whether real money moves
    live: bool
    #: by what a refund names the payment; None: there is none yet
    payment: str | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that went back, as the provider says."""

    id: str
    #: of which payment
    payment: str
    #: in minor units of the payment's currency
    amount: int
    state: Literal["pending", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Message:
    """What a provider sends by itself, its signature found right."""

    id: str
    #: of which session it tells; None: of none
    session_id: str | None


class Provider(Protocol):
    """Takes the money. Each call may raise `ProviderAway` and `ProviderRefused`."""

    #: as SHOP_PAYMENTS names it
    name: str
    #: whether real money moves
    live: bool
    #: how many calls of a kind it takes in a second, over all processes; 0: as many as there are
    rate: int

    def open(self, request: PaymentRequest) -> PaymentSession:
        """Open a payment page, or return the one that the same request opened before."""

    def fetch(self, session_id: str) -> PaymentSession:
        """Return a session as it is now."""

    def expire(self, session_id: str) -> PaymentSession:
        """See to it that a session can't be paid any more; return what it came to.

        One that was paid before is no error: it stays so.
        """

    def refund(self, payment: str, amount: int, currency: str, key: str) -> Refund:
        """Give money back, once for each key.

        Args:
            amount: in minor units of the currency.
        """

    def verify(self, body: bytes, signature: str) -> Message:
        """Read a message that came by the web.

        Raises:
            Forged: it is not the provider's, or too old.
        """

    def sessions(self, since: int) -> Iterator[PaymentSession]:
        """List all sessions opened since a moment, in seconds since 1970, the newest first."""

    def open_sessions(self, since: int) -> Iterator[PaymentSession]:
        """List those of them that can still be paid."""

    def refunds(self, since: int) -> Iterator[Refund]:
        """List all refunds made since a moment, in seconds since 1970, the newest first."""
