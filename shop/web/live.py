"""The stream routes: what a request may watch, and how its connection is held."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import unquote, urlsplit

from flask import Blueprint, Response, current_app, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import Forbidden, HTTPException
from werkzeug.routing import RequestRedirect
from wsproto.utilities import RemoteProtocolError

from shop.changes import cart_name, detail_name, list_name, order_name, product_name
from shop.db import DatabaseBusy
from shop.framing import (
    HEARTBEAT_FRAME,
    Joined,
    websocket_text_frame,
)
from shop.models import UnknownOrder
from shop.services import services
from shop.serving.connections import most_streams
from shop.streams import HEARTBEAT, UNKNOWN_PAGE
from shop.tabs import limit_unread
from shop.web import requests
from shop.web.budgets import address_key
from shop.web.origin import is_here, refuse_other_origins
from shop.web.sockets import WholeFrames
from shop.web.streaming import EventStream, Subscription, queue_tab
from shop.web.visitor import cart_of_cookie

bp = Blueprint("live", __name__)
sock = Sock()

#: More products than any page shows.
_MOST_PRODUCTS = 500

#: More pages than any list of products has.
_MOST_PAGES = 10_000

#: How many products may be named that are not in the shop: an open page may show some that were
#: taken out of it since.
_MOST_UNKNOWN = 20

#: More characters than the secret name of an order has.
_LONGEST_TOKEN = 100

#: WebSocket close code for a server that goes away: browsers come back after it (RFC 6455, 7.4.1).
GOING_AWAY = 1001
POLICY_VIOLATION = 1008

#: Seconds that a tab is given to answer when the shop closes its WebSocket.
GOODBYE = 2.0

#: The pages that carry a stream, beside the products'.
_PAGES = {
    "catalog.index": "/",
    "cart.show": "/cart",
    "checkout.show": "/checkout",
    "checkout.complete": "/checkout/complete",
    "orders.show": "/orders/…",
    "payments.show": "/orders/…/pay",
    "demo_payments.show": "/demo-payments/…",
    "orders.ask": "/orders",
    "alerts.ask": "/products/…/alerts",
    "alerts.show": "/alerts/…",
}


@bp.before_app_request
def can_be_asked() -> None:
    """See to it that operators can ask whoever serves what is open there."""
    services.presence.start()


@bp.before_request
def check_room() -> Response | None:
    """Refuse what there is no place for, before anything is spent on it."""
    hub, settings, source = services.hub, services.settings, _source()
    most, most_here = settings.streams_per_address, min(settings.max_streams, most_streams())
    if len(hub) < most_here and not (source and most and hub.tabs_from(source) >= most):
        return None
    services.metrics.refused("no_place")
    return Response("All places are taken right now.\n", 503, {"Retry-After": "5"})


@bp.get("/stream")
def stream() -> Response:
    services.inventory.current()  # a database that is away is to be said before a stream begins
    return EventStream(_subscription())


@sock.route("/socket", bp=bp)
def socket(connection: Server) -> None:
    request.environ.get("shop.keep", bool)()  # the server leaves it alone from now on
    limit_unread(connection.sock.fileno())
    subscription = _subscription()
    tab = queue_tab(
        subscription, wake=connection.event, is_event_stream=False, cut=connection.sock.cut
    )
    requests.report(101)  # its end is when the tab leaves
    try:
        present = subscription.present()
        tab.open()
        connection.sock.send(websocket_text_frame(present))
        while connection.connected and not tab.closed:
            news = tab.take(HEARTBEAT)
            connection.sock.send(Joined(news).websocket if news else HEARTBEAT_FRAME)
            if connection.input_buffer:  # a tab has nothing to say here
                connection.close(POLICY_VIOLATION)
        if connection.connected:
            connection.close(GOING_AWAY)
    except (ConnectionClosed, OSError):
        pass
    except (DBAPIError, DatabaseBusy):
        connection.close(GOING_AWAY)  # the tab comes back, and asks again
    finally:
        tab.close()
        _part_from(connection)


def _part_from(connection: Server) -> None:
    """Give a tab a moment to answer the shop's good-bye, then let go of it all the same."""
    connection.thread.join(GOODBYE)
    connection.sock.cut()


@bp.before_request
def check_origin() -> None:
    if request.endpoint != "live.socket":
        return
    if request.method != "GET":
        raise RemoteProtocolError("a WebSocket is opened by GET (RFC 6455, section 4.1)")
    refuse_other_origins(Forbidden)
    environ = request.environ
    # Compressing each message anew for each tab would cost more than it saves.
    environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    environ.pop("HTTP_SEC_WEBSOCKET_PROTOCOL", None)  # there is but one
    # Mended before it is read from, which simple-websocket begins with at once.
    for name in ("gunicorn.socket", "werkzeug.socket"):
        if name in environ:
            environ[name] = WholeFrames(environ[name])


@bp.errorhandler(RemoteProtocolError)
def refuse_handshake(_: RemoteProtocolError) -> Response:
    return Response("Here is a WebSocket and nothing else.\n", 400)


@bp.errorhandler(ConnectionError)
def forget_handshake(_: ConnectionError) -> Response:
    """Answer a tab that left in the middle of its handshake: nobody reads that."""
    return Response(status=400)


def _source() -> str:
    return address_key() or ""


def _subscription() -> Subscription:
    """Return what the request may watch: what it names of the catalogue, its own cookies' cart."""
    products = [product_name(number) for number in sorted(_asked("product"))]
    products += [detail_name(number) for number in sorted(_asked("detail"))[:1]]
    products += [list_name(number) for number in _asked_lists()]
    products += _asked_order()
    moment, cart = services.live.moment, cart_of_cookie()
    topics = products if cart is None else [cart_name(cart.cart_id), *products]
    return Subscription(tuple(topics), _page(), _source(), cart, moment)


def _asked_order() -> list[str]:
    """Return the order that the request knows the secret name of, as a topic."""
    token = request.args.get("order", "")[:_LONGEST_TOKEN]
    if not token:
        return []
    with suppress(UnknownOrder):
        return [order_name(services.orders.find(token).order.id)]
    return []


def _asked_lists() -> list[int]:
    """Return the page of the list that the request names, if it names one that can be."""
    return [number for number in sorted(_numbers("list")) if 0 < number <= _MOST_PAGES][:1]


def _numbers(name: str) -> set[int]:
    asked = request.args.getlist(name)[:_MOST_PRODUCTS]
    return {int(text) for text in asked if text.isascii() and text.isdigit() and len(text) < 19}


def _asked(name: str) -> set[int]:
    """Return the products that the request names: those of this shop, and a few unknown ones."""
    numbers = _numbers(name)
    known = numbers & services.inventory.last_known.by_id.keys()
    return known.union(sorted(numbers - known)[:_MOST_UNKNOWN])


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
        product = services.inventory.last_known.find(values["sku"])
        return f"/products/{product.sku}" if product else UNKNOWN_PAGE
    return _PAGES.get(endpoint, UNKNOWN_PAGE)


def _path_of_referrer() -> str:
    referrer = request.referrer or ""
    return unquote(urlsplit(referrer).path) if is_here(referrer) else ""
