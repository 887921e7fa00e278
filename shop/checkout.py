"""Buying a cart: all of it or nothing, once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, select
from sqlalchemy.dialects.postgresql import insert as insert_or_not

from shop.buyer import Buyer
from shop.changes import order_name
from shop.costs import NO_COSTS, Costs, CostTable
from shop.db import Transaction
from shop.models import (
    WITHDRAWN,
    Cart,
    CartEdit,
    CartSnapshot,
    Item,
    Order,
    OrderLine,
    PictureRecord,
    Product,
    ProductPicture,
    order_of_cart,
    queue_receipt,
    take,
)
from shop.models.cart_snapshot import NOT_STARTED
from shop.models.customer import customer_keys, know_customer, pairs_of_customer
from shop.models.ledger import HOLD, SALE, SHOP, Cause
from shop.models.order import new_order_number, new_order_token
from shop.models.order_state import HELD, PLACED, record_state
from shop.models.payment import start_payment
from shop.pictures.paths import path_of

#: How many numbers are drawn for an order at most: of 32^8, which a shop never comes near.
_DRAWS = 20


@dataclass(frozen=True, slots=True)
class LineItem:
    """An item that is to be bought, as it is at this moment."""

    id: int
    sku: str
    size: str
    available: int
    brand: str
    name: str
    color: str
    #: in minor units of the shop's currency
    price: int
    main_image: str
    released: bool
    withdrawn: bool

    def as_line(self) -> dict[str, object]:
        """Return what an order's line keeps of it."""
        return {
            "item_id": self.id,
            "sku": self.sku,
            "brand": self.brand,
            "product": self.name,
            "color": self.color,
            "size": self.size,
            "price": self.price,
            "main_image": self.main_image,
        }


class EmptyCart(Exception):
    """There is nothing to buy."""


class TooManyPairs(Exception):
    """The cart holds more than one order may; nothing was bought."""

    def __init__(self, held: int, most: int) -> None:
        super().__init__()
        self.held = held
        self.most = most


class TooManyOfProduct(Exception):
    """The customer would have more pairs of a product than one may; nothing was bought."""

    def __init__(self, name: str, has: int, most: int) -> None:
        super().__init__()
        #: the product's
        self.name = name
        #: how many of it the customer has already, unpaid ones counted
        self.has = has
        self.most = most


class CartClosed(Exception):
    """Items in the cart can't be bought now; nothing was."""

    def __init__(
        self, sold_out: list[LineItem], not_released: list[LineItem], withdrawn: list[LineItem]
    ) -> None:
        super().__init__()
        self.sold_out = sold_out
        self.not_released = not_released
        self.withdrawn = withdrawn


class CartChanged(Exception):
    """The cart is not the one that the shopper saw; nothing was bought."""


class PriceChanged(Exception):
    """Prices are not those that the shopper saw; nothing was bought."""

    def __init__(self, items: list[LineItem]) -> None:
        self.items = items


class CostsChanged(Exception):
    """Shipping or tax are not what the shopper saw; nothing was bought."""

    def __init__(self, costs: Costs) -> None:
        super().__init__()
        #: as they are now
        self.costs = costs


class BoughtBefore(Exception):
    """This purchase was made before, by a buyer with other details; nothing was bought now."""

    def __init__(self, number: str) -> None:
        super().__init__()
        #: the order's; for nobody but those who have it already
        self.number = number


@dataclass(frozen=True, slots=True)
class Offer:
    """What the shopper saw when they pressed the button."""

    #: which purchase of the cart this is to be, counted from 0
    purchase: int
    #: prices in minor units by item id
    prices: Mapping[int, int]
    #: the `key` of the table by which shipping and tax were shown; "": none were
    costs: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a shop sells."""

    currency: str
    #: the most pairs in one order; 0: as many as there are
    most: int = 0
    #: the most of one product for one customer; 0: no limit
    most_each: int = 0
    #: through whom orders are paid; None: outside, so that they are placed at once
    provider: str | None = None
    #: whether real money moves
    live: bool = False
    #: what is asked for shipping and as tax
    costs: CostTable = NO_COSTS


@dataclass(frozen=True, slots=True)
class Purchase:
    """What came of buying."""

    #: the order's
    number: str
    #: names the page of the order to its buyer
    token: str | None
    #: of the order; see `shop.models.order_state`
    state: str
    #: how many pieces were sold; none if the same offer had been taken before
    pieces: int
    #: as it is now
    cart: CartSnapshot


def buy(
    transaction: Transaction,
    cart_id: str,
    buyer: Buyer,
    offer: Offer,
    terms: Terms,
) -> Purchase:
    """Buy everything in a cart, and empty the cart; what is yet to be paid is held.

    The same offer taken twice by the same buyer, from whichever tab, is one purchase: the second
    time gives the order of the first.

    Raises:
        EmptyCart, TooManyPairs, TooManyOfProduct, CartClosed, CartChanged, PriceChanged,
        CostsChanged, NotDelivered, BoughtBefore: the transaction must be rolled back.
    """
    cart = CartEdit(transaction, cart_id)
    if (made := _made_before(transaction, cart, buyer, offer)) is not None:
        return made
    lines = _lines(transaction, cart.held)
    _check(lines, offer, terms.most)
    costs = _costs(lines, buyer, offer, terms.costs)
    each = terms.most_each
    known = _check_customer(transaction, cart, buyer, each) if each else []
    placed = _place_order(transaction, cart, _Sale(lines, costs), buyer, terms)
    if known:
        know_customer(transaction, known, placed.order_id)
    if terms.provider is not None:
        start_payment(transaction, placed.order_id, cart.id, terms.provider, live=terms.live)
        cart.hold = cart.hold or NOT_STARTED
    _take_off_the_shelf(transaction, cart, lines, Cause(placed.kind, placed.order_id))
    return Purchase(placed.number, placed.token, placed.state, len(lines), cart.snapshot())


def _take_off_the_shelf(
    transaction: Transaction, cart: CartEdit, lines: list[LineItem], cause: Cause
) -> None:
    """Take what the cart holds, all of it or nothing, and empty the cart."""
    # Late, as everybody who wants the same pair waits from here on; before the cart is saved, as
    # its version is to be above those of the items, by which its lines are shown.
    _refuse_closed(lines, take(transaction, cart.held.item_ids, cause=cause))
    cart.purchases += 1
    cart.save(cart.held.emptied())


def _made_before(
    transaction: Transaction, cart: CartEdit, buyer: Buyer, offer: Offer
) -> Purchase | None:
    """Return what came of the same offer when it was taken before; None: it wasn't.

    Raises:
        BoughtBefore: another buyer took it.
    """
    if offer.purchase >= cart.purchases:
        return None
    made = order_of_cart(transaction, cart.id, offer.purchase)
    if made is None:
        return None
    # Who shares a cart, or took its cookie, doesn't share what was bought from it.
    if (made.email, made.name, made.address) != (buyer.email, buyer.name, buyer.address):
        raise BoughtBefore(made.number)
    return Purchase(made.number, made.token, made.state, 0, cart.snapshot())


def _lines(transaction: Transaction, cart: Cart) -> list[LineItem]:
    rows = transaction.execute(_LINES, {"item_ids": list(cart.item_ids)})
    return [_line_item(*row) for row in rows]


def _line_item(picture: str | None, widths: str | None, *values: Any) -> LineItem:
    """Put a line together; without a main image its first picture stands for it."""
    item = LineItem(*values)
    if item.main_image or picture is None or widths is None:
        return item
    return replace(item, main_image=path_of(picture, int(widths.split()[0]), "webp"))


def _check(lines: list[LineItem], offer: Offer, most: int) -> None:
    """Refuse early what can't be bought, and what isn't what the shopper saw."""
    if not lines:
        raise EmptyCart
    if most and len(lines) > most:
        raise TooManyPairs(len(lines), most)
    _refuse_closed(lines, {line.id for line in lines if line.available > 0})
    if offer.prices.keys() != {line.id for line in lines}:
        raise CartChanged
    changed = [line for line in lines if offer.prices[line.id] != line.price]
    if changed:
        raise PriceChanged(changed)


def _costs(lines: list[LineItem], buyer: Buyer, offer: Offer, table: CostTable) -> Costs:
    """Return what the order costs; whoever didn't see by what table pays no more than prices."""
    costs = table.costs([line.price for line in lines], buyer.country)
    if offer.costs != table.key and (offer.costs or costs.total != costs.goods):
        raise CostsChanged(costs)
    return costs


def _check_customer(
    transaction: Transaction, cart: CartEdit, buyer: Buyer, most_each: int
) -> list[str]:
    """Refuse more pairs of a product than one customer may have; return by what they are known."""
    known = customer_keys(buyer.email, buyer.address)
    asked = transaction.execute(_PRODUCTS, {"item_ids": list(cart.held.item_ids)})
    wanted = Counter(row.id for row in asked)
    has = pairs_of_customer(transaction, known, wanted)
    for product_id, name in asked:
        if has.get(product_id, 0) + wanted[product_id] > most_each:
            raise TooManyOfProduct(name, has.get(product_id, 0), most_each)
    return known


def _refuse_closed(lines: list[LineItem], there: Set[int]) -> None:
    withdrawn = [line for line in lines if line.withdrawn]
    not_released = [line for line in lines if not line.released and not line.withdrawn]
    open_ = [line for line in lines if line.released and not line.withdrawn]
    sold_out = [line for line in open_ if line.id not in there]
    if sold_out or not_released or withdrawn:
        raise CartClosed(sold_out, not_released, withdrawn)


class _Sale(NamedTuple):
    """What is sold, and what it costs."""

    lines: list[LineItem]
    costs: Costs

    def as_order(self) -> dict[str, object]:
        """Return what an order keeps of it."""
        costs = self.costs
        return {
            "total": costs.total,
            "shipping": costs.shipping,
            "tax": costs.tax,
            "shipping_tax": costs.shipping_tax,
            "tax_rate": costs.tax_rate,
            "tax_kind": costs.tax_kind,
        }

    def as_lines(self, order_id: int) -> list[dict[str, object]]:
        """Return what the order's lines keep of it."""
        return [
            {"order_id": order_id, "tax": tax, **line.as_line()}
            for line, tax in zip(self.lines, self.costs.line_taxes, strict=True)
        ]


class _Placed(NamedTuple):
    """An order that this transaction makes."""

    order_id: int
    number: str
    token: str
    state: str

    @property
    def kind(self) -> str:
        """Of the movements that take its pairs off the shelf."""
        return SALE if self.state == PLACED else HOLD


def _place_order(
    transaction: Transaction, cart: CartEdit, sale: _Sale, buyer: Buyer, terms: Terms
) -> _Placed:
    state, token = PLACED if terms.provider is None else HELD, new_order_token()
    order = {
        "state": state,
        "token": token,
        "cart_ref": cart.ref,
        "purchase": cart.purchases,
        **buyer.as_order(),
        **sale.as_order(),
        "placed": int(time.time()),
        "currency": terms.currency,
    }
    order_id, number = _placed(transaction, order)
    transaction.execute_each(_ADD_LINES, sale.as_lines(order_id))
    record_state(transaction, order_id, None, state, who=SHOP)
    if state == PLACED:  # else there is a mail when it is paid
        queue_receipt(transaction, order_id)
    transaction.note(order_name(order_id))
    return _Placed(order_id, number, token, state)


def _placed(transaction: Transaction, order: dict[str, object]) -> tuple[int, str]:
    """Place an order under a number that no other one has; return its id, and that number."""
    for _ in range(_DRAWS):
        number = new_order_number()
        for (order_id,) in transaction.execute(_PLACE, {**order, "number": number}):
            return order_id, number
    raise RuntimeError(f"{_DRAWS} order numbers, drawn at random, were all taken")


_PRODUCTS = (
    select(Product.id, Product.name)
    .join(Item, Item.product_id == Product.id)
    .where(Item.id.in_(bindparam("item_ids", expanding=True)))
)
# Made once: making a statement takes longer than running it.
_LINES = (
    select(PictureRecord.hash, PictureRecord.widths)
    .add_columns(Item.id, Item.sku, Item.size, Item.available)
    .add_columns(Product.brand, Product.name, Product.color, Product.price, Product.main_image)
    .add_columns(Product.released, WITHDRAWN)
    .select_from(Item)
    .join(Item.product)
    .outerjoin(
        ProductPicture,
        (ProductPicture.product_id == Product.id) & (ProductPicture.position == 1),
    )
    .outerjoin(PictureRecord, PictureRecord.hash == ProductPicture.hash)
    .where(Item.id.in_(bindparam("item_ids", expanding=True)))
    .order_by(Item.id)
)
# Written for PostgreSQL, and the same in SQLite. No row: another order has that number.
_PLACE = insert_or_not(Order).on_conflict_do_nothing(index_elements=["number"]).returning(Order.id)
_ADD_LINES = insert(OrderLine)
