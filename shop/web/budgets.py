"""What is counted in a minute, of a cart or of an address: generous for people.

Many honest people may come from one address: a phone company's customers, a museum's visitors.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address

from flask import Flask, current_app, request
from flask_limiter import Limiter
from limits import RateLimitItemPerSecond
from limits.strategies import RateLimiter
from werkzeug.exceptions import TooManyRequests

from shop.config import Settings
from shop.services import services, services_of
from shop.shared_table import SharedTable
from shop.web.address import read_address
from shop.web.rate_limit_storage import storage_uri

log = logging.getLogger(__name__)

#: Seconds in which what is alike is counted together.
WINDOW = 60

#: What is counted: actions of a cart; actions, new carts and bought pairs of an address.
CART, ADDRESS, NEW_CARTS, PAIRS = "cart", "address", "new carts", "pairs"
#: and questions for an order of an address: as many as somebody mistypes, and not a guesser's
SEARCHES = "searches"

_MOST_SEARCHES = 10

#: and requests to be told when a size is back
ALERTS = "alerts"

_MOST_ALERTS = 20

_WHAT_WAS = {
    CART: "That was a lot at once.",
    ADDRESS: "That was a lot at once.",
    NEW_CARTS: "Very many carts were begun from your network in this minute.",
    SEARCHES: "Very many orders were asked for from your network in this minute.",
    ALERTS: "Very many mails were asked for from your network in this minute.",
    PAIRS: "Very many pairs were bought from your network in this minute.",
}


class TooManyActions(TooManyRequests):
    """More than people do."""

    def __init__(self, what: str, seconds: int) -> None:
        again = f"{seconds} second{'' if seconds == 1 else 's'}"
        text = f"{_WHAT_WAS[what]} Try again in {again}: your cart is as it was."
        super().__init__(text, retry_after=seconds)


class Budgets:
    """How much of each there may be in a window, and what is left of it."""

    def __init__(self, settings: Settings, counting: RateLimiter) -> None:
        limits = {
            CART: settings.actions_per_cart,
            ADDRESS: settings.actions_per_address,
            NEW_CARTS: settings.new_carts_per_address,
            PAIRS: settings.pairs_per_address,
            SEARCHES: _MOST_SEARCHES,
            ALERTS: _MOST_ALERTS,
        }
        self._items = {
            what: RateLimitItemPerSecond(most, WINDOW, namespace=what.replace(" ", "-"))
            for what, most in limits.items()
            if most
        }
        self._counting = counting
        self._refusals = Refusals()

    def take(self, what: str, whose: str | None, count: int = 1) -> None:
        """Take something out of a budget.

        Args:
            whose: the name that it is counted under; None: not at all.

        Raises:
            TooManyActions: so much is not left.
        """
        item = self._items.get(what)
        if item is None or whose is None or self._counting.hit(item, whose, cost=count):
            return
        self._refusals.add(what)
        services.metrics.refused("rate_limited")
        end = self._counting.storage.get_expiry(item.key_for(whose))
        raise TooManyActions(what, max(math.ceil(end - time.time()), 1))


_BUDGETS = "shop.budgets"


def install(app: Flask) -> None:
    """Give the app its budgets."""
    settings = services_of(app).settings
    app.extensions[_BUDGETS] = Budgets(settings, _counting(app, settings))


def take_of_address(what: str, count: int = 1) -> None:
    """Take something out of the budget of the address that the request comes from.

    Raises:
        TooManyActions: so much is not left.
    """
    current_budgets().take(what, address_key(), count)


def current_budgets() -> Budgets:
    """Return the budgets of the current app."""
    found: Budgets = current_app.extensions[_BUDGETS]
    return found


def _counting(app: Flask, settings: Settings) -> RateLimiter:
    """Return what counts, and decides: Flask-Limiter's, with storages of the shop's own.

    Its own hooks find out for each request which limits there are, anew: that would cost every
    page 30 µs and every action 95. It leaves them out of an app that it thinks it knows.
    """
    limiter = Limiter(
        lambda: address_key() or "",
        storage_uri=storage_uri(settings.redis_url),
        storage_options={
            "key_prefix": f"{settings.redis_prefix}actions",
            "table": SharedTable(settings.instance / "run" / "counts", "Q"),  # type: ignore[dict-item]
            "secret": settings.secret_key,
        },
    )
    app.extensions.setdefault("limiter", set()).add(limiter)
    limiter.init_app(app)
    return limiter.limiter


def address_key() -> str | None:
    """Return what is counted of one address is counted under, unreadable as an address.

    A home or a phone is given a whole /64 of IPv6, and may choose any address in it. All that is
    said in the place of an address and is none counts as one: else who can have a proxy say such
    would be free of limits.

    Returns:
        None: the request came over a socket file, and nobody said for whom.
    """
    return _key_of((request.remote_addr or "")[:_LONGEST], services.settings.secret_key)


#: More characters than any address has, with its zone and port: what is kept of it is bounded.
_LONGEST = 100


@lru_cache(maxsize=1024)
def _key_of(text: str, secret: str) -> str | None:
    if not text:
        return None
    address = read_address(text)
    home = int(address) >> 64 if isinstance(address, IPv6Address) else address
    return blake2b(str(home).encode(), digest_size=8, key=secret.encode()[:64]).hexdigest()


class Refusals:
    """Counts what was refused, and says so at most once a second."""

    def __init__(self) -> None:
        self._unsaid: Counter[str] = Counter()
        self._said_at = -math.inf

    def add(self, name: str) -> None:
        """Count a refusal; `name` says whose actions were too many, in a word."""
        self._unsaid[name] += 1
        now = time.monotonic()
        if now - self._said_at >= 1:
            counts = ", ".join(f"{name} {n}" for name, n in sorted(self._unsaid.items()))
            log.warning("refused as too many, by limit: %s", counts)
            self._unsaid.clear()
            self._said_at = now
