"""Rendering the partials: for pages, answers and streams alike, once per (thing, version)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from jinja2 import Environment
from markupsafe import Markup

from shop.cart_views import CartContents, CartView, Line
from shop.catalog_views import ProductList
from shop.costs import NO_COSTS, CostTable
from shop.framing import Message, Template
from shop.orders import OrderView
from shop.product_views import HIGH, LOW, MEDIUM, OUT, ProductView
from shop.render.cache import RenderCache
from shop.render.cart_parts import PLACEHOLDERS, PageParts, PartTemplates, hx_partial

#: What a shopper reads of a level.
LEVEL_WORDS = {HIGH: "in stock", MEDIUM: "going fast", LOW: "few left", OUT: "sold out"}

Rendered = TypeVar("Rendered")

_NOTHING = Markup("")


#: The placeholders in what tabs show in the place of a product that was taken out of the shop.
_GONE_PLACEHOLDERS = {"id": "\ufdd0", "version": "\ufdd1"}


class Fragments:
    """The partials of one app, rendered and cached."""

    def __init__(self, jinja: Environment, cache: RenderCache, costs: CostTable = NO_COSTS) -> None:
        """Take what renders, what keeps it, and what is asked for shipping and as tax."""
        self._jinja = jinja
        self._costs = costs
        self._cache = cache

    def stock(self, product: ProductView) -> Markup:
        """Render the live part of a product: its price, and its sizes or "coming soon"."""
        return self._once(
            ("stock", product.id, product.version),
            lambda: self._render("_stock.html", product=product),
        )

    def listing(self, product: ProductView, heading: str, *, first: bool = False) -> Markup:
        """Render a whole product under a heading, "h1" or "h2".

        Args:
            first: whether its picture is the first one of a page, which a browser loads at once.
        """
        return self._once(
            ("listing", product.id, product.version, heading, first),
            lambda: self._render(
                "_product.html",
                product=product,
                heading=heading,
                first=first,
                stock_html=self.stock(product),
            ),
        )

    def list(self, shown: ProductList) -> Markup:
        """Render a page of the list of products, without what stands around it."""
        return self._once(
            ("list", shown.number, shown.list_version, *(p.version for p in shown.products)),
            lambda: self._render(
                "_products.html",
                products=shown.products,
                version=shown.version,
                heading="h2",
                listing=self.listing,
                number=shown.number,
                pages=shown.pages,
            ),
        )

    def detail(
        self, product: ProductView | None, version: int, description: Markup = _NOTHING
    ) -> Markup:
        """Render all of a product on its own page, or that it is gone.

        Args:
            version: of its being gone.
            description: the product's, made safe.
        """
        shown = () if product is None else (product,)
        known = version if product is None else product.version
        return self._once(
            ("detail", product and product.id, known),
            lambda: self._render(
                "_products.html",
                products=shown,
                version=known,
                heading="h1",
                listing=self.listing,
                description=description,
            ),
        )

    def list_message(self, shown: ProductList) -> Message:
        """Render what tells a tab of all products that its page lists."""
        return Message(hx_partial("#products", self.list(shown)))

    def detail_message(
        self, product: ProductView | None, version: int, description: Markup = _NOTHING
    ) -> Message:
        """Render what tells a tab of all that its page shows of a product."""
        return Message(hx_partial("#products", self.detail(product, version, description)))

    def line(self, line: Line) -> Markup:
        """Render a line of a cart: the same for every cart that holds the item."""
        return self._once(
            ("line", line.item.id, line.product.version, line.item.version),
            lambda: self._render("_cart_line.html", line=line),
        )

    def cart(self, cart: CartView) -> PageParts:
        """Render a cart for a page."""
        values, templates = self._cart_values(cart), self._cart_templates(cart.contents)
        return PageParts(*(Markup(part.text(values)) for part in templates.parts))  # noqa: S704

    def stock_message(self, product: ProductView) -> Message:
        """Render what tells a tab of a product."""
        return self._once(
            ("stock message", product.id, product.version),
            lambda: Message(hx_partial(f"#stock-{product.id}", self.stock(product))),
        )

    def gone_message(self, product_id: int, version: int) -> Message:
        """Render what tells a tab that a product is not in the shop; rendered once for all."""
        gone: Template = self._once(("gone",), self._render_gone)
        return gone.fill(id=str(product_id), version=str(version))

    def _render_gone(self) -> Template:
        html = self._render("_stock_gone.html", **_GONE_PLACEHOLDERS)
        return Template(hx_partial(f"#stock-{_GONE_PLACEHOLDERS['id']}", html), _GONE_PLACEHOLDERS)

    def cart_message(self, cart: CartView) -> Message:
        """Render what tells a tab of its cart: everything on a page that shows a part of it."""
        return self._cart_templates(cart.contents).message.fill(**self._cart_values(cart))

    def _cart_values(self, cart: CartView) -> dict[str, str]:
        """Return what fills the placeholders: how a cart differs from others that hold the same.

        The stamp says of an element whose cart it shows, and how new.
        """
        stamp = f'data-version="{cart.version}" data-cart-ref="{cart.ref}"'
        hold = "" if cart.hold is None else self._hold_notice(cart.hold)
        return {"stamp": stamp, "purchase": str(cart.purchases), "hold": hold}

    def _hold_notice(self, hold: int) -> str:
        """Render that what was bought is held, or was: in one line, as it fills a placeholder."""
        return self._once(
            ("hold", hold),
            lambda: self._render("_hold_notice.html", hold=hold).replace("\n", ""),
        )

    def _cart_templates(self, contents: CartContents) -> PartTemplates:
        """Render all that is shown of a cart, whosever it is."""
        return self._once(("cart", contents.key), lambda: self._render_cart(contents))

    def _render_cart(self, contents: CartContents) -> PartTemplates:
        known = {"cart": contents, **PLACEHOLDERS}
        parts = PageParts(
            root=self._render("_cart.html", lines_html=map(self.line, contents.lines), **known),
            notices=self._render("_notices_cart.html", **known),
            bar=self._render("_cart_bar.html", **known),
            purchase=self._render("_purchase.html", **self._cost_of(contents), **known),
        )
        return PartTemplates.of(parts)

    def _cost_of(self, contents: CartContents) -> dict[str, object]:
        """Return what a cart comes to, in each group of countries: the page shows that of one."""
        prices = [line.product.price for line in contents.lines if not line.closed]
        groups = self._costs.groups or (None,)
        costs = [(group, self._costs.costs_in(group, prices)) for group in groups]
        return {"costs": costs, "cost_table": self._costs}

    def clock(self, now: int | str) -> Markup:
        """Render what time it is, in milliseconds since 1970: pages count down by it."""
        return self._render("_clock.html", now=now)

    def clock_message(self, now: int) -> str:
        """Render what tells a tab the time."""
        return hx_partial("#clock", self.clock(now))

    def order(self, view: OrderView) -> Markup:
        """Render an order for its page: its state, and what was bought."""
        return self._render("_order.html", order=view.order, version=view.version)

    def order_message(self, view: OrderView) -> Message:
        """Render what tells the tabs of an order's page of a change."""
        hold = hx_partial("#hold", self.hold(view)) if view.payment is not None else ""
        return Message(hx_partial("#order", self.order(view)) + hold)

    def hold(self, view: OrderView) -> Markup:
        """Render what is held while it is paid for, and what came of it."""
        values = {"order": view.order, "payment": view.payment, "version": view.version}
        return self._render("_hold.html", **values)

    def notices(self, notices: Sequence[Any]) -> Markup:
        """Render what the acting tab, or the next page, says of an action; mostly nothing."""
        if not notices:
            return self._once(("no notices",), lambda: self._render("_notices_action.html"))
        return self._render("_notices_action.html", notices=notices)

    def notices_message(self, notices: Sequence[Any]) -> str:
        """Render what tells the acting tab how its action went."""
        return hx_partial("#notices-action", self.notices(notices))

    def _render(self, template: str, **values: object) -> Markup:
        html = self._jinja.get_template(template).render(values).strip()
        return Markup(html)  # noqa: S704  (templates escape what they are given)

    def _once(self, key: Hashable, render: Callable[[], Rendered]) -> Rendered:
        found: Rendered | None = self._cache.get(key)
        if found is None:
            found = render()
            self._cache.keep(key, found, _weight(found))
        return found


def _weight(rendered: Any) -> int:
    """Return how many characters are cached with a rendering."""
    return len(rendered) if isinstance(rendered, str) else int(rendered.weight)
