"""Mending how simple-websocket writes and reads."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Any

#: How many bytes a tab may say at once, and how many a second on average. It has nothing to say but
#: answers to the shop's pings, 6 bytes every few seconds, and a good-bye; some programs ping, too.
MOST_AT_ONCE, MOST_A_SECOND = 512, 16

#: A frame that closes with the code for a policy that was violated, 1008 (RFC 6455, 7.4.1).
_POLICY_VIOLATION = b"\x88\x02\x03\xf0"


class WholeFrames:
    """A socket whose `send` writes all of it, one frame at a time, and that hears no floods.

    simple-websocket 1.1.0 calls `send` once: a partial write would corrupt the frame. And its
    reading thread answers pings while the shop writes: two frames must not interleave.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._allowance, self._heard_at = float(MOST_AT_ONCE), time.monotonic()

    def recv(self, size: int) -> bytes:
        """Receive, but not from a client that talks and talks: that is cut off, and not heard."""
        data: bytes = self._sock.recv(min(size, MOST_AT_ONCE))
        now = time.monotonic()
        grown = self._allowance + (now - self._heard_at) * MOST_A_SECOND
        self._allowance, self._heard_at = min(grown, MOST_AT_ONCE) - len(data), now
        if self._allowance >= 0:
            return data
        self._refuse()
        return b""

    def _refuse(self) -> None:
        """Say why, unless that would take time or come in the middle of a frame; then end it."""
        if self._lock.acquire(blocking=False):
            with suppress(OSError):
                self._sock.settimeout(0)
                self._sock.send(_POLICY_VIOLATION)
            self._lock.release()
        self.cut()

    def send(self, data: bytes) -> int:
        with self._lock:
            self._sock.sendall(data)
        return len(data)

    def cut(self) -> None:
        """End the connection both ways: a write that waits for it to be read fails."""
        with suppress(OSError):
            self._sock.shutdown(SHUT_RDWR)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
