"""The cart: a value with rules, how it is kept, and how it is carried outside.

`Cart` is plain Python and knows no database. `CartRecord` keeps one. `export_cart` and
`import_cart` carry one in a signed text that outlives the database.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy import (
    BigInteger,
    ForeignKey,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from shop.changes import cart_name
from shop.db import Base, note, now_ms
from shop.models.catalog import Item, Product

#: Length of a cart id, in URL-safe characters of 6 bits each.
CART_ID_LENGTH = 64

#: How long an exported cart is good for, in seconds: 7 days.
EXPORT_MAX_AGE = 7 * 24 * 3600


class AlreadyInCart(Exception):
    """A cart holds at most one of each item, and it holds this one."""


class NotInCart(Exception):
    """The cart doesn't hold this item."""


@dataclass(frozen=True, slots=True)
class Cart:
    """A set of item ids. Adding and removing give a new cart."""

    item_ids: frozenset[int] = frozenset()

    def add(self, item_id: int) -> Cart:
        """Return the cart with one more item.

        Raises:
            AlreadyInCart: it holds that item.
        """
        if item_id in self.item_ids:
            raise AlreadyInCart(item_id)
        return Cart(self.item_ids | {item_id})

    def remove(self, item_id: int) -> Cart:
        """Return the cart without an item.

        Raises:
            NotInCart: it doesn't hold that item.
        """
        if item_id not in self.item_ids:
            raise NotInCart(item_id)
        return Cart(self.item_ids - {item_id})

    def swap(self, old_id: int, new_id: int) -> Cart:
        """Return the cart with `new_id` in the place of `old_id`.

        Raises:
            NotInCart: it doesn't hold the old one.
            AlreadyInCart: it holds the new one as well.
        """
        return self.remove(old_id).add(new_id)

    def __len__(self) -> int:
        return len(self.item_ids)


def new_cart_id() -> str:
    """Return a cart id that nobody can guess: 384 random bits as 64 URL-safe characters."""
    return secrets.token_urlsafe(CART_ID_LENGTH * 6 // 8)


def cart_ref(cart_id: str) -> str:
    """Return a cart's public fingerprint, from which its id can't be found."""
    return blake2b(cart_id.encode(), digest_size=9, person=b"cart-ref").hexdigest()


class CartRecord(Base):
    """A cart as it is kept. A visitor who did nothing yet has no record."""

    __tablename__ = "carts"

    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, default=now_ms, index=True)
    #: how many purchases were made from this cart: names the next one
    purchases: Mapped[int] = mapped_column(default=0)
    #: the cart this one was merged into, of the same visitor
    merged_into: Mapped[str | None] = mapped_column(default=None)

    @property
    def ref(self) -> str:
        """The public fingerprint."""
        return cart_ref(self.id)

    @classmethod
    def open(cls, session: Session, cart_id: str) -> CartRecord:
        """Return the record of a cart, or of the one it was merged into, locked for changes.

        Makes it first if there is none. What a cart holds is only changed by who has its record.
        """
        record = cls._own(session, cart_id)
        return record if record.merged_into is None else cls._own(session, record.merged_into)

    @classmethod
    def _own(cls, session: Session, cart_id: str) -> CartRecord:
        record = session.get(cls, cart_id, with_for_update=True)
        if record is None:
            # Another tab of the visitor may be just as far: one of the two makes it.
            session.execute(_MAKE, {"id": cart_id, "version": now_ms()})
            record = session.get_one(cls, cart_id, with_for_update=True)
        return record

    def load(self, session: Session) -> Cart:
        """Return the cart as it is."""
        rows = session.connection().execute(_ITEM_IDS, {"cart_id": self.id})
        return Cart(frozenset(item_id for (item_id,) in rows))

    def save(self, session: Session, before: Cart, after: Cart) -> None:
        """Keep a changed cart, under a version above all that any tab shows of it.

        A tab shows the newest of the versions of the cart and of what is in it; none of them
        is ahead of the clock, but for a clock that was set back.
        """
        self.version = max(self.version, now_ms(), _newest(session, before.item_ids)) + 1
        gone, come = before.item_ids - after.item_ids, after.item_ids - before.item_ids
        connection = session.connection()
        for item_id in gone:
            connection.execute(_TAKE_OUT, {"cart_id": self.id, "item_id": item_id})
        for item_id in come:
            connection.execute(_PUT_IN, {"cart_id": self.id, "item_id": item_id})
        session.flush()
        note(session, cart_name(self.id))

    def merge(self, session: Session, stray_id: str) -> None:
        """Take over what another cart of the same visitor holds; it leads here from then on."""
        other = self._own(session, stray_id)
        if other is self or other.merged_into is not None:
            return
        mine, theirs = self.load(session), other.load(session)
        other.save(session, theirs, Cart())
        other.merged_into = self.id
        self.version = max(self.version, other.version)
        self.save(session, mine, Cart(mine.item_ids | theirs.item_ids))
        # A cart that was merged into the other one before is now one of mine.
        moved = update(CartRecord).where(CartRecord.merged_into == other.id)
        session.execute(moved.values(merged_into=self.id))


class CartItem(Base):
    """That an item is in a cart."""

    __tablename__ = "cart_items"

    cart_id: Mapped[str] = mapped_column(ForeignKey("carts.id"), primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), primary_key=True, index=True)


# Made once: making a statement takes longer than running it.
_MAKE = text(
    "INSERT INTO carts (id, version, purchases) VALUES (:id, :version, 0) ON CONFLICT DO NOTHING"
)
_ITEM_IDS = select(CartItem.item_id).where(CartItem.cart_id == bindparam("cart_id"))
_PUT_IN = insert(CartItem)
_TAKE_OUT = delete(CartItem).where(
    CartItem.cart_id == bindparam("cart_id"), CartItem.item_id == bindparam("item_id")
)
# A line of a cart shows also the shoe's other sizes, when its own is gone: all of them count.
_NEWEST = (
    select(func.max(Item.version), func.max(Product.version))
    .join(Item.product)
    .where(
        Item.product_id.in_(
            select(Item.product_id).where(Item.id.in_(bindparam("item_ids", expanding=True)))
        )
    )
)


def _newest(session: Session, item_ids: frozenset[int]) -> int:
    if not item_ids:
        return 0
    item, product = session.connection().execute(_NEWEST, {"item_ids": list(item_ids)}).one()
    return max(item or 0, product or 0)


def export_cart(signer: URLSafeTimedSerializer, cart_id: str, skus: Iterable[str]) -> str:
    """Return a signed text that holds a cart, for `import_cart`."""
    exported: str = signer.dumps({"cart": cart_ref(cart_id), "skus": sorted(skus)})
    return exported


def import_cart(signer: URLSafeTimedSerializer, cart_id: str, text: str) -> list[str]:
    """Return the skus of the items in an exported cart.

    Forged, broken, older than `EXPORT_MAX_AGE`, or another cart's: that is an empty cart.
    """
    try:
        exported = signer.loads(text, max_age=EXPORT_MAX_AGE)
        if exported["cart"] != cart_ref(cart_id):
            return []
        return [str(sku) for sku in exported["skus"]]
    except (BadData, KeyError, TypeError):
        return []
