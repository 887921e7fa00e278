"""Announcing that something changed, and hearing of it.

A message is a set of names, never contents: its hearers read what is true. Names are made
here and nowhere else. Rules note them in the transaction that makes the change, and the database
announces them once it is committed. Within a process, announcing calls the hearers at once.
Between machines a relay carries the names (`shop.relay`); between processes on one machine the
commit itself is the announcement (see `CommitWatch` in `shop.db`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Hearer = Callable[[frozenset[str]], None]


#: Names whatever there is: after a change of everything, or when messages may have been lost.
EVERYTHING = "everything"


def shelf_name(product_id: int) -> str:
    """Name a product's row and those of its items: that something of them was written."""
    return f"shelf:{product_id}"


def product_name(product_id: int) -> str:
    """Name what shoppers see of a product, and the topic of the tabs that show it."""
    return f"product:{product_id}"


def list_name(number: int) -> str:
    """Name a page of the list of products, and the topic of the tabs that show it."""
    return f"list:{number}"


def detail_name(product_id: int) -> str:
    """Name all that a product's own page shows of it, and the topic of the tabs that do."""
    return f"detail:{product_id}"


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


def order_name(order_id: int) -> str:
    """Name an order in an announcement, and the topic of the tabs that show its page."""
    return f"order:{order_id}"


def order_id_of(name: str) -> int | None:
    """Return the id of the order that a name is of, None for other names."""
    return _number_of("order", name)


def concerns_stock(names: Iterable[str]) -> bool:
    """Tell whether the catalogue has to be read anew after these changes."""
    return any(name.startswith("shelf:") or name == EVERYTHING for name in names)


def shelf_id_of(name: str) -> int | None:
    """Return the id of the product of whose shelf a name is, None for other names."""
    return _number_of("shelf", name)


def product_id_of(name: str) -> int | None:
    """Return the id of the product that a name is of, None for other names."""
    return _number_of("product", name)


def list_number_of(name: str) -> int | None:
    """Return the number of the page of the list that a name is of, None for other names."""
    return _number_of("list", name)


def detail_id_of(name: str) -> int | None:
    """Return the id of the product whose own page a name is of, None for other names."""
    return _number_of("detail", name)


def is_somebodys(name: str) -> bool:
    """Tell whether a name is of one shopper's cart or order, which few tabs show."""
    return name.partition(":")[0] in ("cart", "order")


def is_part_of_page(name: str) -> bool:
    """Tell whether a name is of something that pages show of the catalogue."""
    return name.partition(":")[0] in ("product", "list", "detail")


def _number_of(kind: str, name: str) -> int | None:
    found, _, number = name.partition(":")
    return int(number) if found == kind and number.isdigit() else None


class Changes:
    """The hearers of changes in this process."""

    def __init__(self) -> None:
        self._hearers: list[Hearer] = []
        #: takes what is announced here to the other processes, where something does
        self.carry: Hearer = lambda names: None

    def subscribe(self, hearer: Hearer) -> None:
        """Have `hearer` called with the names of everything announced from now on."""
        self._hearers.append(hearer)

    def announce(self, names: frozenset[str]) -> None:
        """Say that these things changed. To be called after the commit, never before."""
        if names:
            self.hear(names)
            self.carry(names)

    def hear(self, names: frozenset[str]) -> None:
        """Tell the hearers of this process what another one announced."""
        for hearer in self._hearers:
            hearer(names)
