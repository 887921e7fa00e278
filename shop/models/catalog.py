"""Products and their items. `stock` changes counts, `catalog_edit` products, `opening` their state.

A row's `version` grows with every change of it: see `shop.versions`.
"""

from __future__ import annotations

import re
from typing import TypeVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    false,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from shop.db import Base

#: PostgreSQL's integers, by which rows are numbered, end here; it can't be asked for more.
LARGEST_ID = 2**31 - 1

#: The most pieces of an item that are on the shelf.
MOST_PIECES = 1_000_000_000


class UnknownProduct(LookupError):
    """No product has this id or sku."""


class UnknownItem(LookupError):
    """No item has this id or sku."""


class Product(Base):
    """A shoe."""

    __tablename__ = "products"
    __table_args__ = (CheckConstraint("price >= 0", name="price_not_negative"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(unique=True)
    brand: Mapped[str]
    name: Mapped[str]
    color: Mapped[str]
    #: in minor units of the shop's currency
    price: Mapped[int] = mapped_column(BigInteger)
    #: path or address of the main image
    main_image: Mapped[str]
    position: Mapped[int] = mapped_column(default=0)
    released: Mapped[bool] = mapped_column(default=False)
    #: the announced moment, when it opened, and when the last piece was sold since; see `opening`
    opens_at: Mapped[int | None] = mapped_column(BigInteger)
    opened_at: Mapped[int | None] = mapped_column(BigInteger)
    sold_out_at: Mapped[int | None] = mapped_column(BigInteger)
    #: HTML or plain text, as the operator gave it
    description: Mapped[str] = mapped_column(server_default="")
    #: kept from shoppers for now
    hidden: Mapped[bool] = mapped_column(server_default=false())
    #: kept for its orders only
    removed: Mapped[bool] = mapped_column(server_default=false())
    version: Mapped[int] = mapped_column(BigInteger)

    items: Mapped[list[Item]] = relationship(
        back_populates="product", order_by="Item.position, Item.id"
    )

    @classmethod
    def find(cls, session: Session, sku_or_id: str, *, also_removed: bool = False) -> Product:
        """Return the product with this sku, in whatever case, or this id.

        Raises:
            UnknownProduct: there is none.
        """
        product = _named(session, cls, sku_or_id)
        if product is None or (product.removed and not also_removed):
            raise UnknownProduct(sku_or_id)
        return product


#: Whether a product is not to be seen or sold, in a question.
WITHDRAWN = (Product.hidden | Product.removed).label("withdrawn")

#: Whether a product can be bought, as far as it goes.
ON_SALE = Product.released & ~WITHDRAWN.element


class Item(Base):
    """One size of a product: what is sold."""

    __tablename__ = "items"
    __table_args__ = (
        CheckConstraint("available >= 0", name="available_not_negative"),
        CheckConstraint("held >= 0", name="held_not_negative"),
        CheckConstraint("sold >= 0", name="sold_not_negative"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), index=True)
    sku: Mapped[str] = mapped_column(unique=True)
    size: Mapped[str]
    #: among the sizes of its product; of two alike the one that came first goes first
    position: Mapped[int] = mapped_column(server_default="0")
    #: on the shelf; off it for orders that are being paid for; sold, and not given back
    available: Mapped[int] = mapped_column(BigInteger)
    held: Mapped[int] = mapped_column(BigInteger, server_default="0")
    sold: Mapped[int] = mapped_column(BigInteger, server_default="0")
    version: Mapped[int] = mapped_column(BigInteger)

    product: Mapped[Product] = relationship(back_populates="items", lazy="joined")

    @classmethod
    def find(cls, session: Session, sku_or_id: str) -> Item:
        """Return the item with this sku, in whatever case, or this id.

        Raises:
            UnknownItem: there is none.
        """
        item = _named(session, cls, sku_or_id)
        if item is None:
            raise UnknownItem(sku_or_id)
        return item


def _named(session: Session, kind: type[Named], name: str) -> Named | None:
    """Return what an operator calls by its sku, in whatever case, or by its id.

    A sku as it is written goes before all others; one in another case must be the only one.
    """
    exact = session.scalar(select(kind).where(kind.sku == name))
    if exact is not None:
        return exact
    name = name.strip()
    # Compared here, as SQLite knows no other letters' cases than those of ASCII.
    skus = session.execute(select(kind.id, kind.sku))
    alike = [row.id for row in skus if row.sku.casefold() == name.casefold()]
    if len(alike) == 1:
        return session.get(kind, alike[0])
    number = int(name) if re.fullmatch("[0-9]{1,10}", name) else 0
    return session.get(kind, number) if 0 < number <= LARGEST_ID else None


Named = TypeVar("Named", Product, Item)
