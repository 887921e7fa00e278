"""Announcing that something changed, and hearing of it.

A message is a set of names, never contents: who hears one reads what is true. Names are made
here and nowhere else. Within a process announcing calls the hearers at once. Between processes
on one machine the commit itself is the announcement: see `CommitWatch` in `shop.db`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Hearer = Callable[[frozenset[str]], None]


def product_name(product_id: int) -> str:
    """Name a product in an announcement, and the topic of the tabs that show it."""
    return f"product:{product_id}"


def sale_name(item_id: int) -> str:
    """Name the sale of an item: that it opened or closed, or what a cart shows of it changed."""
    return f"sale:{item_id}"


def cart_name(cart_id: str) -> str:
    """Name a cart in an announcement, and the topic of the tabs that carry it."""
    return f"cart:{cart_id}"


def cart_id_of(name: str) -> str | None:
    """Return the id of the cart that a name is of, None for other names."""
    kind, _, cart_id = name.partition(":")
    return cart_id if kind == "cart" else None


def product_id_of(name: str) -> int | None:
    """Return the id of the product that a name is of, None for other names."""
    kind, _, product_id = name.partition(":")
    return int(product_id) if kind == "product" else None


class Changes:
    """Who hears of changes in this process."""

    def __init__(self) -> None:
        self._hearers: list[Hearer] = []

    def subscribe(self, hearer: Hearer) -> None:
        """Have `hearer` called with the names of everything announced from now on."""
        self._hearers.append(hearer)

    def announce(self, names: Iterable[str]) -> None:
        """Say that these things changed. To be called after the commit, never before."""
        changed = frozenset(names)
        for hearer in self._hearers:
            hearer(changed)
