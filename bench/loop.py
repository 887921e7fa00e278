"""One loop that hears thousands of non-blocking connections to servers on this machine.

Tabs are functions that it calls. Visitors are greenlets: what they do reads downward.
"""

from __future__ import annotations

import errno
import heapq
import os
import random
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from itertools import count

from greenlet import getcurrent, greenlet

_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; the constant came with Python 3.12
_RESET = struct.pack("ii", 1, 0)  # closing leaves no TIME_WAIT behind

#: Descriptors that are heard in one go.
_AT_ONCE = 1024


class Loop:
    """Calls a function for each descriptor that is ready, and at each moment that has come."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[], object]] = {}
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._main = getcurrent()

    def watch(self, descriptor: int, call: Callable[[], object], events: int) -> None:
        """Call a function at these events of a descriptor (`select.EPOLLIN` and such)."""
        if descriptor in self._calls:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._calls[descriptor] = call

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no more; it must still be open."""
        if self._calls.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def call_at(self, moment: float, call: Callable[[], object]) -> None:
        """Call a function at a moment, on the monotonic clock in seconds."""
        heapq.heappush(self._due, (moment, next(self._numbers), call))

    def spawn(self, run: Callable[..., object], *args: object) -> None:
        """Begin something that waits in between, see `wait`. Its errors end the loop's run."""
        greenlet(run, self._main).switch(*args)

    def wait(self, descriptor: int, events: int) -> None:
        """Go on when a descriptor is ready; only in what was spawned."""
        self.watch(descriptor, getcurrent().switch, events | select.EPOLLONESHOT)
        self._main.switch()

    def run(
        self, until: float, done: Callable[[], bool] = lambda: False, pause: float = 0.0
    ) -> bool:
        """Hear what comes until a moment, or until something is done; return whether it is.

        Args:
            until: on the monotonic clock, in seconds.
            pause: seconds to sleep after each look. A client that always waits at the sockets is
                woken by nearly every message, and waking it is on the server's account.
        """
        while not done():
            now = time.monotonic()
            if now >= until:
                return done()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            next_due = self._due[0][0] if self._due else until
            self._hear(max(0.0, min(until - now, next_due - now, 0.05)))
            if pause:
                time.sleep(pause)
        return True

    def drain(self) -> None:
        """Hear all that has come by now."""
        while self._hear(0.0):
            pass

    def _hear(self, seconds: float) -> bool:
        ready = self._epoll.poll(seconds, _AT_ONCE)
        for descriptor, _ in ready:
            call = self._calls.get(descriptor)
            if call is not None:  # else another call in this round forgot it
                call()
        return bool(ready)


def addresses() -> Iterator[str]:
    """Give addresses of this machine, one after another, that hardly any run before has used.

    Each visitor has one, as shoppers have; so no limit for an address is met.
    """
    for n in count(random.randrange(1 << 22)):
        within = n % (1 << 22)  # 127.64.0.0/10
        yield f"127.{64 + (within >> 16)}.{within >> 8 & 255}.{within & 255}"


def dial(source: str, port: int) -> socket.socket:
    """Begin to connect, and wait for nothing: `check_connected` tells how it went.

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


def check_connected(connection: socket.socket) -> None:
    """Find out how connecting went, once the socket is ready.

    Raises:
        OSError: it failed.
    """
    _check(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def _check(number: int) -> None:
    if number not in (0, errno.EINPROGRESS):
        raise OSError(number, os.strerror(number))
