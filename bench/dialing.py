"""Connections to a server on this machine that may not be there, or may take its time."""

from __future__ import annotations

import errno
import os
import socket
import struct

_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; the constant came with Python 3.12
_RESET = struct.pack("ii", 1, 0)  # closing leaves no TIME_WAIT behind, that its port be free


def dial(source: str, port: int) -> socket.socket:
    """Begin to connect, and wait for nothing: `has_connected` tells how it went.

    Raises:
        ConnectionRefusedError: nobody listens there.
    """
    connection = socket.socket()
    try:
        connection.setblocking(False)
        # The port is chosen when it connects: among those that are free for this very server.
        connection.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.bind((source, 0))
        _check(connection.connect_ex(("127.0.0.1", port)))
    except BaseException:
        connection.close()
        raise
    return connection


def has_connected(connection: socket.socket) -> None:
    """Find out how connecting went, once the socket is ready.

    Raises:
        OSError: it failed.
    """
    _check(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def _check(number: int) -> None:
    if number not in (0, errno.EINPROGRESS):
        raise OSError(number, os.strerror(number))
