"""The stream routes: what a request may watch, and how its connection is held."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from flask import Blueprint, Response, abort, current_app, request, stream_with_context
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect
from wsproto.utilities import RemoteProtocolError

from shop.changes import cart_name, product_name
from shop.parts import parts
from shop.streams import (
    HEARTBEAT,
    HEARTBEAT_COMMENT,
    UNKNOWN_PAGE,
    WEBSOCKET_PING,
    Message,
    QueueTab,
    SocketTab,
    sse_event,
)
from shop.web import requests
from shop.web.csrf import comes_from_here
from shop.web.sockets import WholeFrames
from shop.web.visitor import cart_of_cookie

bp = Blueprint("live", __name__)
sock = Sock()

#: More products than any page shows.
_MOST_PRODUCTS = 500

#: WebSocket close code for a server that goes away: browsers come back after it (RFC 6455, 7.4.1).
GOING_AWAY = 1001
POLICY_VIOLATION = 1008

#: The pages that carry a stream, beside the products'.
_PAGES = {
    "catalog.index": "/",
    "cart.show": "/cart",
    "checkout.show": "/checkout",
    "checkout.complete": "/checkout/complete",
}

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx must not gather what is to arrive at once
}


@bp.before_app_request
def can_be_asked() -> None:
    """See to it that operators can ask whoever serves what is open there."""
    parts.presence.start()


@bp.before_request
def check_room() -> Response | None:
    if len(parts.hub) < parts.settings.max_streams:
        return None
    parts.metrics.refused("no_place")
    return Response("All places are taken right now.\n", 503, {"Retry-After": "5"})


@bp.get("/stream")
def stream() -> Response:
    parts.inventory.current()  # a database that is away is to be said before a stream begins
    topics = _topics()
    if _has_its_streams(topics):
        return Response(sse_event("", event="overflow"), headers=_HEADERS)
    return EventStream(topics, _page())


@sock.route("/socket", bp=bp)
def socket(connection: Server) -> None:
    topics = _topics()
    connection.sock = WholeFrames(connection.sock)
    wake, page = connection.event, _page()
    tab = QueueTab(parts.hub, topics, wake, is_event_stream=False, page=page)
    requests.tell(101)  # its end is when the tab leaves
    try:
        connection.sock.send(Message(_present(topics)).websocket)
        while connection.connected and not tab.closed:
            frames = [message.websocket for message in tab.take(HEARTBEAT)]
            connection.sock.send(b"".join(frames) or WEBSOCKET_PING)
            if connection.input_buffer:  # a tab has nothing to say here
                connection.close(POLICY_VIOLATION)
        if connection.connected:
            connection.close(GOING_AWAY)
    except (ConnectionClosed, OSError):
        pass
    finally:
        tab.close()


@bp.before_request
def check_origin() -> None:
    if request.endpoint != "live.socket":
        return
    if not comes_from_here():
        abort(403)
    # Compressing each message anew for each tab would cost more than it saves.
    request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)


@bp.errorhandler(RemoteProtocolError)
def refuse_handshake(_: RemoteProtocolError) -> Response:
    return Response("Here is a WebSocket and nothing else.\n", 400)


class EventStream(Response):
    """An answer that never ends.

    Where the server can hand over its socket, the hub takes it and the request is over;
    elsewhere the request lives on as a generator.
    """

    def __init__(self, topics: tuple[str, ...], page: str) -> None:
        super().__init__(headers=_HEADERS)
        self.topics = topics
        self.page = page

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        hand_over = environ.get("shop.hand_over")
        if hand_over is None or environ["REQUEST_METHOD"] == "HEAD":
            live = environ["REQUEST_METHOD"] != "HEAD"
            self.response = stream_with_context(self._generate()) if live else []
            return super().__call__(environ, start_response)
        tab = SocketTab(parts.hub, hand_over(), self.topics, self.page)
        try:
            tab.open(self._head() + sse_event(_present(self.topics)))
        except BaseException:
            tab.close()
            raise
        return []

    def _head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status}", *(f"{k}: {v}" for k, v in self.headers)]
        # The end of the connection ends the stream: no chunks, no length (RFC 9112, section 6.3).
        lines = [line for line in lines if not line.lower().startswith("content-length:")]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")

    def _generate(self) -> Iterator[bytes]:
        wake, page = threading.Event(), self.page
        tab = QueueTab(parts.hub, self.topics, wake, is_event_stream=True, page=page)
        try:
            yield sse_event(_present(self.topics))
            while not tab.closed:
                messages = tab.take(HEARTBEAT)
                yield b"".join(message.sse for message in messages) or HEARTBEAT_COMMENT
        finally:
            tab.close()


def _present(topics: tuple[str, ...]) -> str:
    return parts.live.present_state(topics)


def _topics() -> tuple[str, ...]:
    """Return what the request may watch: the products it names, its own cookies' cart."""
    asked = request.args.getlist("product")[:_MOST_PRODUCTS]
    numbers = {int(text) for text in asked if text.isascii() and text.isdigit() and len(text) < 19}
    cart_id = cart_of_cookie()
    cart = [cart_name(cart_id)] if cart_id is not None else []
    return (*cart, *(product_name(number) for number in sorted(numbers)))


def _page() -> str:
    """Return the path of the page that the tab shows, if that is a page of this shop.

    A stream's Referer says so; with a WebSocket browsers send none, so its address does. What a
    tab says is looked up among the shop's own pages, and never repeated.
    """
    path = request.args.get("page") or _path_of_referrer()
    try:
        endpoint, values = current_app.url_map.bind("").match(path, method="GET")
    except (HTTPException, RequestRedirect):
        return UNKNOWN_PAGE
    if endpoint == "catalog.product":
        product = parts.inventory.last_known.by_sku.get(values["sku"])
        return f"/products/{product.sku}" if product else UNKNOWN_PAGE
    return _PAGES.get(endpoint, UNKNOWN_PAGE)


def _path_of_referrer() -> str:
    try:
        referrer = urlsplit(request.referrer or "")
    except ValueError:
        return ""
    return unquote(referrer.path) if referrer.netloc == request.host else ""


def _has_its_streams(topics: tuple[str, ...]) -> bool:
    carts = [topic for topic in topics if topic.startswith("cart:")]
    most = parts.settings.sse_per_cart
    return any(parts.hub.event_streams(topic) >= most for topic in carts)
