"""Stripe Checkout: the shopper pays on a page of Stripe's, and comes back.

As documented at https://docs.stripe.com/api/checkout/sessions: a session is opened, fetched and
expired; a request with the same idempotency key is answered as the first time for 24 hours.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import requests
import stripe
from requests.adapters import HTTPAdapter

from shop.config import Settings
from shop.payments import stripe_objects as objects
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
from shop.payments.stripe_amounts import check_currency, to_stripe

T = TypeVar("T")

#: How long a call may take, in seconds: to connect, and between two parts of an answer.
TIMEOUTS = (3.0, 7.0)

#: Stripe takes 100 requests a second, and a sandbox 25 (https://docs.stripe.com/rate-limits).
RATE = 20

#: How many rows Stripe gives at a time.
_PAGE = 100

#: How many connections are kept for the next calls.
_CONNECTIONS = 20

#: Stands in what Stripe says of an address that it doesn't take.
_EMAIL = re.compile(r"\S+@\S+")

#: What the library names as the cause of a call without an answer, such as "SSLError".
_CAUSE = re.compile(r"Network error: (\w+)")


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
            http_client=stripe.RequestsClient(timeout=TIMEOUTS, session=_connections()),
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
        key, params = f"order-{request.number}-{request.attempt}", objects.params(request)
        try:
            return self._create(params, key)
        except _EmailRefused:  # the shopper types one on the page, then
            del params["customer_email"]
            return self._create(params, f"{key}-no-email")

    def _create(self, params: Any, key: str) -> PaymentSession:
        options: Any = {"idempotency_key": key}
        sessions = self._client.v1.checkout.sessions
        return objects.session(self._call(lambda: sessions.create(params, options)))

    def fetch(self, session_id: str) -> PaymentSession:
        """Return a session as it is now."""
        params: Any = {"expand": ["payment_intent"]}
        sessions = self._client.v1.checkout.sessions
        return objects.session(self._call(lambda: sessions.retrieve(session_id, params)))

    def expire(self, session_id: str) -> PaymentSession:
        """End a session, unless it was paid before."""
        sessions = self._client.v1.checkout.sessions
        try:
            return objects.session(self._call(lambda: sessions.expire(session_id)))
        except ProviderRefused:
            found = self.fetch(session_id)
            if found.state == "open":
                raise
            return found

    def refund(self, payment: str, amount: int, currency: str, key: str) -> Refund:
        """Give money back, once for each key: also when Stripe has forgotten it after a day."""
        # One that failed is left behind: whoever asks again wants another try.
        tries = 0
        for made in self._refunds({"payment_intent": payment, "limit": _PAGE}):
            if getattr(made.metadata, "key", None) == key:
                if objects.refund(made).state != "failed":
                    return objects.refund(made)
                tries += 1
        params: Any = {
            "payment_intent": payment,
            "amount": to_stripe(amount, currency),
            "metadata": {"key": key},
        }
        options: Any = {"idempotency_key": f"{key}-{tries}" if tries else key}
        return objects.refund(self._call(lambda: self._client.v1.refunds.create(params, options)))

    def verify(self, body: bytes, signature: str) -> Message:
        """Read a message that came by the web; see https://docs.stripe.com/webhooks/signature."""
        try:
            event = stripe.Webhook.construct_event(body, signature, self._webhook_secret)
            is_of_session = event.type.startswith("checkout.session.")
            session_id = event.data.object["id"] if is_of_session else None
            if bool(event.livemode) != self.live:
                raise Forged
            return Message(str(event.id), session_id)
        except (stripe.SignatureVerificationError, ValueError, KeyError, AttributeError, TypeError):
            raise Forged from None

    def sessions(self, since: int) -> Iterator[PaymentSession]:
        """List the sessions opened since a moment, in seconds since 1970.

        What else is sold through the account, by a payment link or another program, is left out.
        """
        return self._sessions(since, {"expand": ["data.payment_intent"]})

    def open_sessions(self, since: int) -> Iterator[PaymentSession]:
        """List those of them that can still be paid."""
        return self._sessions(since, {"status": "open"})

    def _sessions(self, since: int, which: dict[str, Any]) -> Iterator[PaymentSession]:
        params = {"created": {"gte": since}, "limit": _PAGE, **which}
        for found in self._listed(self._client.v1.checkout.sessions.list, params):
            if getattr(found.metadata, "order", None):
                yield objects.session(found)

    def refunds(self, since: int) -> Iterator[Refund]:
        """List the refunds made since a moment, in seconds since 1970."""
        yield from map(objects.refund, self._refunds({"created": {"gte": since}, "limit": _PAGE}))

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
            about_email = error.param == "customer_email" or error.code == "email_invalid"
            kind = _EmailRefused if about_email else ProviderRefused
            raise kind(self._said(error)) from None
        except stripe.APIError as error:
            failed = ProviderFailed if _is_repeated(error) else ProviderAway
            raise failed(self._said(error)) from None
        except stripe.StripeError as error:  # no connection, too many calls, a key that is refused
            raise ProviderAway(self._said(error)) from None

    def _said(self, error: stripe.StripeError) -> str:
        """Return what an operator may read of an error: its kind, and Stripe's own words."""
        words = error.user_message or type(error).__name__
        if isinstance(error, stripe.APIConnectionError):  # the library's own, over five lines
            cause = _CAUSE.search(words)
            return f"no answer ({cause[1]})" if cause else "no answer"
        words = _EMAIL.sub("…", " ".join(words.split()).replace(self._key, "…"))
        return f"{words} (status {error.http_status})" if error.http_status else words


class _EmailRefused(ProviderRefused):
    """Stripe doesn't take the shopper's e-mail address."""


def _is_repeated(error: stripe.APIError) -> bool:
    """Tell whether Stripe answers the same to the same request from now on.

    So it does once it has begun to work on it, and says so in most cases: see
    https://docs.stripe.com/error-low-level. A gateway of it (502 to 504) has begun nothing; 409 is
    that the same request is still being answered.
    """
    headers = error.headers or {}
    if "stripe-should-retry" in headers:
        return bool(headers["stripe-should-retry"] == "false")
    return "idempotent-replayed" in headers or error.http_status == 500


def _connections() -> requests.Session:
    """Return connections that all threads share, each kept for the next call."""
    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=_CONNECTIONS))
    session.mount("http://", HTTPAdapter(pool_maxsize=_CONNECTIONS))
    return session
