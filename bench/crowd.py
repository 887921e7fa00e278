"""The load client for streams: a crowd of tabs, in a process of its own, that reads and counts.

Plain descriptors, one epoll and one buffer, and nothing made for a message: what it costs is
printed beside what the server costs, so that one can see that the server is what is measured.
"""

from __future__ import annotations

import os
import random
import select
import socket
import struct
import time
from collections.abc import Iterator
from itertools import count as count_from
from typing import Any

from bench.processes import answer_commands

#: How a message ends: with the last tag of a fragment, and an empty line. A heartbeat
#: doesn't.
END = b">\n\n"

#: Tabs that wait for their first message at the same time.
_AT_ONCE = 64

#: Between two looks at what has come, in seconds. A client that waited at the sockets would be
#: woken by nearly every message, on the server's account; so it is asleep meanwhile.
_PAUSE = 0.0005

_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; the constant came with Python 3.12
_RESET = struct.pack("ii", 1, 0)  # closing leaves no TIME_WAIT behind, that 5,000 ports be free

#: Shared by all tabs: a buffer made for each read would cost more than the read.
_buffer = bytearray(1 << 18)


class Crowd:
    """Many tabs; its methods are the commands it takes."""

    def __init__(self) -> None:
        self._tabs: dict[int, socket.socket] = {}
        self._epoll = select.epoll()
        self._sources = addresses()
        #: tabs that the awaited message hasn't reached
        self._awaited: set[int] = set()
        #: what came at a tab's beginning, until that was enough to see what was answered
        self._heads: dict[int, bytes] = {}
        #: the end of what came last, where that wasn't the end of a message: it may be split
        self._tails: dict[int, bytes] = {}

    def open(
        self, port: int, path: str, count: int, timeout: float, cookies: list[str] | None = None
    ) -> dict[str, Any]:
        """Open streams, and wait until each has got its first message.

        Args:
            cookies: what each sends in the header `Cookie`; None: nothing.
        """
        began, cpu = time.monotonic(), time.process_time()
        opened = 0
        while opened < count or self._awaited:
            while opened < count and len(self._awaited) < _AT_ONCE:
                cookie = cookies[opened] if cookies else ""
                self._connect(port, _request(port, path, cookie))
                opened += 1
            self._hear(began + timeout)
        return {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}

    def prepare(self) -> dict[str, Any]:
        """Read whatever there is by now, and await a message in every tab."""
        while self._hear(time.monotonic() + 1, patience=0):
            pass
        self._awaited = set(self._tabs)
        return {}

    def expect(self, timeout: float) -> dict[str, Any]:
        """Wait until each stream has got one message since `prepare`.

        Returns:
            When the first of them had it, half of them, and all, on the monotonic clock in
            seconds; and this process's CPU time.
        """
        cpu, deadline = time.process_time(), time.monotonic() + timeout
        first = half = last = 0.0
        while self._awaited:
            came, last = self._hear(deadline), time.monotonic()
            first = first or came
            if not half and len(self._awaited) <= len(self._tabs) // 2:
                half = last
            time.sleep(_PAUSE)
        spent = time.process_time() - cpu
        return {"first": first, "half": half, "last": last, "cpu": spent}

    def leave(self) -> dict[str, Any]:
        """Close all streams."""
        for tab in self._tabs.values():
            tab.close()
        for state in (self._tabs, self._awaited, self._heads, self._tails):
            state.clear()
        return {}

    def _connect(self, port: int, request: bytes) -> None:
        connection = connect(next(self._sources), port)
        connection.sendall(request)
        descriptor = connection.fileno()
        self._tabs[descriptor] = connection
        self._heads[descriptor] = b""
        self._awaited.add(descriptor)
        self._epoll.register(descriptor, select.EPOLLIN)

    def _hear(self, deadline: float, patience: float = 1.0) -> float:
        """Read what has come, and cross off the tabs that have a whole message with that.

        Returns:
            When there was something to read, on the monotonic clock; 0 if nothing came.
        """
        ready = self._epoll.poll(patience, 1024)
        at = time.monotonic()
        if at > deadline:
            raise RuntimeError("the messages did not reach all streams in time")
        buffers, arrived = (_buffer,), self._awaited.discard
        for descriptor, _ in ready:
            size = os.readv(descriptor, buffers)
            if descriptor in self._heads:
                self._begin(descriptor, size)
            if _buffer[size - 3 : size] == END or self._ends_within(descriptor, size):
                arrived(descriptor)
        return at if ready else 0.0

    def _begin(self, descriptor: int, size: int) -> None:
        head = self._heads[descriptor] + _buffer[: min(size, 1024)]
        if not b"HTTP/1.1 200 ".startswith(head[:13]):
            line = head.split(b"\r\n")[0].decode("latin-1")
            raise RuntimeError(f"the server answered {line!r} to a stream")
        if len(head) < 13:
            self._heads[descriptor] = head
        else:
            del self._heads[descriptor]

    def _ends_within(self, descriptor: int, size: int) -> bool:
        """Tell whether a message ends somewhere in what has come, with the end of what came before.

        Raises:
            RuntimeError: nothing came: the server closed the stream.
        """
        if size == 0:
            raise RuntimeError("the server closed a stream")
        piece = self._tails.get(descriptor, b"") + _buffer[:size]
        self._tails[descriptor] = bytes(piece[-2:])
        return END in piece


def _request(port: int, path: str, cookie: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Accept: text/event-stream"]
    lines += [f"Cookie: {cookie}"] if cookie else []
    return "\r\n".join([*lines, "", ""]).encode()


def addresses() -> Iterator[str]:
    """Give addresses of this machine, one after another, that hardly any run before has used.

    Each tab has one of its own, as shoppers have. What an earlier run left in TIME_WAIT slows
    nothing down.
    """
    for number in count_from(random.randrange(1 << 22)):
        within = number % (1 << 22)  # 127.64.0.0/10
        yield f"127.{64 + (within >> 16)}.{within >> 8 & 255}.{within & 255}"


def connect(source: str, port: int) -> socket.socket:
    """Connect from one of this machine's addresses to a server on it, and wait for nothing more."""
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.bind((source, 0))
    connection.settimeout(10)
    # The kernel's work alone: this doesn't wait for the server to accept.
    connection.connect(("127.0.0.1", port))
    connection.setblocking(False)
    return connection


if __name__ == "__main__":
    answer_commands(Crowd())
