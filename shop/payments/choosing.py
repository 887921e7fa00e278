"""Which provider takes a shop's money: the one place that knows them all."""

from __future__ import annotations

from importlib import import_module

from shop.config import Settings
from shop.db import Database
from shop.payments.demo import DemoProvider
from shop.payments.provider import Provider


def choose_provider(settings: Settings, database: Database) -> Provider | None:
    """Return the provider that SHOP_PAYMENTS names; None: orders are paid outside."""
    if settings.payments == "demo":
        return DemoProvider(database, settings.secret_keys)
    if settings.payments == "stripe":
        stripe = import_module("shop.payments.stripe")  # heavy, and of no use to others
        provider: Provider = stripe.StripeProvider.of(settings)
        return provider
    return None
