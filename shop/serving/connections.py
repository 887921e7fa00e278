"""The open connections, and which of them are closed when there are too many.

Whoever sends a whole request stays; the one who hasn't for the longest is cut off. So connections
that ask for nothing, or take for ever to ask or to read, can't keep anybody out, however many.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_network
from typing import Any, Protocol

from shop.ipv4 import ipv4_within

#: The most connections, beside streams and WebSockets; each has a greenlet, of some 20 KB.
MOST = 16_384

#: The most of one address. Behind a proxy all have its own: it has about as many as it has
#: requests under way, as it brings back at once those that it doesn't need.
MOST_OF_ADDRESS = 4_096

#: How many descriptors are left for everything that isn't a connection, and for those that are
#: accepted before the ones that make room for them are closed.
RESERVE = 256


class Connection(Protocol):
    """What is known here of a connection."""

    client_address: Any

    def cut(self) -> None:
        """End it, whatever it waits for."""


class Connections:
    """Open connections, those first on which no request has come whole for the longest."""

    def __init__(self, most: int = MOST, most_of_address: int = MOST_OF_ADDRESS) -> None:
        self._all: dict[Connection, None] = {}
        self._by_source: dict[str, dict[Connection, None]] = {}
        #: those that were cut, and aren't closed yet
        self._ending: set[Connection] = set()
        self._most, self._most_of_address = most, most_of_address

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def is_making_room(self) -> bool:
        """Whether some that had to make room are not closed yet."""
        return bool(self._ending)

    def make_room(self, descriptors: int) -> bool:
        """Have the oldest make room for one that comes, if need be; tell whether there is any.

        Args:
            descriptors: how many connections and streams there are of any kind, the new one's
                included.
        """
        used = descriptors - len(self._ending)
        too_many = max(len(self._all) + 1 - self._most, used - most_descriptors())
        return all(self._cut_oldest(self._all) for _ in range(too_many))

    def add(self, connection: Connection) -> None:
        own = self._by_source.setdefault(_source(connection), {})
        if len(own) >= self._most_of_address:
            self._cut_oldest(own)
        self._all[connection] = own[connection] = None

    def renew(self, connection: Connection) -> None:
        """Note that all of a request has come on it."""
        if connection in self._all:
            own = self._by_source[_source(connection)]
            for group in (self._all, own):
                del group[connection]
                group[connection] = None

    def remove(self, connection: Connection) -> None:
        """Forget a connection: it is closed, or not to be cut any more."""
        self._ending.discard(connection)
        if connection in self._all:
            del self._all[connection]
            source = _source(connection)
            del self._by_source[source][connection]
            if not self._by_source[source]:
                del self._by_source[source]

    def _cut_oldest(self, group: dict[Connection, None]) -> bool:
        oldest = next(iter(group), None)
        if oldest is None:
            return False
        self.remove(oldest)
        self._ending.add(oldest)
        oldest.cut()
        return True


def most_descriptors() -> int:
    """Return how many descriptors connections and streams may have, all together."""
    return _descriptors_without(1)


def most_streams() -> int:
    """Return how many of these streams may have: there are always some left for pages."""
    return _descriptors_without(2)


def _descriptors_without(reserves: int) -> int:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most - reserves * min(RESERVE, most // 4)


def _source(connection: Connection) -> str:
    """Return whose a connection is: an address, or of IPv6 the network that one customer gets."""
    address = connection.client_address
    if not isinstance(address, tuple):
        return ""
    host = str(address[0])
    if ":" not in host:
        return host
    own = IPv6Address(host.partition("%")[0])
    return str(ipv4_within(own) or ip_network((own, 64), strict=False))
