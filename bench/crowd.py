"""The load client for streams: a crowd of tabs, in a process of its own, that reads and counts.

Plain sockets and one epoll: what it costs is printed beside what the server costs, so that one
can see that the server is what is measured.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import Any

from bench.processes import answer_commands

#: How a message ends: with the last tag of a fragment, and an empty line. A heartbeat, which is
#: a comment, doesn't.
END = b">\n\n"

#: Tabs that come from one source address: each address has some 28,000 ports of its own.
_PER_ADDRESS = 10_000

#: Tabs that wait for their first message at the same time.
_AT_ONCE = 64

_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; the constant came with Python 3.12
_RESET = struct.pack("ii", 1, 0)  # closing leaves no TIME_WAIT behind, that 5,000 ports be free

#: Shared by all tabs: a buffer made for each read would cost more than the read.
_buffer = bytearray(2 + 65_536)
_behind_tail = memoryview(_buffer)[2:]


class Tab:
    """One open stream."""

    __slots__ = ("head", "messages", "socket", "tail")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.messages = 0
        #: the end of what came before: a message's own end may be split
        self.tail = b"\0\0"
        #: all that came, until the first message is whole
        self.head: bytes | None = b""

    def read(self) -> None:
        """Take what has come, and count the messages that end in it."""
        _buffer[:2] = self.tail
        size = self.socket.recv_into(_behind_tail)
        if size == 0:
            raise RuntimeError("the server closed a stream")
        self.messages += _buffer.count(END, 0, size + 2)
        self.tail = bytes(_buffer[size : size + 2])
        if self.head is not None:
            self._begin(bytes(_buffer[2 : size + 2]))

    def _begin(self, data: bytes) -> None:
        self.head = (self.head or b"") + data
        if not b"HTTP/1.1 200 ".startswith(self.head[:13]):
            line = self.head.split(b"\r\n")[0].decode("latin-1")
            raise RuntimeError(f"the server answered {line!r} to a stream")
        if self.messages:
            self.head = None


class Crowd:
    """Many tabs; its methods are the commands it takes."""

    def __init__(self) -> None:
        self._tabs: dict[int, Tab] = {}
        self._epoll = select.epoll()

    def open(self, port: int, path: str, count: int, timeout: float) -> dict[str, Any]:
        """Open streams, and wait until each has got its first message."""
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n"
        began, cpu = time.monotonic(), time.process_time()
        opened = arrived = 0
        while arrived < count:
            while opened < count and opened - arrived < _AT_ONCE:
                source = f"127.0.0.{2 + opened // _PER_ADDRESS}"
                self._connect(source, port, request.encode() + b"\r\n")
                opened += 1
            arrived += len(self._arrivals(began + timeout))
        return {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}

    def prepare(self) -> dict[str, Any]:
        """Read whatever there is by now, and begin to count anew."""
        while self._epoll.poll(0, 1):
            self._arrivals(time.monotonic() + 1)
        for tab in self._tabs.values():
            tab.messages = 0
        return {}

    def expect(self, timeout: float) -> dict[str, Any]:
        """Wait until each stream has got one message since `prepare`.

        Returns:
            When half of them had it, and when all had, on the monotonic clock in seconds.
        """
        cpu, deadline = time.process_time(), time.monotonic() + timeout
        times: list[float] = []
        while len(times) < len(self._tabs):
            arrived = self._arrivals(deadline)
            times += [time.monotonic()] * len(arrived)
        return {
            "half": times[len(times) // 2],
            "last": times[-1],
            "cpu": time.process_time() - cpu,
        }

    def leave(self) -> dict[str, Any]:
        """Close all streams."""
        for tab in self._tabs.values():
            tab.socket.close()
        self._tabs.clear()
        return {}

    def _connect(self, source: str, port: int, request: bytes) -> None:
        connection = connect(source, port)
        connection.sendall(request)
        self._tabs[connection.fileno()] = Tab(connection)
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def _arrivals(self, deadline: float) -> list[Tab]:
        """Read what has come, and return the tabs whose first message is whole with that."""
        if time.monotonic() > deadline:
            raise RuntimeError("the messages did not reach all streams in time")
        arrived = []
        for descriptor, _ in self._epoll.poll(1.0, 1024):
            tab = self._tabs[descriptor]
            before = tab.messages
            tab.read()
            if before == 0 < tab.messages:
                arrived.append(tab)
        return arrived


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
