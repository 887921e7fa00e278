"""Pictures of products as they are stored: a picture once, whichever products show it.

A picture has the hash of its original and of the way it was made (see `shop.pictures.making`).
So what is stored under a hash never changes, and one made in another way is another picture. One
that a product doesn't show any more stays, for orders and open pages that name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Subquery,
    Text,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from shop.db import Base, Database, Transaction
from shop.models.catalog import Product

if TYPE_CHECKING:
    from shop.pictures.making import MadePicture  # with Pillow, which no server needs


class PictureRecord(Base):
    """A picture: its upright size in pixels, and what it was made of."""

    __tablename__ = "pictures"

    hash: Mapped[str] = mapped_column(primary_key=True)
    width: Mapped[int]
    height: Mapped[int]
    #: of its renditions, in pixels, the smallest first, with spaces between them
    widths: Mapped[str]
    #: the file as the operator gave it
    original: Mapped[bytes]


class RenditionRecord(Base):
    """A picture as it is sent, under the name of its file, as in `640.avif`."""

    __tablename__ = "renditions"

    hash: Mapped[str] = mapped_column(ForeignKey(PictureRecord.hash), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[bytes]


class ProductPicture(Base):
    """A picture among those of a product."""

    __tablename__ = "product_pictures"

    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id), primary_key=True)
    #: from 1 on
    position: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(ForeignKey(PictureRecord.hash), index=True)
    #: what is seen on it, for people who can't see it
    alt: Mapped[str]
    #: the name or the address that an operator's file has for it
    reference: Mapped[str]


def _listed(dialect: str) -> ColumnElement[str]:
    columns = (
        *(ProductPicture.position, PictureRecord.hash, PictureRecord.width),
        *(PictureRecord.height, PictureRecord.widths, ProductPicture.alt),
    )
    if dialect == "sqlite":
        return func.json_group_array(func.json_array(*columns))
    return cast(func.json_agg(func.json_build_array(*columns)), Text)


def _of_each(listed: ColumnElement[str]) -> Subquery:
    question = select(ProductPicture.product_id, listed.label("pictures")).join(*_RECORD)
    return question.group_by(ProductPicture.product_id).subquery("listed_pictures")


def _of_one(listed: ColumnElement[str]) -> ColumnElement[str]:
    question = select(listed).join(*_RECORD).where(ProductPicture.product_id == Product.id)
    return question.correlate(Product).scalar_subquery().label("pictures")


_RECORD = (PictureRecord, PictureRecord.hash == ProductPicture.hash)
_LISTED = {dialect: _listed(dialect) for dialect in ("sqlite", "postgresql")}

#: What shoppers see of each product's pictures, as a text in JSON and in no order, for a question
#: to be joined with: lists of position, hash, width, height, widths and alternative text.
LISTED_PICTURES = {dialect: _of_each(listed) for dialect, listed in _LISTED.items()}

#: The same of a question's product alone, for a question about some products.
PICTURES_OF = {dialect: _of_one(listed) for dialect, listed in _LISTED.items()}


@dataclass(frozen=True, slots=True)
class PictureUse:
    """A picture among those of a product; see `ProductPicture`."""

    reference: str
    alt: str
    hash: str


def store_picture(database: Database, made: MadePicture) -> bool:
    """Store a picture in a short transaction of its own; no product shows it yet.

    Returns:
        False: it was there already.
    """
    widths = sorted({rendition.width for rendition in made.renditions})
    row = {
        "hash": made.hash,
        "width": made.width,
        "height": made.height,
        "widths": " ".join(map(str, widths)),
        "original": made.original,
    }
    renditions = [
        {"hash": made.hash, "name": rendition.name, "content": rendition.content}
        for rendition in made.renditions
    ]

    def work(transaction: Transaction) -> bool:
        if not transaction.execute(_STORE, row):
            return False
        transaction.execute_each(_STORE_RENDITION, renditions)
        return True

    return database.transact(work)


def discard_pictures(database: Database, hashes: Sequence[str]) -> None:
    """Delete those of these pictures that no product shows."""

    def work(transaction: Transaction) -> None:
        used = {row.hash for row in transaction.execute(_USED, {"hashes": [*hashes]})}
        for unused in [{"hash": each} for each in hashes if each not in used]:
            transaction.execute(_DISCARD_RENDITIONS, unused)
            transaction.execute(_DISCARD, unused)

    if hashes:
        database.transact(work)


def is_stored(database: Database, picture_hash: str) -> bool:
    """Tell whether there is a picture of this hash."""
    return bool(database.rows(_THERE, {"hash": picture_hash}))


def set_pictures(transaction: Transaction, product_id: int, uses: Sequence[PictureUse]) -> None:
    """Have a product show these pictures and no others.

    The product's row must be changed in the same transaction, so that its version grows.
    """
    transaction.execute(_FORGET, {"product": product_id})
    rows = [
        {
            "product_id": product_id,
            "position": position,
            "hash": use.hash,
            "alt": use.alt,
            "reference": use.reference,
        }
        for position, use in enumerate(uses, 1)
    ]
    if rows:
        transaction.execute_each(_ADD, rows)


def read_rendition(database: Database, picture_hash: str, name: str) -> bytes | None:
    """Return a picture as it is sent; None: there is none of this name."""
    for row in database.rows(_RENDITION, {"hash": picture_hash, "name": name}):
        return bytes(row.content)
    return None


# Made once: making a statement takes longer than running it. The same in both databases.
_STORE = text(
    "INSERT INTO pictures (hash, width, height, widths, original)"
    " VALUES (:hash, :width, :height, :widths, :original) ON CONFLICT DO NOTHING RETURNING hash"
)
_STORE_RENDITION = insert(RenditionRecord)
_THERE = select(PictureRecord.hash).where(PictureRecord.hash == bindparam("hash"))
_USED = select(ProductPicture.hash).where(ProductPicture.hash.in_(bindparam("hashes")))
_DISCARD_RENDITIONS = delete(RenditionRecord).where(RenditionRecord.hash == bindparam("hash"))
_DISCARD = delete(PictureRecord).where(PictureRecord.hash == bindparam("hash"))
_FORGET = delete(ProductPicture).where(ProductPicture.product_id == bindparam("product"))
_ADD = insert(ProductPicture)
_RENDITION = select(RenditionRecord.content).where(
    RenditionRecord.hash == bindparam("hash"), RenditionRecord.name == bindparam("name")
)
