"""What was bought: an order, and the prices paid."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    UniqueConstraint,
    bindparam,
    case,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from shop.costs import ADDED, percent
from shop.db import Base, Transaction
from shop.models.cart import cart_ref

#: 32 letters and digits that are not mistaken for one another when read out.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class UnknownOrder(LookupError):
    """No order has this number."""


def new_order_number() -> str:
    """Return an order number that tells nothing of how many there are, as in 'K7QX-4MNP'."""
    text = "".join([_ALPHABET[byte % 32] for byte in secrets.token_bytes(8)])
    return f"{text[:4]}-{text[4:]}"


def new_token() -> str:
    """Return what names a page of somebody's and nobody can guess: 192 bits in hexadecimal digits.

    Mail programs take nothing of it for the end of a sentence.
    """
    return secrets.token_hex(24)


class Order(Base):
    """A purchase: everything that was in a cart."""

    __tablename__ = "orders"
    # A cart's n-th purchase is made once, however often it is sent.
    __table_args__ = (UniqueConstraint("cart_ref", "purchase", name="purchase_made_once"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True, default=new_order_number)
    #: names its page to its buyer only; None: a release before made the order, and knew of none
    token: Mapped[str | None] = mapped_column(unique=True, default=new_token)
    #: fingerprint of the cart, whose id nobody but its visitor may know
    cart_ref: Mapped[str]
    #: which purchase of that cart, counted from 0
    purchase: Mapped[int]
    email: Mapped[str]
    name: Mapped[str]
    #: in lines, as it stands on a label
    address: Mapped[str]
    #: the same in parts, as it was typed; "": a part that it lacks, or it was typed as one text
    street: Mapped[str] = mapped_column(server_default="")
    street2: Mapped[str] = mapped_column(server_default="")
    postcode: Mapped[str] = mapped_column(server_default="")
    town: Mapped[str] = mapped_column(server_default="")
    #: its code in ISO 3166
    country: Mapped[str] = mapped_column(server_default="")
    phone: Mapped[str] = mapped_column(server_default="")
    #: seconds since 1970, UTC
    placed: Mapped[int] = mapped_column(BigInteger)
    #: in minor units of `currency`: the lines, shipping, and a tax that is added to them
    total: Mapped[int] = mapped_column(BigInteger)
    shipping: Mapped[int] = mapped_column(BigInteger, server_default="0")
    #: all of it, that of the shipping too
    tax: Mapped[int] = mapped_column(BigInteger, server_default="0")
    shipping_tax: Mapped[int] = mapped_column(BigInteger, server_default="0")
    #: in thousandths of a percent
    tax_rate: Mapped[int] = mapped_column(server_default="0")
    #: `included` in prices, or `added`; "": nothing was said of a tax
    tax_kind: Mapped[str] = mapped_column(server_default="")
    currency: Mapped[str]
    #: see `shop.models.order_state`
    state: Mapped[str] = mapped_column(server_default="placed")
    #: what the carrier calls the parcel, as an operator gave it
    tracking: Mapped[str] = mapped_column(server_default="")

    lines: Mapped[list[OrderLine]] = relationship(
        back_populates="order", order_by="OrderLine.id", lazy="selectin"
    )

    @property
    def tax_percent(self) -> str:
        """The tax's rate as it is read: `19`."""
        return percent(self.tax_rate)

    @property
    def placed_at(self) -> datetime:
        return datetime.fromtimestamp(self.placed, UTC)

    @classmethod
    def find(cls, session: Session, number: str) -> Order:
        """Return the order with this number, as people write it: in any case, without its hyphen.

        Raises:
            UnknownOrder: there is none.
        """
        order = session.scalar(select(cls).where(cls.number == order_number(number)))
        if order is None:
            raise UnknownOrder(number)
        return order


#: What separates or surrounds a number that is typed or pasted: spaces, hyphens and dashes, and
#: marks that nobody sees.
_SET_APART = re.compile(r"[\s\xad\u200b-\u2015\u202a-\u202e\u2060-\u2069\ufeff_-]+")


def order_number(text: str) -> str:
    """Return an order's number as it is kept, of what somebody typed or pasted."""
    signs = _SET_APART.sub("", text).upper()
    return f"{signs[:4]}-{signs[4:]}"


class OrderLine(Base):
    """One item of an order, as it was when it was bought."""

    __tablename__ = "order_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    sku: Mapped[str]
    brand: Mapped[str]
    product: Mapped[str]
    color: Mapped[str]
    size: Mapped[str]
    #: paid, in minor units of the order's currency
    price: Mapped[int] = mapped_column(BigInteger)
    main_image: Mapped[str]
    #: in the price or on it, by the order's `tax_kind`
    tax: Mapped[int] = mapped_column(BigInteger, server_default="0")
    #: "", `cancelled` or `returned`
    ended: Mapped[str] = mapped_column(server_default="")

    order: Mapped[Order] = relationship(back_populates="lines")


#: What was paid for a line.
LINE_COST: ColumnElement[int] = OrderLine.price + case(
    (Order.tax_kind == ADDED, OrderLine.tax), else_=0
)


class MadeOrder(NamedTuple):
    """An order that was made before: its names, its state, and who bought."""

    number: str
    token: str | None
    state: str
    email: str
    name: str
    address: str


def order_of_cart(transaction: Transaction, cart_id: str, purchase: int) -> MadeOrder | None:
    """Return the order that a cart's purchase made, counted from 0; None: it made none."""
    values = {"of_cart": cart_ref(cart_id), "counted": purchase}
    found = [MadeOrder(*row) for row in transaction.execute(_OF_CART, values)]
    return found[0] if found else None


# Made once: making a statement takes longer than running it.
_MADE = (Order.number, Order.token, Order.state, Order.email, Order.name, Order.address)
_OF_CART = select(*_MADE).where(
    Order.cart_ref == bindparam("of_cart"), Order.purchase == bindparam("counted")
)
