"""Tabs that are looked at: what comes over an event stream or a WebSocket, and what it shows."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from bench.crowd import connect
from bench.shopping import hidden_fields

#: Bytes read at a time.
_MOST = 1 << 17

#: How heartbeats of event streams begin: comments, or events of that name.
_HEARTBEATS = (b":", b"event: beat\n")

_CART = re.compile(
    rb'<section class="cart" id="cart"[^>]* data-version="(\d+)" data-cart-ref="(\w+)"'
)
_LINE = re.compile(rb'<li class="cart-item([^"]*)" id="cart-item-\d+" data-item-id="(\d+)"')
_STOCK = re.compile(rb'<div class="stock" id="stock-(\d+)" data-version="(\d+)"')
_OUT = re.compile(rb'--level-out" form="actions" name="item_id" value="(\d+)"')


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart as it is shown."""

    version: int
    #: its public fingerprint
    ref: str
    items: frozenset[str]
    #: those of them that can't be bought
    closed: frozenset[str]
    #: the hidden fields of its checkout form
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Stock:
    """A product's sizes as they are shown."""

    product: str
    version: int
    sold_out: frozenset[str]


@dataclass(frozen=True, slots=True)
class News:
    """What one message says."""

    cart: Cart | None
    stock: tuple[Stock, ...]


class Tab(ABC):
    """An open page. It shows what came, and never goes back to an older version.

    Args:
        query: the products that it watches, as in `product=1&product=2`.
        cookies: as in the header `Cookie`.
        source: the address of this machine that it comes from.
    """

    path: str
    extra: tuple[str, ...] = ()

    def __init__(self, port: int, query: str, cookies: str, source: str = "127.0.0.2") -> None:
        self.cart: Cart | None = None
        self.stock: dict[str, Stock] = {}
        self.socket = connect(source, port)
        self._came = b""
        self._begun = False
        lines = [f"GET {self.path}?{query} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"Cookie: {cookies}", *self.extra, "", ""]
        self.socket.sendall("\r\n".join(lines).encode("latin-1"))

    def hear(self) -> list[News]:
        """Take what has come, and return what is news in it.

        Raises:
            RuntimeError: the shop closed the connection, or never opened it.
        """
        try:
            data = self.socket.recv(_MOST)
        except BlockingIOError:
            return []
        if not data:
            raise RuntimeError("the shop closed a tab's connection")
        self._came += data
        if not self._begun and not self._begin():
            return []
        return [self._show(read_news(message)) for message in self._messages()]

    @property
    def sold_out(self) -> frozenset[str]:
        """The items that it shows as sold out."""
        return frozenset().union(*(stock.sold_out for stock in self.stock.values()))

    @abstractmethod
    def _messages(self) -> Iterator[bytes]:
        """Give the messages that are whole, and take them out of what came."""

    def _begin(self) -> bool:
        head, end, rest = self._came.partition(b"\r\n\r\n")
        if end and not re.match(rb"HTTP/1.1 (200|101) ", head):
            raise RuntimeError(f"the shop answered {head.splitlines()[0]!r} to a tab")
        if end:
            self._begun, self._came = True, rest
        return self._begun

    def _show(self, news: News) -> News:
        cart, stock = news.cart, news.stock
        if cart is not None and self.cart is not None and cart.version < self.cart.version:
            cart = None
        if cart is not None:
            self.cart = cart
        newer = tuple(s for s in stock if self._is_newer(s))
        self.stock.update((one.product, one) for one in newer)
        return News(cart, newer)

    def _is_newer(self, stock: Stock) -> bool:
        shown = self.stock.get(stock.product)
        return shown is None or stock.version > shown.version


class StreamTab(Tab):
    """A tab with an event stream."""

    path = "/stream"
    extra = ("Accept: text/event-stream",)

    def _messages(self) -> Iterator[bytes]:
        *whole, self._came = self._came.split(b"\n\n")
        yield from (message for message in whole if not message.startswith(_HEARTBEATS))


class SocketTab(Tab):
    """A tab with a WebSocket (RFC 6455). It never speaks."""

    path = "/socket"
    extra = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )

    def _messages(self) -> Iterator[bytes]:
        while (frame := self._frame()) is not None:
            kind, message = frame
            if kind == 1 and message:  # a heartbeat is an empty text
                yield message

    def _frame(self) -> tuple[int, bytes] | None:
        """Take the next frame out of what came: its opcode and payload. None comes masked."""
        came = self._came
        if len(came) < 2:
            return None
        size, at = came[1], 2
        if size >= 126:
            at += 2 if size == 126 else 8
            size = int.from_bytes(came[2:at], "big")
        if len(came) < at + size:
            return None
        self._came = came[at + size :]
        return came[0] & 15, came[at : at + size]


# The same few messages go to thousands of tabs.
@lru_cache(maxsize=256)
def read_news(message: bytes) -> News:
    """Read what a message says."""
    stock = []
    for fragment in message.split(b"</hx-partial>"):
        if found := _STOCK.search(fragment):
            sold_out = frozenset(item.decode() for item in _OUT.findall(fragment))
            stock.append(Stock(found[1].decode(), int(found[2]), sold_out))
    return News(_cart_in(message), tuple(stock))


def _cart_in(message: bytes) -> Cart | None:
    found = _CART.search(message)
    if found is None:
        return None
    lines = [(item.decode(), bool(closed)) for closed, item in _LINE.findall(message)]
    return Cart(
        version=int(found[1]),
        ref=found[2].decode(),
        items=frozenset(item for item, _ in lines),
        closed=frozenset(item for item, closed in lines if closed),
        fields=tuple(hidden_fields(message.decode())),
    )


def cart_of(html: str) -> Cart:
    """Read the cart that a page or an answer shows.

    Raises:
        ValueError: there is none.
    """
    cart = _cart_in(html.encode())
    if cart is None:
        raise ValueError("an answer shows no cart")
    return cart
