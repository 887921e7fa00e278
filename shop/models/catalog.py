"""Products, their items, and the only ways in which a count changes.

A row's `version` grows with every change of it: see `shop.versions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    bindparam,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column, object_session, relationship

from shop.changes import shelf_name
from shop.db import Base, Database, Transaction, note, transaction_of
from shop.versions import advance, drawn, next_version

#: PostgreSQL's integers, by which rows are numbered, end here; it can't be asked for more.
LARGEST_ID = 2**31 - 1


class UnknownProduct(LookupError):
    """No product has this id or sku."""


class UnknownItem(LookupError):
    """No item has this id or sku."""


class Unavailable(Exception):
    """An item that can't be bought now."""

    def __init__(self, item_id: int) -> None:
        super().__init__(item_id)
        self.item_id = item_id


class OutOfStock(Unavailable):
    """Fewer pieces are left than were asked for."""


class NotReleased(Unavailable):
    """Its product is still coming soon."""


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
    price: Mapped[int]
    #: path or address of the main image
    main_image: Mapped[str]
    position: Mapped[int] = mapped_column(default=0)
    released: Mapped[bool] = mapped_column(default=False)
    version: Mapped[int] = mapped_column(BigInteger, default=drawn)

    items: Mapped[list[Item]] = relationship(back_populates="product", order_by="Item.id")

    @classmethod
    def find(cls, session: Session, id_or_sku: str) -> Product:
        """Return the product with this sku, in whatever case, or this id.

        Raises:
            UnknownProduct: there is none.
        """
        product = _named(session, cls, id_or_sku)
        if product is None:
            raise UnknownProduct(id_or_sku)
        return product

    def release(self) -> bool:
        """Open the sale. Returns False, and changes nothing, when it is open already."""
        session = _session_of(self)
        advance(transaction_of(session))
        opened = session.execute(
            update(Product)
            .where(Product.id == self.id, Product.released.is_(False))
            .values(released=True, version=next_version(Product.version))
        )
        session.refresh(self)
        note(session, shelf_name(self.id))
        return bool(opened.rowcount)  # type: ignore[attr-defined]


class Item(Base):
    """One size of a product: what is sold."""

    __tablename__ = "items"
    __table_args__ = (CheckConstraint("available >= 0", name="available_not_negative"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), index=True)
    sku: Mapped[str] = mapped_column(unique=True)
    size: Mapped[str]
    available: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger, default=drawn)

    product: Mapped[Product] = relationship(back_populates="items", lazy="joined")

    @classmethod
    def find(cls, session: Session, item_id: int) -> Item:
        """Return the item with this id, its product loaded with it.

        Raises:
            UnknownItem: there is none.
        """
        item = session.get(cls, item_id) if item_id <= LARGEST_ID else None
        if item is None:
            raise UnknownItem(item_id)
        return item

    @classmethod
    def find_named(cls, session: Session, sku_or_id: str) -> Item:
        """Return the item with this sku, in whatever case, or this id.

        Raises:
            UnknownItem: there is none.
        """
        item = _named(session, cls, sku_or_id)
        if item is None:
            raise UnknownItem(sku_or_id)
        return item

    def sell(self, count: int = 1) -> None:
        """Take `count` pieces off the shelf: all of them or none.

        The database decides, whatever this object says of the count.

        Raises:
            NotReleased: its product is coming soon.
            OutOfStock: fewer than `count` pieces are left.
        """
        if not self.product.released:
            raise NotReleased(self.id)
        if not take(transaction_of(_session_of(self)), [self.id], count):
            raise OutOfStock(self.id)

    def stock_up(self, count: int) -> None:
        """Put `count` more pieces on the shelf."""
        self._change(available=Item.available + count)

    def set_stock(self, count: int) -> None:
        """Say that exactly `count` pieces are on the shelf."""
        self._change(available=count)

    def _change(self, **values: Any) -> None:
        session = _session_of(self)
        advance(transaction_of(session))
        values["version"] = next_version(Item.version)
        session.execute(update(Item).where(Item.id == self.id).values(**values))
        session.refresh(self)
        note(session, shelf_name(self.product_id))


def take(transaction: Transaction, item_ids: Iterable[int], count: int = 1) -> set[int]:
    """Take `count` pieces of each of these items off the shelf, of those that have as many.

    The database decides, in one statement, whatever anybody's memory says of the counts. Rows are
    locked in the order of their ids, so that two buyers never wait for each other in a circle.

    Returns:
        The ids of the items that were taken; of the others nothing was.
    """
    advance(transaction)
    values = {"item_ids": list(item_ids), "count": count}
    taken = set()
    for item_id, product_id in transaction.execute(_TAKE, values):
        taken.add(item_id)
        transaction.note(shelf_name(product_id))
    return taken


def check_for_sale(transaction: Transaction, item_id: int) -> None:
    """Raise what keeps an item from being put into a cart now.

    Raises:
        UnknownItem: there is none with this id.
        NotReleased: its product is coming soon.
        OutOfStock: no piece is left.
    """
    known = {"item_id": item_id if item_id <= LARGEST_ID else 0}
    rows = transaction.execute(_FOR_SALE, known)
    if not rows:
        raise UnknownItem(item_id)
    ((released, available),) = rows
    if not released:
        raise NotReleased(item_id)
    if available < 1:
        raise OutOfStock(item_id)


def catalog_stamp(database: Database) -> object:
    """Return what differs once products or items were changed, by whatever means.

    Most commits are of carts, and this costs less to read than the catalogue.
    """
    (row,) = database.rows(_STAMPS[database.engine.name])
    return row[0]


#: SQLite: a counter that triggers keep. PostgreSQL, where one counter would make all buyers wait
#: for one another: every changed row carries the number of a newer transaction.
CATALOG_STAMPS = {
    "sqlite": "SELECT changes FROM catalog_stamp",
    "postgresql": (
        "SELECT (count(*), sum(version), sum(xmin::text::bigint))::text || (SELECT "
        "(count(*), sum(version), sum(xmin::text::bigint))::text FROM products) FROM items"
    ),
}
_STAMPS = {dialect: text(stamp) for dialect, stamp in CATALOG_STAMPS.items()}


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


def _session_of(instance: Base) -> Session:
    session = object_session(instance)
    if session is None:
        raise RuntimeError(f"{instance!r} is in no session")
    return session


Named = TypeVar("Named", Product, Item)

# Made once: making a statement takes longer than running it. The inner condition picks and locks
# (FOR NO KEY UPDATE: who puts the item into a cart needn't wait; SQLite has no need of locks),
# the outer one is looked at again by a database that had to wait for another buyer.
_ENOUGH = Item.available >= bindparam("count")
_TAKE = (
    update(Item)
    .where(
        Item.id.in_(
            select(Item.id)
            .where(Item.id.in_(bindparam("item_ids", expanding=True)), _ENOUGH)
            .order_by(Item.id)
            .with_for_update(key_share=True)
        ),
        _ENOUGH,
    )
    .values(
        available=Item.available - bindparam("count"),
        version=next_version(Item.version),
    )
    .returning(Item.id, Item.product_id)
    .execution_options(synchronize_session=False)
)
_FOR_SALE = (
    select(Product.released, Item.available)
    .join(Item.product)
    .where(Item.id == bindparam("item_id"))
)
