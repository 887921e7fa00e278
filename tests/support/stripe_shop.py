"""A shop that takes money through Stripe's library, and the double that it takes for Stripe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.databases import Databases, shop_in
from tests.support.running import RunningShop
from tests.support.stripe_double import KEY, SECRET, Faults, StripeDouble


def settings_for(double: StripeDouble) -> dict[str, str]:
    """Return by what a shop knows a double, but for its own address."""
    return {
        "SHOP_DEMO": "off",
        "SHOP_PAYMENTS": "stripe",
        "SHOP_STRIPE_API": double.url,
        "SHOP_STRIPE_KEY": KEY,
        "SHOP_STRIPE_WEBHOOK_SECRET": SECRET,
    }


@contextmanager
def shop_with_stripe(dbms: Databases, folder: Path) -> Iterator[tuple[RunningShop, StripeDouble]]:
    """Give a shop after the drop, and its Stripe; their books have to agree at the end."""
    with (
        StripeDouble().serving() as double,
        shop_in(dbms, folder, "released", **settings_for(double)) as shop,
    ):
        shop.environ["SHOP_PUBLIC_URL"] = shop.url
        double.webhook = f"{shop.url}/payments/stripe"
        yield shop.start(), double
        double.faults = Faults()
        shop.flask("check", "--provider")
