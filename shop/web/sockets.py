"""Mending how simple-websocket writes and reads."""

from __future__ import annotations

import threading
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Any

from shop.turns import pass_on

#: How much a tab may say in all, in bytes: answers to pings, 6 bytes every 12 s, for weeks.
MOST_HEARD = 1024 * 1024


class WholeFrames:
    """A socket whose `send` writes all of it, one frame at a time, and that hears no floods.

    simple-websocket 1.1.0 calls `send` once: a partial write would corrupt the frame. And its
    reading thread answers pings while the shop writes: two frames must not interleave.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._heard = 0

    def recv(self, size: int) -> bytes:
        """Receive, but not from a client that talks and talks: to it, the line is dead."""
        pass_on()  # what is there already would be read without ever letting others run
        data: bytes = self._sock.recv(size)
        self._heard += len(data)
        return data if self._heard <= MOST_HEARD else b""

    def send(self, data: bytes) -> int:
        with self._lock:
            self._sock.sendall(data)
        return len(data)

    def cut(self) -> None:
        """End the connection both ways: who waits for it to be read waits no more."""
        with suppress(OSError):
            self._sock.shutdown(SHUT_RDWR)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
