"""Buying a cart: all of it or nothing, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, select

from shop.buyer import Buyer
from shop.costs import Costs, CostTable
from shop.db import Transaction
from shop.models import (
    WITHDRAWN,
    Cart,
    CartEdit,
    Item,
    PictureRecord,
    Product,
    ProductPicture,
    order_of_cart,
    take,
)
from shop.models.cart_snapshot import NOT_STARTED
from shop.models.customer import customer_keys, know_customer, pairs_of_customer
from shop.models.ledger import Cause
from shop.models.payment import start_payment
from shop.order_placing import Sale, place_order
from shop.pictures.paths import path_of
from shop.purchase import (
    BoughtBefore,
    CostsChanged,
    ItemsChanged,
    LineItem,
    NotForSale,
    NothingToBuy,
    Offer,
    PriceChanged,
    Purchase,
    Terms,
    TooManyOfProduct,
    TooManyPairs,
)


def buy(
    transaction: Transaction, cart_id: str, buyer: Buyer, offer: Offer, terms: Terms
) -> Purchase:
    """Buy everything in a cart, and empty the cart; what is yet to be paid is held.

    The same offer taken twice by the same buyer, from whichever tab, is one purchase: the second
    time gives the order of the first.

    Raises:
        NotBought, NotDelivered: the transaction must be rolled back.
    """
    cart = CartEdit(transaction, cart_id)
    if (made := _made_before(transaction, cart, buyer, offer)) is not None:
        return made
    lines = _lines(transaction, cart.held)
    _check(lines, offer, terms.most)
    costs = _costs(lines, buyer, offer, terms.costs)
    each = terms.most_each
    known = _check_customer(transaction, cart, buyer, each) if each else []
    placed = place_order(transaction, cart, Sale(lines, costs), buyer, terms)
    if known:
        know_customer(transaction, known, placed.order_id)
    _start_payment(transaction, cart, placed.order_id, terms)
    _take_off_the_shelf(transaction, cart, lines, Cause(placed.kind, placed.order_id))
    return Purchase(placed.number, placed.token, placed.state, len(lines), cart.snapshot())


def _start_payment(transaction: Transaction, cart: CartEdit, order_id: int, terms: Terms) -> None:
    """Have a payment page opened next, unless the order is paid outside."""
    if terms.provider is not None:
        start_payment(transaction, order_id, cart.id, terms.provider, live=terms.live)
        cart.hold = cart.hold or NOT_STARTED


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
    # Somebody who shares a cart, or took its cookie, doesn't share what was bought from it.
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
        raise NothingToBuy
    if most and len(lines) > most:
        raise TooManyPairs(len(lines), most)
    _refuse_closed(lines, {line.id for line in lines if line.available > 0})
    if offer.prices.keys() != {line.id for line in lines}:
        raise ItemsChanged
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
        raise NotForSale(sold_out, not_released, withdrawn)


_PRODUCTS = (
    select(Product.id, Product.name)
    .join(Item, Item.product_id == Product.id)
    .where(Item.id.in_(bindparam("item_ids")))
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
    .where(Item.id.in_(bindparam("item_ids")))
    .order_by(Item.id)
)
