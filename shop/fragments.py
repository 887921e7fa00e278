"""Rendering the partials: for pages, answers and streams alike, once per (thing, version)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any

from babel.numbers import format_currency, get_currency_precision
from jinja2 import Environment
from markupsafe import Markup

from shop.carts import CartView, Line
from shop.inventory import HIGH, LOW, MEDIUM, OUT, ProductView

#: What a shopper reads of a level.
LEVEL_WORDS = {HIGH: "in stock", MEDIUM: "selling", LOW: "few left", OUT: "sold out"}

#: How many renderings are kept of each kind of thing.
_KEPT = 4096


@lru_cache(maxsize=1024)
def format_money(amount: int, currency: str) -> str:
    """Write an amount in minor units of a currency (ISO 4217) as a shopper reads it."""
    digits = get_currency_precision(currency)
    return format_currency(amount / 10**digits, currency, locale="en_US")


class Fragments:
    """The partials of one app, rendered and kept."""

    def __init__(self, jinja: Environment) -> None:
        self._jinja = jinja
        self._kept: OrderedDict[Hashable, Markup] = OrderedDict()

    def stock(self, product: ProductView) -> Markup:
        """Render the live part of a product: its price, and its sizes or "coming soon"."""
        return self._once(
            ("stock", product.id, product.version, product.gone),
            lambda: self._render("_stock.html", product=product),
        )

    def listing(self, product: ProductView, heading: str) -> Markup:
        """Render a whole product under a heading, "h1" or "h2"."""
        return self._once(
            ("listing", product.id, product.version, heading),
            lambda: self._render(
                "_product.html",
                product=product,
                heading=heading,
                stock_html=self.stock(product),
            ),
        )

    def line(self, line: Line) -> Markup:
        """Render a line of a cart: the same for every cart that holds the item."""
        return self._once(
            ("line", line.item.id, line.product.version, line.item.version),
            lambda: self._render("_cart_line.html", line=line),
        )

    def cart(self, cart: CartView) -> Markup:
        """Render the cart's root."""
        return self._render("_cart.html", cart=cart, lines_html=self.lines(cart))

    def lines(self, cart: CartView) -> list[Markup]:
        """Render the lines of a cart, to be put into its root."""
        return [self.line(line) for line in cart.lines]

    def stock_message(self, product: ProductView) -> str:
        """Render what tells a tab of a product."""
        return _partial(f"#stock-{product.id}", self.stock(product))

    def cart_message(self, cart: CartView) -> str:
        """Render what tells a tab of its cart: everything on a page that shows a part of it."""
        return "".join(
            (
                _partial("#cart", self.cart(cart)),
                _partial("#notices-cart", self._render("_notices_cart.html", cart=cart)),
                _partial("#cart-bar", self._render("_cart_bar.html", cart=cart)),
                _partial("#purchase-area", self._render("_purchase.html", cart=cart)),
            )
        )

    def notices_message(self, notices: list[Any]) -> str:
        """Render what tells the acting tab how its action went."""
        return _partial("#notices-action", self._render("_notices_action.html", notices=notices))

    def _render(self, template: str, **values: object) -> Markup:
        html = self._jinja.get_template(template).render(values).strip()
        return Markup(html)  # noqa: S704  (templates escape what they are given)

    def _once(self, key: Hashable, render: Callable[[], Markup]) -> Markup:
        html = self._kept.get(key)
        if html is None:
            html = self._kept[key] = render()
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return html


def _partial(target: str, html: Markup) -> str:
    return f'<hx-partial hx-target="{target}" hx-swap="outerMorph">{html}</hx-partial>'
