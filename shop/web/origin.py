"""Whether a request was sent by a page of this shop, as far as the browser says."""

from __future__ import annotations

import logging
import re
from urllib.parse import SplitResult, urlsplit

from werkzeug.exceptions import BadRequest, HTTPException

from shop.services import services
from shop.web.requests import current_request

log = logging.getLogger(__name__)


class OtherOrigin(BadRequest):
    """An action that no page of this shop has sent, as far as the browser says."""

    description = (
        "Your browser does not say that this was sent from one of the shop’s own pages. "
        "Open the shop again at its own address and try once more: nothing was changed."
    )


def refuse_other_origins(error: type[HTTPException]) -> None:
    """Raise the error if the request that is being answered comes from elsewhere, and log it."""
    if comes_from_here():
        return
    services.metrics.refused("other_origin")
    headers = current_request().headers
    names = ("Origin", "Host", "Sec-Fetch-Site")
    met = [f"{name} {_loggable(headers.get(name))}" for name in names]
    log.warning("refused, as it was not sent from here: %s", ", ".join(met))
    raise error


def comes_from_here() -> bool:
    """Tell whether the browser sent this request for a page of this shop.

    Sec-Fetch-Site decides, which no page can set, and which no proxy in between makes wrong.
    Browsers leave it out on plain HTTP, Chromium with every WebSocket, and older ones always: then
    Origin is compared with Host (the rule of Go's net/http.CrossOriginProtection). A client that
    sends neither is no browser that could be misused.
    """
    headers = current_request().headers
    site = headers.get("Sec-Fetch-Site")
    if site == "same-origin":
        return True
    if site is not None and site != "none":
        return False
    origin = headers.get("Origin")
    return origin is None or is_here(origin)


def is_here(url: str) -> bool:
    """Tell whether an address is one of this shop, as the request that is answered names it.

    A Host without a port may have lost it in a proxy before a published port: then the name
    decides. Ports keep nothing apart that cookies don't give to all of them (RFC 6265, 8.5).
    """
    host: str = current_request().environ.get("HTTP_HOST", "")
    try:
        there = urlsplit(url)
        if there.netloc == host:  # as it nearly always is
            return host != ""
        here = urlsplit(f"{there.scheme}://{host}")
        same_port = here.port is None or _port(there) == _port(here)
        return bool(here.hostname) and there.hostname == here.hostname and same_port
    except ValueError:  # of what is no address
        return False


def _port(address: SplitResult) -> int | None:
    return address.port or {"http": 80, "https": 443}.get(address.scheme)


#: What origins and hosts look like. What a client has made up may be anything, somebody's name
#: as well, and is not repeated.
_ORIGIN_OR_HOST = re.compile(r"([a-z][a-z0-9+.-]{1,20}://)?[A-Za-z0-9._:\[\]-]{1,100}")


def _loggable(value: str | None) -> str:
    if value is None:
        return "(none)"
    return value if _ORIGIN_OR_HOST.fullmatch(value) else "(unreadable)"
