"""Stripe Checkout: the shopper pays on a page of Stripe's, and comes back.

As documented at https://docs.stripe.com/api/checkout/sessions: a session is opened, fetched and
expired; a request with the same idempotency key is answered as the first time for 24 hours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import requests
import stripe
from stripe.checkout import Session as CheckoutSession

from shop.config import Settings
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
from shop.payments.stripe_amounts import check_currency, from_stripe, to_stripe

T = TypeVar("T")

#: How long a call may take, in seconds: to connect, and between two parts of an answer.
PATIENCE = (3.0, 7.0)

#: Stripe takes 100 requests a second, and a sandbox 25 (https://docs.stripe.com/rate-limits).
RATE = 20

#: A page shows no more lines than this.
_MOST_LINES = 100

#: How many rows Stripe gives at a time.
_PAGE = 100

#: How a payment stands that has failed, though its page was completed.
_FAILED = ("requires_payment_method", "canceled")

_REFUND_STATES = {"succeeded": "done", "failed": "failed", "canceled": "failed"}


class StripeProvider:
    """Takes the money through Stripe."""

    name = "stripe"
    rate = RATE

    def __init__(self, key: str, webhook_secret: str, api: str | None = None) -> None:
        """Take the secrets of an account, and the base address of its API if it isn't Stripe's."""
        self._key = key
        self._webhook_secret = webhook_secret
        self.live = not key.startswith(("sk_test_", "rk_test_"))
        # Its lines tell of every call, and the finer ones of shoppers.
        logging.getLogger("stripe").setLevel(logging.WARNING)
        stripe.enable_telemetry = False
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": api} if api else {},
            max_network_retries=0,  # the shop's queue makes calls again
            http_client=stripe.RequestsClient(timeout=PATIENCE, session=requests.Session()),
        )

    @classmethod
    def of(cls, settings: Settings) -> StripeProvider:
        """Return the provider that the settings name.

        Raises:
            SettingError: it doesn't take the shop's currency.
        """
        check_currency(settings.currency)
        return cls(
            settings.stripe_key or "", settings.stripe_webhook_secret or "", settings.stripe_api
        )

    def open(self, request: PaymentRequest) -> PaymentSession:
        """Open a payment page."""
        params: Any = {
            "mode": "payment",
            "client_reference_id": request.number,
            "customer_email": request.email,
            "line_items": _line_items(request),
            "payment_intent_data": {"metadata": {"order": request.number}},
            "expires_at": request.ends_at,
            "success_url": request.success_url,
            "cancel_url": request.cancel_url,
            "expand": ["payment_intent"],
        }
        options: Any = {"idempotency_key": f"order-{request.number}-{request.attempt}"}
        sessions = self._client.v1.checkout.sessions
        return _session(self._call(lambda: sessions.create(params, options)))

    def fetch(self, session_id: str) -> PaymentSession:
        """Return a session as it is now."""
        params: Any = {"expand": ["payment_intent"]}
        sessions = self._client.v1.checkout.sessions
        return _session(self._call(lambda: sessions.retrieve(session_id, params)))

    def expire(self, session_id: str) -> PaymentSession:
        """End a session, unless it was paid before."""
        try:
            self._call(lambda: self._client.v1.checkout.sessions.expire(session_id))
        except ProviderRefused:
            found = self.fetch(session_id)
            if found.state == "open":
                raise
            return found
        return self.fetch(session_id)

    def refund(self, payment: str, amount: int, currency: str, key: str) -> Refund:
        """Give money back, once for each key: also when Stripe has forgotten it after a day."""
        # One that failed is left behind: whoever asks again wants another try.
        tries = 0
        for made in self._refunds({"payment_intent": payment, "limit": _PAGE}):
            if getattr(made.metadata, "key", None) == key:
                if _refund(made).state != "failed":
                    return _refund(made)
                tries += 1
        params: Any = {
            "payment_intent": payment,
            "amount": to_stripe(amount, currency),
            "metadata": {"key": key},
        }
        options: Any = {"idempotency_key": f"{key}-{tries}" if tries else key}
        return _refund(self._call(lambda: self._client.v1.refunds.create(params, options)))

    def verify(self, body: bytes, signature: str) -> Message:
        """Read a message that came by the web; see https://docs.stripe.com/webhooks/signature."""
        try:
            event = stripe.Webhook.construct_event(body, signature, self._webhook_secret)
            kind, told = str(event.type), event.data.object
            session_id = told["id"] if kind.startswith("checkout.session.") else None
            if bool(event.livemode) != self.live:
                raise Forged
            return Message(str(event.id), kind, session_id)
        except (stripe.SignatureVerificationError, ValueError, KeyError, AttributeError, TypeError):
            raise Forged from None

    def sessions(self, since: int) -> Iterator[PaymentSession]:
        """List the sessions opened since a moment, in seconds since 1970."""
        params: Any = {
            "created": {"gte": since},
            "limit": _PAGE,
            "expand": ["data.payment_intent"],
        }
        yield from map(_session, self._listed(self._client.v1.checkout.sessions.list, params))

    def refunds(self, since: int) -> Iterator[Refund]:
        """List the refunds made since a moment, in seconds since 1970."""
        yield from map(_refund, self._refunds({"created": {"gte": since}, "limit": _PAGE}))

    def _refunds(self, params: Any) -> Iterator[Any]:
        return self._listed(self._client.v1.refunds.list, params)

    def _listed(self, ask: Callable[[Any], Any], params: Any) -> Iterator[Any]:
        """Give all rows of a list, page by page."""
        rows = iter(self._call(lambda: ask(params)).auto_paging_iter())
        while (row := self._call(lambda: next(rows, None))) is not None:
            yield row

    def _call(self, ask: Callable[[], T]) -> T:
        """Ask Stripe, and put what it fails by into the shop's words."""
        try:
            return ask()
        except stripe.IdempotencyError as error:
            raise ProviderFailed(self._said(error)) from None
        except (stripe.InvalidRequestError, stripe.CardError) as error:
            raise ProviderRefused(self._said(error)) from None
        except stripe.APIError as error:
            # 409: the same request is still being answered.
            kind = ProviderAway if error.http_status == 409 else ProviderFailed
            raise kind(self._said(error)) from None
        except stripe.StripeError as error:  # no connection, too many calls, a key that is refused
            raise ProviderAway(self._said(error)) from None

    def _said(self, error: stripe.StripeError) -> str:
        """Return what an operator may read of an error: its kind, and Stripe's own words."""
        words = (error.user_message or type(error).__name__).replace(self._key, "…")
        return f"{words} (status {error.http_status})" if error.http_status else words


def _line_items(request: PaymentRequest) -> list[dict[str, Any]]:
    lines = [(line.name, line.amount, line.quantity) for line in request.lines]
    if len(lines) > _MOST_LINES:
        lines = [(f"Order {request.number}", request.amount, 1)]
    return [
        {
            "quantity": quantity,
            "price_data": {
                "currency": request.currency.lower(),
                "unit_amount": to_stripe(amount, request.currency),
                "product_data": {"name": name},
            },
        }
        for name, amount, quantity in lines
    ]


def _session(found: CheckoutSession) -> PaymentSession:
    currency = (found.currency or "").upper()
    intent: Any = found.payment_intent
    return PaymentSession(
        id=found.id,
        url=found.url,
        state=_state(found, intent),
        number=found.client_reference_id or "",
        amount=from_stripe(found.amount_total or 0, currency),
        currency=currency,
        live=bool(found.livemode),
        payment=intent if intent is None or isinstance(intent, str) else intent.id,
    )


def _state(found: CheckoutSession, intent: Any) -> Any:
    if found.status != "complete":
        return "open" if found.status == "open" else "expired"
    if found.payment_status != "unpaid":
        return "paid"
    return "expired" if getattr(intent, "status", None) in _FAILED else "pending"


def _refund(made: stripe.Refund) -> Refund:
    state: Any = _REFUND_STATES.get(made.status or "", "pending")
    amount = from_stripe(made.amount, made.currency.upper())
    intent = made.payment_intent
    payment = intent if isinstance(intent, str) else getattr(intent, "id", "")
    return Refund(made.id, payment or "", amount, state)
