"""What Stripe is asked for, and what it answers, in the shop's own terms.

See https://docs.stripe.com/api/checkout/sessions/object and .../api/refunds/object.
"""

from __future__ import annotations

from typing import Any

from stripe import Refund as StripeRefund
from stripe.checkout import Session as CheckoutSession

from shop.payments.provider import PaymentRequest, PaymentSession, Refund
from shop.payments.stripe_amounts import from_stripe, to_stripe

#: A page shows no more lines than this.
_MOST_LINES = 100

#: How a payment stands that has failed, though its page was completed.
_FAILED = ("requires_payment_method", "canceled")

_REFUND_STATES = {"succeeded": "done", "failed": "failed", "canceled": "failed"}


def params(request: PaymentRequest) -> Any:
    """Return what Stripe is asked for a payment page by."""
    marked = {"order": request.number}
    return {
        "mode": "payment",
        "client_reference_id": request.number,
        "customer_email": request.email,
        "line_items": _line_items(request),
        "metadata": marked,
        "payment_intent_data": {"metadata": marked},
        # The shopper pays the amount and the currency that the order has, whatever the account's
        # default is: https://docs.stripe.com/payments/checkout/adaptive-pricing
        "adaptive_pricing": {"enabled": False},
        "expires_at": request.ends_at,
        "success_url": request.success_url,
        "cancel_url": request.cancel_url,
        "expand": ["payment_intent"],
    }


def _line_items(request: PaymentRequest) -> list[dict[str, Any]]:
    lines = [(line.name, line.amount) for line in request.lines]
    if len(lines) > _MOST_LINES:
        lines = [(f"Order {request.number}", request.amount)]
    return [
        {
            "quantity": 1,
            "price_data": {
                "currency": request.currency.lower(),
                "unit_amount": to_stripe(amount, request.currency),
                "product_data": {"name": name},
            },
        }
        for name, amount in lines
    ]


def session(found: CheckoutSession) -> PaymentSession:
    """Return a session as the shop has it."""
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
    if found.status != "complete":  # what Stripe doesn't call expired is asked for again
        return "expired" if found.status == "expired" else "open"
    if found.payment_status != "unpaid":
        return "paid"
    return "expired" if getattr(intent, "status", None) in _FAILED else "pending"


def refund(made: StripeRefund) -> Refund:
    """Return a refund as the shop has it."""
    state: Any = _REFUND_STATES.get(made.status or "", "pending")
    amount = from_stripe(made.amount, made.currency.upper())
    intent = made.payment_intent
    payment = intent if isinstance(intent, str) else getattr(intent, "id", "")
    return Refund(made.id, payment or "", amount, state)
