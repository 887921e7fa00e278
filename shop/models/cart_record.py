"""How a cart is kept, and changed by one transaction at a time.

In statements rather than through the ORM's unit of work: every action of a shopper comes by here,
and making objects of rows would cost more than the database does.
"""

from __future__ import annotations

import time

from sqlalchemy import (
    BigInteger,
    Executable,
    ForeignKey,
    Integer,
    bindparam,
    delete,
    false,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column

from shop.changes import cart_name
from shop.db import Base, Transaction
from shop.models.cart import Cart, cart_ref
from shop.models.cart_snapshot import LAPSED, CartSnapshot
from shop.models.catalog import ON_SALE, Item
from shop.versions import advance, next_version


class CartRecord(Base):
    """A cart as it is kept. A visitor who did nothing yet has no record."""

    __tablename__ = "carts"

    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, index=True)
    #: when it was changed last, in seconds since 1970
    touched: Mapped[int] = mapped_column(BigInteger, index=True)
    #: how many purchases were made from this cart: names the next one
    purchases: Mapped[int]
    #: the cart this one was merged into, of the same visitor
    merged_into: Mapped[str | None]
    #: until when what was bought from it is held while it is paid for; see `cart_snapshot`
    hold: Mapped[int | None] = mapped_column(BigInteger)


class CartItem(Base):
    """That an item is in a cart, or is marked to be as soon as it is on sale."""

    __tablename__ = "cart_items"

    cart_id: Mapped[str] = mapped_column(ForeignKey("carts.id"), primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), primary_key=True, index=True)
    marked: Mapped[bool] = mapped_column(server_default=false())


class CartEdit:
    """A kept cart, opened by a transaction to be changed: others wait until that has ended."""

    def __init__(self, transaction: Transaction, cart_id: str) -> None:
        """Open a cart, or the one it was merged into; it is made if there is none."""
        self._transaction = transaction
        self.id = cart_id
        self.version = 0
        #: counts those made from it; the next one has this number
        self.purchases = 0
        #: until when pairs are held for it; see `cart_snapshot`
        self.hold: int | None = None
        #: whether there was none until now
        self.is_new = False
        merged_into = self._lock()
        if merged_into is not None:
            self.id = merged_into
            self._lock()
        #: as its rows say, and with what is on sale by now of what is marked
        self._stored = self._read()
        self.held = self._open(self._stored)

    @property
    def ref(self) -> str:
        """The public fingerprint."""
        return cart_ref(self.id)

    def snapshot(self) -> CartSnapshot:
        """Return what it is now, for when the transaction has ended."""
        held = self.held
        return CartSnapshot(
            *(self.id, self.version, self.purchases, held.item_ids),
            marked=held.marked,
            hold=self.hold,
        )

    def save(self, after: Cart) -> None:
        """Keep a changed cart, under a new version."""
        before = self._stored
        gone = (before.item_ids | before.marked) - after.item_ids - after.marked
        self._keep_items(gone, _TAKE_OUT)
        self._keep_items(after.item_ids - before.item_ids, _PUT_IN, marked=False)
        self._keep_items(after.marked - before.marked, _PUT_IN, marked=True)
        advance(self._transaction)
        values = {"of_cart": self.id, "made": self.purchases, "hold": self.hold}
        values["now"] = int(time.time())
        ((self.version,),) = self._transaction.execute(_KEEP, values)
        self._stored = self.held = after
        self._transaction.note(cart_name(self.id))

    def _keep_items(self, item_ids: frozenset[int], statement: Executable, **how: bool) -> None:
        rows = [{"of_cart": self.id, "item": item_id, **how} for item_id in sorted(item_ids)]
        if rows:
            self._transaction.execute_each(statement, rows)

    def merge(self, secondary_id: str) -> None:
        """Take over what another cart of the same visitor holds; it leads here from then on."""
        if secondary_id == self.id:
            return
        other = CartEdit(self._transaction, secondary_id)
        if other.id != secondary_id:  # it leads to another one already
            return
        theirs = other.held
        self.hold, other.hold = self.hold or other.hold, None
        other.save(Cart())
        self.save(self.held.merge(theirs))
        # A cart that was merged into the other one before is now one of mine.
        self._transaction.execute(_MERGE, {"merged": other.id, "to": self.id})

    def _lock(self) -> str | None:
        """Lock the cart's row, making it first if need be; return what it was merged into."""
        rows = self._transaction.execute(_LOCK, {"of_cart": self.id})
        if not rows:
            # Another tab of the visitor may be just as far: one of the two makes it, and the other
            # one finds in it what that one put there.
            values = {"id": self.id, "ref": self.ref, "now": int(time.time())}
            made = self._transaction.execute(_MAKE, values)
            self.is_new = bool(made)
            rows = self._transaction.execute(_LOCK, {"of_cart": self.id})
        merged_into: str | None
        ((self.version, self.purchases, hold, merged_into),) = rows
        self.hold = None if hold == LAPSED else hold  # said until something else is done
        return merged_into

    def _read(self) -> Cart:
        rows = self._transaction.execute(_HELD, {"of_cart": self.id})
        marked = frozenset(row.item_id for row in rows if row.marked)
        return Cart(frozenset(row.item_id for row in rows) - marked, marked)

    def _open(self, stored: Cart) -> Cart:
        """Put in what is marked and on sale: nothing is written at the opening itself."""
        if not stored.marked:
            return stored
        rows = self._transaction.execute(_ON_SALE, {"item_ids": list(stored.marked)})
        return stored.open({row.id for row in rows})


def delete_untouched(transaction: Transaction, before: int, most: int) -> int:
    """Delete some carts that nobody has changed since a moment.

    One that is being changed is left alone.

    Args:
        before: seconds since 1970.
        most: how many carts at the most.

    Returns:
        How many carts.
    """
    rows = transaction.execute(_UNTOUCHED, {"before": before, "most": most})
    ids = [row.id for row in rows]
    if ids:
        transaction.execute(_EMPTY_THEM, {"of_carts": ids})
        transaction.execute(_DELETE_THEM, {"of_carts": ids})
        for cart_id in ids:
            transaction.note(cart_name(cart_id))
    return len(ids)


# Made once: making a statement takes longer than running it.
_UNTOUCHED = (
    select(CartRecord.id)
    .where(CartRecord.touched < bindparam("before"))
    .order_by(CartRecord.touched)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_EMPTY_THEM = delete(CartItem).where(CartItem.cart_id.in_(bindparam("of_carts")))
_DELETE_THEM = delete(CartRecord).where(CartRecord.id.in_(bindparam("of_carts")))
_LOCK = (
    select(CartRecord.version, CartRecord.purchases, CartRecord.hold, CartRecord.merged_into)
    .where(CartRecord.id == bindparam("of_cart"))
    .with_for_update()
)
# One that was deleted, or lost, counts its purchases on from those that were made.
_MAKE = text(
    "INSERT INTO carts (id, version, touched, purchases) VALUES (:id, 0, :now,"
    " (SELECT coalesce(max(purchase) + 1, 0) FROM orders WHERE cart_ref = :ref))"
    " ON CONFLICT DO NOTHING RETURNING id"
)
_KEEP = (
    update(CartRecord)
    .where(CartRecord.id == bindparam("of_cart"))
    .values(
        version=next_version(CartRecord.version),
        touched=bindparam("now"),
        purchases=bindparam("made"),
        hold=bindparam("hold"),
    )
    .returning(CartRecord.version)
)
_MERGE = (
    update(CartRecord)
    .where((CartRecord.id == bindparam("merged")) | (CartRecord.merged_into == bindparam("merged")))
    .values(merged_into=bindparam("to"))
)
_PUT_IN = text(
    "INSERT INTO cart_items (cart_id, item_id, marked) VALUES (:of_cart, :item, :marked)"
    " ON CONFLICT (cart_id, item_id) DO UPDATE SET marked = excluded.marked"
)
_TAKE_OUT = delete(CartItem).where(
    CartItem.cart_id == bindparam("of_cart"), CartItem.item_id == bindparam("item")
)
#: True or 1: to have SQLAlchemy make a bool of SQLite's number takes longer than reading the row.
IS_MARKED = type_coerce(CartItem.marked, Integer).label("marked")

_HELD = select(CartItem.item_id, IS_MARKED).where(CartItem.cart_id == bindparam("of_cart"))
_ON_SALE = select(Item.id).join(Item.product).where(Item.id.in_(bindparam("item_ids")), ON_SALE)
