"""What the clients do: endless scripts of requests, each yielded and sent its answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from html import unescape

from bench.http1 import Answer, Request

Script = Generator[Request, Answer, None]

BUYER = {"email": "kim@example.com", "name": "Kim", "address": "1 Quay, 1000 Harbour"}

_HTMX = {"HX-Request": "true"}


def bare_route(number: int) -> Script:
    """Ask for what costs a server the least."""
    while True:
        yield Request("bare route", "GET", "/")


def front_page(number: int) -> Script:
    """Read the front page, as a visitor with a cart cookie."""
    while True:
        yield Request("GET /", "GET", "/")


def adds_and_removes(number: int) -> Script:
    """Put an item into the cart and take it out again."""
    token, item = yield from arrive(number)
    while True:
        yield add(token, item)
        yield remove(token, item)


def purchases(number: int) -> Script:
    """Put an item into the cart and buy it."""
    token, item = yield from arrive(number)
    while True:
        # The cart that comes back brings the checkout form's hidden fields.
        added = yield add(token, item)
        yield Request(
            "checkout",
            "POST",
            "/checkout",
            [("csrf_token", token), *hidden_fields(added.text), *BUYER.items()],
            status=303,
        )


SCRIPTS: dict[str, Callable[[int], Script]] = {
    script.__name__: script for script in (bare_route, front_page, adds_and_removes, purchases)
}


def arrive(number: int) -> Generator[Request, Answer, tuple[str, str]]:
    """Open the front page; choose a size there that others, if there are enough, don't."""
    page = (yield Request("GET /", "GET", "/")).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    items = re.findall(r'name="item_id" value="(\d+)"', page)
    if token is None or not items:
        raise ValueError("the front page has no form with a token and sizes")
    return unescape(token[1]), items[number % len(items)]


def add(token: str, item: str) -> Request:
    """Ask for an item to be put into the cart, as HTMX does."""
    return _post("add", "/cart/items", token, item_id=item)


def remove(token: str, item: str) -> Request:
    """Ask for an item to be taken out of the cart, as HTMX does."""
    return _post("remove", f"/cart/items/{item}/remove", token)


def _post(kind: str, path: str, token: str, **form: str) -> Request:
    return Request(kind, "POST", path, {"csrf_token": token, **form}, _HTMX)


def hidden_fields(html: str) -> list[tuple[str, str]]:
    """Return what the checkout form says of the cart that the shopper saw."""
    return re.findall(r'<input type="hidden" name="(purchase|seen)" value="([^"]*)"', html)
