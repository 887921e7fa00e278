"""What the servers said, put together."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CartPresence:
    """A cart that tabs have open, on one server or on several."""

    #: the public fingerprint
    ref: str
    #: when the first of its tabs opened, in seconds since 1970, by the clock of its server
    since: int
    #: how long ago that was, in seconds, whatever that clock says
    open_for: int
    #: how many tabs show which page
    pages: Counter[str]
    skus: frozenset[str]
    servers: tuple[str, ...]

    @property
    def tabs(self) -> int:
        return self.pages.total()

    def __add__(self, other: CartPresence) -> CartPresence:
        """The same cart, as two servers have it open."""
        return CartPresence(
            self.ref,
            min(self.since, other.since),
            max(self.open_for, other.open_for),
            self.pages + other.pages,
            self.skus | other.skus,
            tuple(sorted({*self.servers, *other.servers})),
        )


@dataclass(frozen=True, slots=True)
class Server:
    """One serving process, and how much is open there."""

    name: str
    tabs: int
    carts: int


@dataclass(frozen=True, slots=True)
class Report:
    """What one server said; of carts all, or only short fingerprints."""

    server: str
    tabs: int
    carts: list[Any]

    @classmethod
    def read(cls, answer: bytes) -> Report:
        """Read an answer.

        Raises:
            ValueError: it is not whole.
        """
        reader = zlib.decompressobj()
        try:
            text = reader.decompress(answer)
        except zlib.error as error:
            raise ValueError("not compressed") from error
        if not reader.eof:
            raise ValueError("cut short")
        head, *batches = map(json.loads, text.splitlines())
        return cls(head["server"], head["tabs"], [cart for batch in batches for cart in batch])


@dataclass(frozen=True, slots=True)
class Overview:
    """What is open over all servers that answered."""

    #: in the order of their names
    servers: tuple[Server, ...]
    #: how many different carts are open
    cart_count: int
    #: the carts opened last come first; none, when only counts were asked for
    carts: tuple[CartPresence, ...]
    #: what keeps it from being all, for people to read
    troubles: tuple[str, ...] = ()

    @property
    def tabs(self) -> int:
        return sum(server.tabs for server in self.servers)

    @property
    def tabs_without_cart(self) -> int:
        return self.tabs - sum(cart.tabs for cart in self.carts)

    @classmethod
    def of(cls, reports: Iterable[Report], troubles: Iterable[str] = ()) -> Overview:
        """Put together what the servers said; a cart that several have open is one."""
        texts = sorted(reports, key=lambda report: report.server)
        merged: dict[str, CartPresence] = {}
        counted: set[str] = set()
        for report in texts:
            for cart in report.carts:
                if isinstance(cart, str):
                    counted.add(cart)
                    continue
                opened = _open_cart(cart, report.server)
                known = merged.get(opened.ref)
                merged[opened.ref] = known + opened if known else opened
        return cls(
            servers=tuple(Server(r.server, r.tabs, len(r.carts)) for r in texts),
            cart_count=len(merged) or len(counted),
            carts=tuple(sorted(merged.values(), key=lambda cart: (cart.open_for, cart.ref))),
            troubles=tuple(troubles),
        )


def _open_cart(texts: dict[str, Any], server: str) -> CartPresence:
    pages, skus = Counter(texts["pages"]), frozenset(texts["skus"])
    open_for = texts.get("open_for", 0)  # a server of the release before doesn't say
    return CartPresence(texts["ref"], texts["since"], open_for, pages, skus, (server,))
