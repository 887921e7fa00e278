"""The cart: a value with rules, and how it is exported.

`Cart` is plain Python and knows no database; `CartEdit` keeps one. `export_cart` and
`import_cart` carry one in a signed text that outlives the database.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Set
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from itsdangerous import BadData, URLSafeTimedSerializer

#: Length of a cart id, in URL-safe characters of 6 bits each.
CART_ID_LENGTH = 64

#: How long an exported cart is good for, in seconds: 7 days.
EXPORT_MAX_AGE = 7 * 24 * 3600

#: How many fingerprints are kept: a request asks four times for its cart's.
_REFS = 256


class AlreadyInCart(Exception):
    """A cart holds at most one of each item, and it holds this one."""


class NotInCart(Exception):
    """The cart neither holds this item, nor is it marked."""


@dataclass(frozen=True, slots=True)
class Cart:
    """A set of item ids, and of those that are marked. Adding and removing give a new cart."""

    item_ids: frozenset[int] = frozenset()
    #: what it is to hold as soon as that is on sale; none of those that it holds
    marked: frozenset[int] = frozenset()

    def add(self, item_id: int) -> Cart:
        """Return the cart with one more item.

        Raises:
            AlreadyInCart: it holds that item.
        """
        if item_id in self.item_ids:
            raise AlreadyInCart(item_id)
        return Cart(self.item_ids | {item_id}, self.marked - {item_id})

    def mark(self, item_id: int) -> Cart:
        """Return the cart with one more item marked.

        Raises:
            AlreadyInCart: it holds that item, or it is marked.
        """
        if item_id in self.item_ids | self.marked:
            raise AlreadyInCart(item_id)
        return Cart(self.item_ids, self.marked | {item_id})

    def remove(self, item_id: int) -> Cart:
        """Return the cart without an item, or without its mark.

        Raises:
            NotInCart: it doesn't hold that item, nor is it marked.
        """
        if item_id not in self.item_ids | self.marked:
            raise NotInCart(item_id)
        return Cart(self.item_ids - {item_id}, self.marked - {item_id})

    def open(self, on_sale: Set[int]) -> Cart:
        """Return the cart with what is marked put in, as far as it is on sale."""
        return Cart(self.item_ids | (self.marked & on_sale), self.marked - on_sale)

    def merge(self, other: Cart) -> Cart:
        """Return a cart with what both hold, and what is marked in either."""
        held = self.item_ids | other.item_ids
        return Cart(held, (self.marked | other.marked) - held)

    def emptied(self) -> Cart:
        """Return the cart after everything in it was bought: what is marked stays so."""
        return Cart(marked=self.marked)

    def swap(self, old_id: int, new_id: int) -> Cart:
        """Return the cart with `new_id` in the place of `old_id`.

        Raises:
            NotInCart: it doesn't hold the old one.
            AlreadyInCart: it holds the new one as well.
        """
        return self.remove(old_id).add(new_id)


def new_cart_id() -> str:
    """Return a cart id that nobody can guess: 384 random bits as 64 URL-safe characters."""
    return secrets.token_urlsafe(CART_ID_LENGTH * 6 // 8)


@lru_cache(maxsize=_REFS)
def cart_ref(cart_id: str) -> str:
    """Return a cart's public fingerprint, from which its id can't be found."""
    return blake2b(cart_id.encode(), digest_size=9, person=b"cart-ref").hexdigest()


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
