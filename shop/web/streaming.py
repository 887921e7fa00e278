"""How a tab's stream is held: taken over by the hub, or written by a greenlet of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from ssl import SSLSocket
from typing import Any, TypeVar, cast

from flask import Response, current_app, stream_with_context
from sqlalchemy.exc import DBAPIError

from shop.changes import cart_name
from shop.db import DatabaseBusy
from shop.framing import HEARTBEAT_EVENT, Joined, sse_event
from shop.models import CartSnapshot
from shop.services import services
from shop.streams import HEARTBEAT, UNKNOWN_PAGE
from shop.tabs import QueueTab, SocketTab
from shop.web.app import ShopApp

AnyTab = TypeVar("AnyTab", SocketTab, QueueTab)

#: What an event stream is answered whose state can't be read.
_AWAY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nConnection: close\r\n\r\n"

#: What an event stream is answered whose cart has no slot left: its page then opens a WebSocket.
_OVERFLOW = sse_event("", event="overflow")

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx must not gather what is to arrive at once
}


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a request for a stream asks for."""

    topics: tuple[str, ...]
    page: str
    #: the address that it comes from, in the words of `limits`
    source: str
    #: the cart among them, as it was read to find out which one it is
    read: CartSnapshot | None
    #: the moment of `Live` before that
    moment: int

    def present(self) -> str:
        """Render all that is true now of what is asked for."""
        return services.live.present_state(self.topics, self.read, self.moment)


class EventStream(Response):
    """An answer that never ends.

    Where the server can hand over its socket, the hub takes it and the request is over;
    elsewhere the request lives on as a generator.
    """

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(headers=_HEADERS)
        self.subscription = subscription

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "HEAD":
            self.response = []
        elif not _can_hand_over(environ):
            self.response = stream_with_context(self._generate())
        elif (tab := _with_slot(self.subscription, partial(self._join, environ))) is None:
            self.response = [_OVERFLOW]
        else:
            self._open(tab, self._head(environ))
            raise StopIteration  # to the server: the connection is not its own any more
        return super().__call__(environ, start_response)

    def _join(self, environ: dict[str, Any], subscription: Subscription) -> SocketTab:
        # A duplicate, non-blocking as all of gevent's are; the server closes its own.
        descriptor = os.dup(environ["gunicorn.socket"].fileno())
        return SocketTab(
            services.hub, descriptor, subscription.topics, subscription.page, subscription.source
        )

    def _open(self, tab: SocketTab, head: bytes) -> None:
        # What fails here is beyond the app's own answers to errors.
        try:
            tab.open(head + sse_event(self.subscription.present()))
        except (DBAPIError, DatabaseBusy):
            tab.open(_AWAY)
            tab.close()
        except BaseException:
            tab.close()
            raise

    def _head(self, environ: dict[str, Any]) -> bytes:
        headers = [*self.headers, *cast(ShopApp, current_app).always(environ)]
        lines = [f"HTTP/1.1 {self.status}", *(f"{k}: {v}" for k, v in headers)]
        # The end of the connection ends the stream: no chunks, no length (RFC 9112, section 6.3).
        lines = [line for line in lines if not line.lower().startswith("content-length:")]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")

    def _generate(self) -> Iterator[bytes]:
        join = partial(queue_tab, wake=threading.Event(), is_event_stream=True)
        tab = _with_slot(self.subscription, join)
        if tab is None:
            yield _OVERFLOW
            return
        try:
            present = self.subscription.present()
            tab.open()
            yield sse_event(present)
            while not tab.closed:
                news = tab.take(HEARTBEAT)
                yield Joined(news).sse if news else HEARTBEAT_EVENT
        finally:
            tab.close()


def _can_hand_over(environ: dict[str, Any]) -> bool:
    """Tell whether the server lets the app have its socket: the shop's own does it as gunicorn."""
    connection = environ.get("gunicorn.socket")
    # What is written past a TLS connection is none of its own (gunicorn --certfile).
    return connection is not None and not isinstance(connection, SSLSocket)


def queue_tab(subscription: Subscription, **attributes: Any) -> QueueTab:
    return QueueTab(
        services.hub,
        subscription.topics,
        page=subscription.page,
        source=subscription.source,
        **attributes,
    )


def _with_slot(subscription: Subscription, join: Callable[[Subscription], AnyTab]) -> AnyTab | None:
    """Have a tab join the hub if its browser can hold one more event stream, else return None.

    A browser holds six connections, so its cart has a number of places on this machine. A page of
    the shop without a cart is in a browser that refuses cookies: all its tabs leave their streams.
    """
    if subscription.read is None:
        return join(subscription) if subscription.page == UNKNOWN_PAGE else None
    hub, slots = services.hub, services.stream_slots
    cart = cart_name(subscription.read.cart_id)
    if not slots.acquire(cart, hub.event_streams(cart), services.settings.sse_per_cart):
        return None
    try:
        return join(subscription)  # from now on the hub counts it
    finally:
        slots.release(cart)
