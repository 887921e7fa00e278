"""What the servers said, put together."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class OpenTabs:
    """The tabs that have one cart open, on one server or on several."""

    #: the cart's public fingerprint
    ref: str
    #: when the first of them opened, in seconds since 1970, by the clock of its server
    since: int
    #: how long ago that was, in seconds, whatever that clock says
    open_for: int
    #: how many of them show which page
    pages: Counter[str]
    skus: frozenset[str]
    servers: tuple[str, ...]

    @property
    def tabs(self) -> int:
        return self.pages.total()

    def __add__(self, other: OpenTabs) -> OpenTabs:
        """The tabs of the same cart on two servers."""
        return OpenTabs(
            self.ref,
            min(self.since, other.since),
            max(self.open_for, other.open_for),
            self.pages + other.pages,
            self.skus | other.skus,
            (*self.servers, *other.servers),
        )


class Server(NamedTuple):
    """One serving process, and what is open there."""

    name: str
    tabs: int
    #: by the carts' fingerprints what is known of their tabs; None where they are only counted
    carts: dict[str, dict[str, Any] | None]

    @classmethod
    def read(cls, answer: str) -> Server | None:
        """Read what it answered; None: that is not whole."""
        try:
            *batches, last = map(json.loads, answer.splitlines())
            return cls(**last, carts={ref: c for batch in batches for ref, c in batch.items()})
        except (TypeError, ValueError):
            return None


@dataclass(frozen=True)
class Overview:
    """What is open over all servers that answered."""

    #: in the order of their names
    servers: tuple[Server, ...]
    #: what keeps it from being all, for people to read
    troubles: tuple[str, ...] = ()

    @property
    def tabs(self) -> int:
        return sum(server.tabs for server in self.servers)

    @property
    def cart_count(self) -> int:
        """How many different carts are open."""
        return len(set().union(*(server.carts for server in self.servers)))

    @cached_property
    def carts(self) -> tuple[OpenTabs, ...]:
        """By cart, those opened last first; none, when only counts were asked for."""
        merged: dict[str, OpenTabs] = {}
        for server in self.servers:
            for ref, known in server.carts.items():
                if known is not None:
                    tabs = _open_tabs(ref, known, server.name)
                    merged[ref] = merged[ref] + tabs if ref in merged else tabs
        return tuple(sorted(merged.values(), key=lambda cart: (cart.open_for, cart.ref)))

    @property
    def tabs_without_cart(self) -> int:
        return self.tabs - sum(cart.tabs for cart in self.carts)


def _open_tabs(ref: str, known: dict[str, Any], server: str) -> OpenTabs:
    pages, skus = Counter(known["pages"]), frozenset(known["skus"])
    return OpenTabs(ref, known["since"], known["open_for"], pages, skus, (server,))
