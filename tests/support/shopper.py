"""A shopper without a browser: requests with a cookie jar, and tabs that follow the shop live."""

from __future__ import annotations

import html as html_module
import http.client
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any, Protocol, Self
from urllib.parse import urlencode

import websocket

from tests.support.running import NeverHappened, RunningShop
from tests.support.wire import Event, EventReader

BUYER = {
    "email": "kim@example.com",
    "name": "Kim Vale",
    "address": "4 Harbour Lane\nPort Elsewhere 1203\nNetherland",
}


@dataclass(frozen=True)
class Answer:
    """What the shop answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def location(self) -> str:
        return self.headers["Location"] or ""


class Site(Protocol):
    """Where a shop is reached: a server of it, or what stands in front of its servers."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def url(self) -> str: ...


class Shopper:
    """A browser's cookies, and the forms of the shop's pages.

    Args:
        by: where this shopper reaches the shop, if not at that server itself. It can be changed.
    """

    def __init__(self, shop: RunningShop, by: Site | None = None) -> None:
        self.shop = shop
        self.by: Site = by or shop
        self.cookies: dict[str, str] = {}
        self._token = ""

    def get(self, path: str = "/", *, method: str = "GET", **headers: str) -> Answer:
        return self.send(method, path, headers)

    def post(
        self,
        path: str,
        fields: Iterable[tuple[str, str]] | dict[str, str] = (),
        *,
        hx: bool = False,
        **headers: str,
    ) -> Answer:
        """Post a form's fields with this visitor's token, as HTMX does or as a plain form."""
        if hx:
            headers = {"HX-Request": "true", "X-CSRFToken": self.token, **headers}
            return self.send("POST", path, headers, list(pairs(fields)))
        return self.send("POST", path, headers, [*pairs(fields), ("csrf_token", self.token)])

    def send(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        fields: Sequence[tuple[str, str]] | bytes | None = None,
    ) -> Answer:
        """Send one request with the cookies of the jar, and keep those of the answer."""
        sent = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if self.cookies:
            sent.setdefault("Cookie", self.cookie_header)
        body = fields if isinstance(fields, bytes | None) else urlencode(fields).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        with closing(self.connection()) as connection:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        self.keep_cookies(answer)
        return answer

    def connection(self) -> http.client.HTTPConnection:
        """Open a connection to the shop."""
        return http.client.HTTPConnection(self.by.host, self.by.port, timeout=30)

    def keep_cookies(self, answer: Answer) -> None:
        """Put an answer's cookies into the jar, and take out those that it deletes."""
        for name, morsel in cookies_of(answer).items():
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value

    def follow(self, answer: Answer) -> Answer:
        """Go where an answer redirects to."""
        assert answer.status == 303, (answer.status, answer.text)
        return self.get(answer.location)

    @property
    def cookie_header(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    @property
    def token(self) -> str:
        """The token of this visitor's forms, of the first page that they opened."""
        if not self._token:
            self._token = token_of(self.get("/").text)
        return self._token

    @token.setter
    def token(self, token: str) -> None:
        self._token = token

    def add(self, item_id: object, *, hx: bool = False) -> Answer:
        return self.post("/cart/items", {"item_id": str(item_id)}, hx=hx)

    def remove(self, item_id: object, *, hx: bool = False) -> Answer:
        return self.post(f"/cart/items/{item_id}/remove", hx=hx)

    def cart(self) -> list[int]:
        """Return the item ids that a fresh page shows in the cart, as they stand there."""
        return items_in(self.get("/cart").text)

    def checkout_form(self) -> list[tuple[str, str]]:
        """Open the checkout page and return its hidden fields, the token aside."""
        answer = self.get("/checkout")
        assert answer.status == 200, (answer.status, answer.location)
        return hidden_in(answer)

    def buy(
        self,
        hidden: Iterable[tuple[str, str]] | None = None,
        typed: Mapping[str, str] | None = None,
        *,
        hx: bool = False,
    ) -> Answer:
        """Buy what is in the cart.

        Args:
            hidden: the form's hidden fields; by default those of a checkout page opened now.
            typed: what is typed otherwise than in `BUYER`.
        """
        shown = self.checkout_form() if hidden is None else list(hidden)
        details = {**BUYER, **(typed or {})}
        return self.post("/checkout", [*shown, *details.items()], hx=hx)


def hidden_in(checkout: Answer) -> list[tuple[str, str]]:
    """Return the hidden fields of a checkout page's form, the token aside."""
    fields = inputs_of(element(checkout.text, "checkout"))
    return [(k, v) for k, v in fields if k in ("purchase", "seen", "seen_costs")]


def pairs(fields: Iterable[tuple[str, str]] | dict[str, str]) -> Iterable[tuple[str, str]]:
    return fields.items() if isinstance(fields, dict) else fields


def cookies_of(answer: Answer) -> SimpleCookie:
    """Return the cookies that an answer sets or deletes, with their attributes."""
    cart_cookies: SimpleCookie = SimpleCookie()
    for line in answer.headers.get_all("Set-Cookie") or ():
        cart_cookies.load(line)
    return cart_cookies


# --- Reading pages --------------------------------------------------------------------------


def element(html: str, element_id: str) -> str:
    """Return the element with an id, from its first to its last character."""
    found = re.search(rf'<([\w-]+)\b[^<>]*\sid="{re.escape(element_id)}"[^<>]*>', html)
    assert found, f"there is no #{element_id}"
    depth = 0
    for tag in re.finditer(rf"<(/?){found[1]}\b[^<>]*>", html[found.start() :]):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return html[found.start() : found.start() + tag.end()]
    raise AssertionError(f"#{element_id} has no end")


def text_of(html: str) -> str:
    """Return what is read of a piece of HTML, spaces folded."""
    return " ".join(html_module.unescape(re.sub(r"<[^>]*>", " ", html)).split())


def without_version(html: str) -> str:
    """Return a piece of HTML as a shopper sees it: a version alone is nothing to be seen."""
    return re.sub(r' data-version="\d+"', "", html)


def notices_in(html: str) -> list[str]:
    """Return the texts of all notices of a page or a fragment."""
    return [text_of(text) for text in re.findall(r'class="notice__text">(.*?)</p>', html, re.S)]


def items_in(html: str) -> list[int]:
    """Return the item ids of the cart's lines, in their order."""
    return [int(i) for i in re.findall(r'data-item-id="(\d+)"', element(html, "cart"))]


def version_in(html: str) -> int:
    """Return the version that a cart is shown under."""
    found = re.search(r'id="cart"[^>]* data-version="(\d+)"', html)
    assert found, "there is no cart"
    return int(found[1])


def ref_in(html: str) -> str:
    """Return the fingerprint of the cart that is shown."""
    found = re.search(r'id="cart"[^>]* data-cart-ref="(\w+)"', html)
    assert found, "there is no cart"
    return found[1]


def token_of(html: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', html)
    assert found, "the page has no token"
    return found[1]


def inputs_of(html: str) -> list[tuple[str, str]]:
    """Return names and values of the inputs and text areas in a piece of HTML."""
    reader = _Inputs()
    reader.feed(html)
    return reader.found


class _Inputs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        name = values.get("name") or ""
        if tag == "input":
            self.found.append((name, values.get("value") or ""))
        elif tag == "textarea":
            self._area = name
            self.found.append((name, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.found[-1] = (self._area, self.found[-1][1] + data)


# --- Live tabs ------------------------------------------------------------------------------


class Tab:
    """An open page: its event stream, and what it shows.

    It shows nothing until its first event is taken in, by `next` or `until`.
    """

    protocol = "HTTP/1.1"

    #: for how many bytes that it hasn't read yet there is room; None: as the kernel likes
    room: int | None = None

    #: the address that it comes from; None: as the kernel likes
    address: str | None = None

    def __init__(
        self,
        shop: Site,
        shopper: Shopper | None = None,
        products: Iterable[object] = (),
        **headers: str,
    ) -> None:
        self._waiting: list[Event] = []
        #: how many heartbeats came
        self.heartbeats = 0
        self.events: list[Event] = []
        #: what the page shows, by element id
        self.shown: dict[str, str] = {}
        query = urlencode([("product", str(product)) for product in products])
        if shopper and shopper.cookies:
            headers["Cookie"] = shopper.cookie_header
        self._connect(shop, f"?{query}" if query else "", headers)

    def _connect(self, shop: Site, query: str, headers: dict[str, str]) -> None:
        self._reader = EventReader()
        self.socket = self._open(shop.host, shop.port)
        headers.setdefault("Host", shop.host)
        lines = [f"GET /stream{query} {self.protocol}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        self.status, self.headers, rest = self._read_head()
        #: how many bytes are still to come of a body that has an end
        length = self.headers.get("content-length")
        self._left = int(length) - len(rest) if length else None
        self._take(self._reader.feed(rest))

    def _open(self, host: str, port: int) -> socket.socket:
        connection = socket.socket()
        for option in self._options():
            connection.setsockopt(*option)
        connection.settimeout(10)
        try:
            if self.address is not None:
                connection.bind((self.address, 0))
            connection.connect((host, port))
        except OSError:
            connection.close()
            raise
        return connection

    def _options(self) -> list[tuple[int, int, int]]:
        return [(socket.SOL_SOCKET, socket.SO_RCVBUF, self.room)] if self.room else []

    def _read_head(self) -> tuple[int, dict[str, str], bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                self.close()
                raise
            if not more:
                raise NeverHappened(f"the stream ended before its head did: {data!r}")
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        return int(first.split()[1]), headers, rest

    def next(self, seconds: float = 5.0) -> Event:
        """Return the next event, and show what it brings.

        Raises:
            NeverHappened: none came in time.
            EOFError: the shop ended the stream.
        """
        deadline = time.monotonic() + seconds
        while not self._waiting:
            self.listen(deadline - time.monotonic())
        event = self._waiting.pop(0)
        self.events.append(event)
        self.shown.update(partials_in(event.data))
        return event

    def listen(self, seconds: float) -> None:
        """Wait for something to arrive, be it a whole event or not."""
        try:
            self.socket.settimeout(max(seconds, 0.001))
            self._take(self._receive())
        except (TimeoutError, websocket.WebSocketTimeoutException):
            raise NeverHappened("nothing came in time") from None

    def _take(self, events: list[Event]) -> None:
        news = [event for event in events if event.name != "beat"]
        self.heartbeats += len(events) - len(news)
        self._waiting += news

    def _receive(self) -> list[Event]:
        data = b"" if self._left == 0 else self.socket.recv(1 << 20)
        if not data:
            raise EOFError("the stream ended")
        if self._left is not None:
            self._left -= len(data)
        return self._reader.feed(data)

    def until(self, shows: Callable[[Self], Any], seconds: float = 5.0) -> Self:
        """Take in events until the page shows what is asked for."""
        deadline = time.monotonic() + seconds
        while not shows(self):
            self.next(deadline - time.monotonic())
        return self

    def until_shown(self, element_id: str, html: str, seconds: float = 5.0) -> Self:
        """Take in events until an element is exactly this."""
        return self.until(lambda tab: tab.shown.get(element_id) == html, seconds)

    @property
    def cart(self) -> list[int]:
        """The item ids in the cart as this tab shows it."""
        return items_in(self.shown["cart"])

    def level(self, product_id: int, item_id: int) -> str:
        """The level of an item as this tab shows it."""
        return level_in(self.shown[f"stock-{product_id}"], item_id)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SocketTab(Tab):
    """An open page that follows the shop over a WebSocket."""

    def _connect(self, shop: Site, query: str, headers: dict[str, str]) -> None:
        self._reader = EventReader()
        headers.setdefault("Origin", shop.url)
        self._websocket = websocket.create_connection(
            f"{shop.url.replace('http', 'ws', 1)}/socket{query}",
            timeout=10,
            host=headers.pop("Host", None),
            header=headers,
            suppress_origin=True,
            sockopt=self._options(),
            socket=self._open(shop.host, shop.port) if self.address else None,
            sslopt=self.tls_options(shop),
        )
        assert self._websocket.sock
        self.socket = self._websocket.sock

    def tls_options(self, shop: Site) -> dict[str, Any]:
        """Return how the shop is known to be who it is, where it speaks TLS."""
        return {}

    def _receive(self) -> list[Event]:
        frame = self._websocket.recv_frame()
        if frame is None or frame.opcode == websocket.ABNF.OPCODE_CLOSE:
            raise EOFError(int.from_bytes(frame.data[:2], "big") if frame else 0)
        assert frame.opcode == websocket.ABNF.OPCODE_TEXT
        return [Event(frame.data.decode()) if frame.data else Event("", "beat")]

    def close(self) -> None:
        self._websocket.shutdown()


class DeafTab(Tab):
    """A tab with hardly any room for what it doesn't read."""

    room = 4096


class DeafSocketTab(SocketTab):
    """The same over a WebSocket."""

    room = 4096


def level_in(html: str, item_id: int) -> str:
    """Return the level that a page or a fragment shows of an item."""
    button = rf'<button class="[^"]*--level-(\w+)"[^>]* name="item_id" value="{item_id}"'
    found = re.search(button, html)
    assert found, f"item {item_id} is not for sale here"
    return found[1]


def partials_in(html: str) -> Iterator[tuple[str, str]]:
    """Give the fragments of a message, by the id of the element that each stands for."""
    one = r'<hx-partial hx-target="#([\w-]+)" hx-swap="outerMorph">(.*?)</hx-partial>'
    yield from re.findall(one, html, re.S)
