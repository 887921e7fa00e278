"""How many actions a cart, and an address, may do in a minute: generous for people.

Asked before anything else of a request is looked at, so that a refusal costs next to nothing.
A refused action doesn't count for what would have been asked next: who hammers at one cart
uses up nothing of the school that shares the address.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import blake2b
from ipaddress import IPv6Address
from typing import cast

from flask import Flask, request
from flask_limiter import Limiter
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.strategies import RateLimiter
from werkzeug.exceptions import TooManyRequests

from shop.config import Settings
from shop.parts import Parts, parts
from shop.web.address import read_address
from shop.web.counts import storage_uri
from shop.web.csrf import acts
from shop.web.requests import current_request
from shop.web.visitor import ref_of_cookies

log = logging.getLogger(__name__)

#: Seconds in which actions are counted together.
WINDOW = 60


@dataclass(frozen=True, slots=True)
class Limit:
    """So many actions in a window, each for whoever it names."""

    #: whose actions are counted, in a word
    name: str
    item: RateLimitItem
    #: the name that a request is counted under; None: not at all
    key: Callable[[], str | None]


class TooManyActions(TooManyRequests):
    """More actions than any person makes."""

    def __init__(self, seconds: int) -> None:
        again = f"{seconds} second{'' if seconds == 1 else 's'}"
        text = f"That was a lot at once. Try again in {again}: your cart is as it was."
        super().__init__(text, retry_after=seconds)


def install(app: Flask) -> None:
    """Refuse what is too much, whichever action it is."""
    settings = cast(Parts, app.extensions["shop"]).settings
    if limits := _limits(settings):
        check = partial(_check, _counting(app, settings), limits, Refusals())
        app.before_request(check)


def _limits(settings: Settings) -> list[Limit]:
    wanted = (
        ("cart", settings.actions_per_cart, ref_of_cookies),
        ("address", settings.actions_per_address, address_key),
    )
    return [
        Limit(name, RateLimitItemPerSecond(most, WINDOW, namespace=name), key)
        for name, most, key in wanted
        if most
    ]


def _counting(app: Flask, settings: Settings) -> RateLimiter:
    """Return what counts, and decides: Flask-Limiter's, with storages of the shop's own.

    Its own hooks find out for each request which limits there are, anew: that would cost every
    page 30 µs and every action 95. It leaves them out of an app that it thinks it knows.
    """
    limiter = Limiter(
        lambda: address_key() or "",
        storage_uri=storage_uri(settings.redis_url),
        storage_options={"key_prefix": f"{settings.redis_prefix}actions"},
    )
    app.extensions.setdefault("limiter", set()).add(limiter)
    limiter.init_app(app)
    return limiter.limiter


def _check(counting: RateLimiter, limits: list[Limit], refusals: Refusals) -> None:
    if not acts(current_request()):
        return
    for limit in limits:
        key = limit.key()
        if key is not None and not counting.hit(limit.item, key):
            refusals.add(limit.name)
            parts.metrics.refused("rate_limited")
            end = counting.storage.get_expiry(limit.item.key_for(key))
            raise TooManyActions(max(math.ceil(end - time.time()), 1))


def address_key() -> str | None:
    """Return what is counted of one address is counted under, unreadable as an address.

    A home or a phone is given a whole /64 of IPv6, and may choose any address in it. All that is
    said in the place of an address and is none counts as one: else who can have a proxy say such
    would be free of limits.

    Returns:
        None: the request came over a socket file, and nobody said for whom.
    """
    return _key_of(request.remote_addr or "", parts.settings.secret_key)


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
            log.warning("actions refused as too many, by limit: %s", counts)
            self._unsaid.clear()
            self._said_at = now
