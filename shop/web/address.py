"""The address that a request comes from: the client's own, or what a trusted proxy says it is."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from shop.ipv4 import ipv4_within

#: An address as proxies write it: some add the port, and IPv6 is then in brackets (RFC 7239, 6).
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|([\d.]+):\d{1,5}")


@lru_cache(maxsize=1024)
def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, as IPv4 if it is one within IPv6; None for what is no address."""
    if found := _WITH_PORT.fullmatch(text.strip()):
        text = found[1] or found[2] or ""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and ipv4_within(address)) or address
