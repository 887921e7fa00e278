"""Mending how simple-websocket writes."""

from __future__ import annotations

import threading
from typing import Any


class WholeFrames:
    """A socket whose `send` writes all of it, and one frame at a time.

    simple-websocket 1.1.0 calls `send` once: a partial write would corrupt the frame. And its
    reading thread answers pings while the shop writes: two frames must not interleave.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._lock = threading.Lock()

    def send(self, data: bytes) -> int:
        with self._lock:
            self._sock.sendall(data)
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
