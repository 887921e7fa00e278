"""Addresses of IPv4 that stand within one of IPv6."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

#: Where translators put the IPv4 world (RFC 6052, 2.1).
_NAT64 = IPv6Network("64:ff9b::/96")


def ipv4_within(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that one of IPv6 stands for; None: it is one of its own."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped
