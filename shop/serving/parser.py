"""gunicorn's parser as it is used here: what it is told, and what is checked beyond it.

`tests/serving/test_malformed.py` is the list of what is refused.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

from gunicorn.config import Config
from gunicorn.http.message import Request

#: The most lines in a head, and the most bytes in one of them; the first has at most 8,190.
MOST_LINES, MOST_IN_LINE = 100, 16 * 1024

#: A host with or without a port (RFC 3986, section 3.2.2), but no comma: proxies join with it.
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]+)(?::[0-9]{0,5})?")

_CONNECTION = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z\-, \t]*")


def is_unambiguous(request: Request) -> bool:
    """Tell whether no proxy in front can read a head in another way than the shop does.

    RFC 9112 asks for a 400 otherwise: sections 3.2 (host and target) and 6.1 (transfer encoding).
    """
    values: dict[str, list[str]] = {}
    for name, value in request.headers:
        values.setdefault(name, []).append(value)
    hosts, coding = values.get("HOST", []), values.get("TRANSFER-ENCODING")
    return bool(
        all(_HOST.fullmatch(host) for host in hosts)
        and (hosts or request.version < (1, 1))
        and (coding is None or [value.lower() for value in coding] == ["chunked"])
        and all(_CONNECTION.fullmatch(value) for value in values.get("CONNECTION", []))
        and _is_a_target(request)
    )


def _is_a_target(request: Request) -> bool:
    uri: str = request.uri
    if "#" in uri:
        return False
    if uri.startswith("/"):
        return True
    if uri == "*":
        return bool(request.method == "OPTIONS")
    scheme, _, rest = uri.partition("://")
    host = re.split("[/?]", rest, maxsplit=1)[0]
    return scheme.lower() in ("http", "https") and _HOST.fullmatch(host) is not None


def _configure() -> SimpleNamespace:
    """Return what the parser is to do: as a copy, as gunicorn's own is slow to be asked."""
    config = Config()
    chosen = {
        "http_parser": "python",  # wherever it runs, whatever else is installed
        "limit_request_line": 8190,
        "limit_request_fields": MOST_LINES,
        "limit_request_field_size": MOST_IN_LINE,
        # What proxies say of whom they speak for is for the app to believe, or not.
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
    }
    for name, value in chosen.items():
        config.set(name, value)
    values = {name: getattr(config, name) for name in config.settings}
    return SimpleNamespace(**values, is_ssl=False, forwarded_allow_networks=tuple)


#: What the parser is to do.
CONFIG = _configure()
