"""Buying a cart: all of it or nothing, once."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import select
from sqlalchemy.orm import Session

from shop.models import Cart, CartRecord, Item, Order, OrderLine, take

#: The most characters that are taken, by field.
LIMITS = {"email": 254, "name": 200, "address": 1000}

#: Unicode categories of what is no text: controls, surrogates, private and unassigned ones.
#: Format characters stay: names in Persian or Sinhala are not spelled right without them.
_NO_TEXT = frozenset({"Cc", "Cs", "Co", "Cn"})

#: What turns the direction of text around, and with it what others read (Unicode TR 9).
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

#: Soft hyphen and byte order mark come along when text is pasted, and mean nothing.
_UNSEEN = frozenset("\u00ad\ufeff")


class EmptyCart(Exception):
    """There is nothing to buy."""


class CartClosed(Exception):
    """Items in the cart can't be bought now; nothing was."""

    def __init__(self, sold_out: list[Item], not_released: list[Item]) -> None:
        super().__init__()
        self.sold_out = sold_out
        self.not_released = not_released


class CartChanged(Exception):
    """The cart is not the one that the shopper saw; nothing was bought."""


class PriceChanged(Exception):
    """Prices are not those that the shopper saw; nothing was bought."""

    def __init__(self, items: list[Item]) -> None:
        super().__init__()
        self.items = items


class WrongDetails(Exception):
    """What the buyer typed can't be used; `messages` says why, by field."""

    def __init__(self, messages: dict[str, str]) -> None:
        super().__init__()
        self.messages = messages


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who buys, and where to."""

    email: str
    name: str
    address: str

    @classmethod
    def check(cls, typed: Mapping[str, str]) -> Buyer:
        """Return the buyer from what was typed in `email`, `name` and `address`.

        Raises:
            WrongDetails: something is missing or can't be right.
        """
        details = {field: _tidy(typed.get(field, "")) for field in LIMITS}
        messages = {field: _wrong(field, text) for field, text in details.items()}
        messages = {field: message for field, message in messages.items() if message}
        if messages:
            raise WrongDetails(messages)
        return cls(**details)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the shopper saw when they pressed the button."""

    #: which purchase of the cart this is to be, counted from 0
    purchase: int
    #: prices in minor units by item id
    prices: Mapping[int, int]


def buy(session: Session, cart_id: str, buyer: Buyer, offer: Offer, currency: str) -> Order:
    """Buy everything in a cart, in the transaction of `session`, and empty the cart.

    The same offer taken twice, from whichever tab, is one purchase: the second time returns
    the order of the first.

    Raises:
        EmptyCart, CartClosed, CartChanged, PriceChanged: the transaction must be rolled back.
    """
    record = CartRecord.open(session, cart_id)
    if offer.purchase < record.purchases:
        made = Order.of_cart(session, record.id, offer.purchase)
        if made is not None:
            return made
    cart = record.load(session)
    items = _items(session, cart)
    if not items:
        raise EmptyCart
    _check(items, cart, offer)
    order = _order(record, items, buyer, currency)
    session.add(order)
    session.flush()
    # Late, as everybody who wants the same pair waits from here on; before the cart is saved, as
    # its version is to be above those of the items.
    _sell(session, items)
    record.purchases += 1
    record.save(session, cart, Cart())
    return order


def _check(items: list[Item], cart: Cart, offer: Offer) -> None:
    """Refuse early what can't be bought, and what isn't what the shopper saw."""
    _refuse_closed(items, {item.id for item in items if item.available > 0})
    if offer.prices.keys() != cart.item_ids:
        raise CartChanged
    changed = [item for item in items if offer.prices.get(item.id) != item.product.price]
    if changed:
        raise PriceChanged(changed)


def _items(session: Session, cart: Cart) -> list[Item]:
    # One order for all buyers, so that two of them never wait for each other's rows.
    chosen = select(Item).where(Item.id.in_(cart.item_ids)).order_by(Item.id)
    return list(session.scalars(chosen))


def _sell(session: Session, items: list[Item]) -> None:
    _refuse_closed(items, take(session, items))


def _refuse_closed(items: list[Item], there: set[int]) -> None:
    not_released = [item for item in items if not item.product.released]
    sold_out = [item for item in items if item.product.released and item.id not in there]
    if sold_out or not_released:
        raise CartClosed(sold_out, not_released)


def _order(record: CartRecord, items: list[Item], buyer: Buyer, currency: str) -> Order:
    return Order(
        cart_ref=record.ref,
        purchase=record.purchases,
        email=buyer.email,
        name=buyer.name,
        address=buyer.address,
        placed=int(time.time()),
        total=sum(item.product.price for item in items),
        currency=currency,
        lines=[_order_line(item) for item in items],
    )


def _order_line(item: Item) -> OrderLine:
    product = item.product
    return OrderLine(
        item_id=item.id,
        sku=item.sku,
        brand=product.brand,
        product=product.name,
        color=product.color,
        size=item.size,
        price=product.price,
        main_image=product.main_image,
    )


def _tidy(text: str) -> str:
    shown = "".join(character for character in text if character not in _UNSEEN)
    lines = (" ".join(line.split()) for line in shown.strip().splitlines())
    return "\n".join(line for line in lines if line)


def _wrong(field: str, text: str) -> str:
    if len(text) > LIMITS[field]:
        return f"This {field} is too long: at most {LIMITS[field]} characters, please."
    if any(unicodedata.category(c) in _NO_TEXT and c != "\n" for c in text) or _TURNING & {*text}:
        return f"There is a character in this {field} that can’t be printed."
    if field == "email":
        return _wrong_email(text)
    if field == "name":
        return "" if text and "\n" not in text else "Please give your name, on one line."
    return "" if len(text) >= 8 else "Please give the whole address: street, town, country."


def _wrong_email(text: str) -> str:
    try:
        # Whether the domain takes mail is not asked: the shop must sell without a resolver.
        validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return "Please give an e-mail address, such as kim@example.com."
    return ""
