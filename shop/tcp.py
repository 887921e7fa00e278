"""Limits that the kernel keeps for a connection, where it can."""

from __future__ import annotations

import _socket
import socket
from contextlib import suppress
from typing import Protocol


class Connection(Protocol):
    """A socket of whatever kind."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...


def limit_unacknowledged(connection: Connection, milliseconds: int) -> None:
    """Have the kernel give up a peer that has acknowledged nothing for so long.

    See TCP_USER_TIMEOUT in tcp(7). Where there is no such option, as on macOS, a peer that is gone
    is noticed by the kernel's own time limits, after some minutes.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, milliseconds)


def limit_unsent(descriptor: int, most: int, milliseconds: int) -> None:
    """Limit what the kernel holds for a peer that reads nothing, and for how long.

    Args:
        most: of bytes; the kernel takes it twice.
        milliseconds: how long a peer may acknowledge nothing.
    """
    with suppress(OSError, ValueError):  # one that has just left is noticed by the first write
        connection = _socket.socket(fileno=descriptor)
        try:
            connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, most)
            if connection.family != _socket.AF_UNIX:
                limit_unacknowledged(connection, milliseconds)
        finally:
            connection.detach()
