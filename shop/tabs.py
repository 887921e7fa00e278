"""The connections of open tabs: how what the hub sends is written to each of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from sys import intern
from typing import Any

from gevent import get_hub

from shop.bundles import Bundle
from shop.framing import HEARTBEAT_EVENT, Message
from shop.streams import UNKNOWN_PAGE, Hub
from shop.tcp import limit_unsent

#: How long a tab may leave written bytes unread, in seconds, before it is dropped.
STALLED = 30.0

#: How many times as long the kernel waits until a tab's has acknowledged something, or has room for
#: more: a tab that doesn't read is to be noticed, and counted, by the hub.
KERNEL_WAITS = 1.5

#: How many bytes of messages may wait for a tab to read, before it is dropped. What it is
#: sent first comes on top: that is as long as its page.
MOST_PENDING = 256 * 1024

#: How many bytes the kernel may hold of what a tab hasn't read yet; the kernel takes it twice.
SEND_BUFFER = 64 * 1024

#: How many bytes a tab may say on an event stream: browsers say nothing.
MOST_HEARD = 16 * 1024

_READ, _WRITE = 1, 2  # libev's EV_READ and EV_WRITE


def limit_unread(descriptor: int) -> None:
    """Have the kernel not hold megabytes for a tab that reads nothing, nor wait long for one gone.

    Args:
        descriptor: of the tab's connection.
    """
    limit_unsent(descriptor, SEND_BUFFER, int(STALLED * KERNEL_WAITS * 1000))


class SocketTab:
    """An event stream on a socket that its request handed over: no greenlet, no buffers."""

    __slots__ = (
        *(
            "__weakref__",
            "_backlog",
            "_descriptor",
            "_heard",
            "_hub",
            "_newer",
            "_reader",
            "_stalled_at",
        ),
        *("_writer", "page", "source", "topics"),
    )
    is_event_stream = True

    def __init__(
        self,
        hub: Hub,
        descriptor: int,
        topics: tuple[str, ...],
        page: str = UNKNOWN_PAGE,
        source: str = "",
    ) -> None:
        """Join the hub with a non-blocking descriptor, which the tab closes in the end.

        What is sent before `open` is called waits for it.
        """
        limit_unread(descriptor)
        self._hub = hub
        self._descriptor = descriptor
        self.topics = topics
        self.page = intern(page)  # ten thousand tabs of a page share the one text
        self.source = source
        self._backlog: memoryview | None = memoryview(b"")
        self._newer: dict[str, bytes] | None = None
        self._writer: Any = None
        self._stalled_at = 0.0
        self._heard = 0
        self._reader = get_hub().loop.io(descriptor, _READ)
        self._reader.start(self._on_readable)
        hub.join(self)

    def open(self, head: bytes) -> None:
        """Write what a stream begins with, made just now: what came before it is old."""
        self._backlog = self._newer = None
        self._write(head)

    def send(self, bundle: Bundle) -> None:
        if self._backlog is None:
            self._write(bundle.message.sse)
            return
        if self._newer is None:
            self._newer = {}
        for topic, message in bundle.messages.items():
            self._newer.pop(topic, None)  # the newest of a topic goes last, in the order of events
            self._newer[topic] = message.sse
        if sum(map(len, self._newer.values())) > MOST_PENDING:
            self._drop()

    def beat(self) -> None:
        if self._backlog is None:
            self._write(HEARTBEAT_EVENT)
        elif self._stalled_at and time.monotonic() - self._stalled_at > STALLED:
            self._drop()

    def close(self) -> None:
        if self._descriptor < 0:
            return
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        os.close(self._descriptor)
        self._descriptor = -1
        self._backlog = memoryview(b"")
        self._newer = None
        self._hub.leave(self)

    def _drop(self) -> None:
        self._hub.statistics.slow_dropped += 1
        self.close()

    def _write(self, data: bytes | memoryview) -> None:
        if self._descriptor < 0:
            return
        try:
            sent = os.write(self._descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._wait_for_room(memoryview(data)[sent:])

    def _wait_for_room(self, rest: memoryview) -> None:
        self._backlog = rest
        self._stalled_at = time.monotonic()
        if self._writer is None:
            self._writer = get_hub().loop.io(self._descriptor, _WRITE)
        self._writer.start(self._on_writable)

    def _on_writable(self) -> None:
        self._writer.stop()
        rest, self._backlog = self._backlog, None
        if rest is not None:
            self._write(rest)
        if self._backlog is None:
            self._write_newer()

    def _write_newer(self) -> None:
        newer, self._newer = self._newer, None
        if newer:
            self._write(b"".join(newer.values()))

    def _on_readable(self) -> None:
        """Notice that the tab has left; it has nothing else to say, and is cut off if it does."""
        try:
            heard = len(os.read(self._descriptor, 4096))
            self._heard += heard
            if heard and self._heard <= MOST_HEARD:
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()


class QueueTab:
    """A connection that a greenlet of its own writes to: WebSockets, and plain generators."""

    def __init__(
        self,
        hub: Hub,
        topics: tuple[str, ...],
        wake: Any,
        *,
        is_event_stream: bool,
        page: str = UNKNOWN_PAGE,
        source: str = "",
        cut: Callable[[], None] = lambda: None,
    ) -> None:
        """Join the hub.

        Args:
            wake: an event (`set`, `wait`, `clear`) that the greenlet waits for.
            cut: makes a write fail that waits for the tab to read.
        """
        self._hub = hub
        self.topics = topics
        self.page = intern(page)
        self.source = source
        self.is_event_stream = is_event_stream
        self._wake = wake
        self._cut = cut
        self._waiting: dict[str, Message] = {}
        #: when what is being written was taken, by the monotonic clock
        self._taken_at: float | None = None
        self.closed = False
        hub.join(self)

    def open(self) -> None:
        """Forget what came until now: what the tab is sent first was made just now."""
        self._waiting.clear()
        self._taken_at = time.monotonic()

    def send(self, bundle: Bundle) -> None:
        for topic, message in bundle.messages.items():
            self._waiting.pop(topic, None)
            self._waiting[topic] = message
        if self._taken_at is not None and self._pending() > MOST_PENDING:
            self._drop()
        self._wake.set()

    def beat(self) -> None:
        """Drop a tab that doesn't read; else nothing: its greenlet keeps its own time."""
        if self._taken_at is not None and time.monotonic() - self._taken_at > STALLED:
            self._drop()

    def close(self) -> None:
        self.closed = True
        self._hub.leave(self)
        self._wake.set()

    def take(self, timeout: float) -> list[Message]:
        """Wait for messages, at most `timeout` seconds, and return them, newest of each topic."""
        self._taken_at = None
        self._wake.wait(timeout)
        self._wake.clear()
        self._taken_at = time.monotonic()
        waiting, self._waiting = self._waiting, {}
        return list(waiting.values())

    def _pending(self) -> int:
        return sum(len(message.text) for message in self._waiting.values())

    def _drop(self) -> None:
        self._hub.statistics.slow_dropped += 1
        self.close()
        self._cut()
