"""What templates know of the shop: its name, its money, its words."""

from __future__ import annotations

import json
from urllib.parse import quote

from flask import Flask

from shop.config import Settings
from shop.moments import at, in_words, moment_in_utc, span
from shop.money import format_money
from shop.product_views import ProductView
from shop.render.fragments import LEVEL_WORDS

#: For a strict policy nothing is evaluated or styled by script. A dismissed notice stays dismissed
#: when it is morphed. An action whose answer got lost on the way is given up after 10 s, that its
#: button works again.
HTMX_CONFIG = {
    "defaultTimeout": 10_000,
    "history": False,
    "includeIndicatorCSS": False,
    "morphIgnore": ["data-htmx-powered", "data-dismissed", "data-in-cart", "data-price-changed"],
}


#: What the page of an order says by its state: in a word, and what comes next.
ORDER_WORDS = {
    "held": ("Held for you", "It is yours once it is paid."),
    "in_doubt": ("Being checked", "We are asking whether your payment came through."),
    "placed": ("They’re yours", "Placed. It is sent once it is paid."),
    "paid": ("They’re yours", "Paid. It is sent next."),
    "fulfilled": ("On its way", "Sent."),
    "expired": ("Not bought", "It was not paid in time. Nothing was charged."),
    "cancelled": ("Cancelled", "This order was cancelled."),
    "returned": ("Returned", "It came back to us."),
}


def install_template_globals(app: Flask, settings: Settings) -> None:
    """Give templates their functions and words."""
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.globals.update(
        shop_name=settings.name,
        htmx_config=json.dumps(HTMX_CONFIG, separators=(",", ":")),
        level_words=LEVEL_WORDS,
        order_words=ORDER_WORDS,
        max_per_order=settings.max_per_order,
        max_per_customer=settings.max_per_customer,
        at=at,
        in_words=in_words,
        moment_in_utc=moment_in_utc,
        span=span,
        longest=lambda texts: max(map(len, texts), default=0),
        money=lambda amount, currency=settings.currency: format_money(amount, currency),
        product_url=lambda product: _product_url(product),
    )


def _product_url(product: ProductView) -> str:
    return f"/products/{quote(product.sku, safe='')}"
