"""The hub of open tabs: who watches what, and writing to them.

It knows topics, messages and connections, and nothing of a shop. A message is a piece of text,
encoded once however many tabs it goes to. A tab that can't keep up gets only the newest message
of each topic, and one that reads nothing for too long is dropped; nobody else waits for it.

Under gevent everything here runs in one thread: whatever doesn't wait is atomic.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from sys import intern
from typing import Any, Protocol

from gevent import get_hub

#: A tab hears something at least this often, in seconds, so that proxies keep its stream open.
HEARTBEAT = 4.0

#: How long a tab may leave written bytes unread, in seconds, before it is dropped.
STALLED = 30.0

#: How many tabs are written to before other greenlets get their turn.
SLICE = 250

#: The page of a tab of which nobody said what it shows.
UNKNOWN_PAGE = "-"

#: How many tabs a closing hub lets go in a second, at the least.
LEAST_PACE = 20.0

_READ, _WRITE = 1, 2  # libev's EV_READ and EV_WRITE


class Message:
    """A text for tabs, and its encodings, made when first asked for."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def sse(self) -> bytes:
        return sse_event(self.text)

    @cached_property
    def websocket(self) -> bytes:
        return websocket_text_frame(self.text)


def sse_event(text: str, event: str | None = None) -> bytes:
    """Encode a text as one server-sent event.

    A reader takes CR, LF and CRLF alike for the end of a line, so each starts a new `data:`
    line. See https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    head = f"event: {event}\n" if event else ""
    return (head + "".join(f"data: {line}\n" for line in lines) + "\n").encode()


def websocket_text_frame(text: str) -> bytes:
    """Encode a text as one unmasked, final WebSocket frame (RFC 6455, section 5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        head = bytes((0x81, size))
    elif size < 1 << 16:
        head = bytes((0x81, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x81, 127)) + size.to_bytes(8, "big")
    return head + payload


HEARTBEAT_COMMENT = b":\n\n"

#: An empty ping: browsers answer it, and a connection whose peer is gone fails by it.
WEBSOCKET_PING = b"\x89\x00"


class Tab(Protocol):
    """One open page's connection, as the hub knows it."""

    topics: tuple[str, ...]
    #: what it shows, in the words of whoever opened it
    page: str
    #: whether it is one of the few event streams a browser can hold
    is_event_stream: bool

    def send(self, topic: str, message: Message) -> None:
        """Write a message, or keep it for when there is room; never wait, never raise."""

    def beat(self) -> None:
        """Write something that says nothing, and notice a tab that is not there any more."""

    def close(self) -> None:
        """Let the connection go."""


@dataclass(slots=True)
class Tally:
    """What a hub holds and has done, in numbers."""

    #: open now
    event_streams: int = 0
    sockets: int = 0
    #: messages given to tabs, one for each tab, since the beginning
    deliveries: int = 0
    #: tabs that were dropped as they read nothing for too long, since the beginning
    slow_dropped: int = 0

    def count_open(self, tab: Tab, by: int) -> None:
        if tab.is_event_stream:
            self.event_streams += by
        else:
            self.sockets += by


class Hub:
    """Which tabs watch which topics."""

    def __init__(self) -> None:
        self._watchers: dict[str, dict[Tab, None]] = {}
        self._tabs: dict[Tab, None] = {}
        self.tally = Tally()
        #: called with a topic that nobody watches any more
        self.on_deserted: Callable[[str], None] = lambda topic: None
        #: called with a topic and 1 or -1 when one event stream more or less watches it
        self.on_event_stream: Callable[[str, int], None] = lambda topic, change: None

    def __len__(self) -> int:
        return len(self._tabs)

    def topics(self) -> list[str]:
        """Return all topics that are watched."""
        return list(self._watchers)

    def is_watched(self, topic: str) -> bool:
        return topic in self._watchers

    def event_streams(self, topic: str) -> int:
        """Count the event streams among the tabs that watch a topic."""
        return sum(tab.is_event_stream for tab in self._watchers.get(topic, ()))

    def pages(self, topic: str) -> list[str]:
        """Return what each tab that watches a topic shows."""
        return [tab.page for tab in list(self._watchers.get(topic, ()))]

    def join(self, tab: Tab) -> None:
        """Take in a tab; from now on it gets what is sent to its topics."""
        self._tabs[tab] = None
        self.tally.count_open(tab, 1)
        for topic in tab.topics:
            self._watch(tab, topic)

    def leave(self, tab: Tab) -> None:
        """Forget a tab. Forgetting it twice is the same as once."""
        if self._tabs.pop(tab, self) is self:
            return
        self.tally.count_open(tab, -1)
        for topic in tab.topics:
            self._unwatch(tab, topic)

    def send(self, topic: str, message: Message) -> None:
        """Send a message to every tab that watches a topic."""
        told = 0
        for tab in self._in_slices(self._watchers.get(topic, ())):
            if topic in tab.topics:
                tab.send(topic, message)
                told += 1
        self.tally.deliveries += told

    def move(self, topic: str, to: str) -> None:
        """Have all that watch one topic watch another one in its place."""
        for tab in list(self._watchers.get(topic, ())):
            self._unwatch(tab, topic)
            tab.topics = tuple(to if name == topic else name for name in tab.topics)
            self._watch(tab, to)

    def beat(self) -> None:
        """Send every tab its heartbeat."""
        for tab in self._in_slices(self._tabs):
            tab.beat()

    def close(self, over: float = 0.0) -> None:
        """Let all tabs go, one after another, so that they don't all come back in one moment.

        Args:
            over: for how many seconds at the most. A few tabs are gone sooner.
        """
        pace = max(LEAST_PACE, len(self) / over) if over else math.inf
        started = time.monotonic()
        for count, tab in enumerate(list(self._tabs), 1):
            tab.close()
            ahead = count / pace - (time.monotonic() - started)
            if ahead > 0.02 or count % SLICE == 0:
                time.sleep(max(ahead, 0))  # yields under gevent
        for tab in list(self._tabs):  # who came in the meantime
            tab.close()

    def _watch(self, tab: Tab, topic: str) -> None:
        watchers = self._watchers.setdefault(topic, {})
        if tab not in watchers:
            watchers[tab] = None
            if tab.is_event_stream:
                self.on_event_stream(topic, 1)

    def _unwatch(self, tab: Tab, topic: str) -> None:
        watchers = self._watchers.get(topic, {})
        if tab in watchers:
            del watchers[tab]
            if tab.is_event_stream:
                self.on_event_stream(topic, -1)
        if not watchers and self._watchers.pop(topic, None) is not None:
            self.on_deserted(topic)

    def _in_slices(self, tabs: Iterable[Tab]) -> Iterator[Tab]:
        for count, tab in enumerate(list(tabs), 1):
            if tab in self._tabs:
                yield tab
            if count % SLICE == 0:
                time.sleep(0)  # yields under gevent


class SocketTab:
    """An event stream on a socket that its request handed over: no greenlet, no buffers."""

    __slots__ = (
        *("__weakref__", "_backlog", "_descriptor", "_hub", "_newer", "_reader", "_stalled_at"),
        *("_writer", "page", "topics"),
    )
    is_event_stream = True

    def __init__(
        self, hub: Hub, descriptor: int, topics: tuple[str, ...], page: str = UNKNOWN_PAGE
    ) -> None:
        """Join the hub with a non-blocking descriptor, which the tab closes in the end.

        What is sent before `open` is called waits for it.
        """
        self._hub = hub
        self._descriptor = descriptor
        self.topics = topics
        self.page = intern(page)  # ten thousand tabs of a page share the one text
        self._backlog: memoryview | None = memoryview(b"")
        self._newer: dict[str, bytes] | None = None
        self._writer: Any = None
        self._stalled_at = 0.0
        self._reader = get_hub().loop.io(descriptor, _READ)
        self._reader.start(self._on_readable)
        hub.join(self)

    def open(self, head: bytes) -> None:
        """Write what a stream begins with, then whatever came in the meantime."""
        self._backlog = None
        self._write(head)
        if self._backlog is None:
            self._write_newer()

    def send(self, topic: str, message: Message) -> None:
        if self._backlog is None:
            self._write(message.sse)
            return
        if self._newer is None:
            self._newer = {}
        self._newer.pop(topic, None)  # the newest of a topic goes last, in the order of events
        self._newer[topic] = message.sse

    def beat(self) -> None:
        if self._backlog is None:
            self._write(HEARTBEAT_COMMENT)
        elif self._stalled_at and time.monotonic() - self._stalled_at > STALLED:
            self._hub.tally.slow_dropped += 1
            self.close()

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
        # A stream's reader says nothing more: what can be read is its leaving.
        try:
            if os.read(self._descriptor, 4096):
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
    ) -> None:
        """Join the hub; `wake` is an event (`set`, `wait`, `clear`) the greenlet waits for."""
        self._hub = hub
        self.topics = topics
        self.page = intern(page)
        self.is_event_stream = is_event_stream
        self._wake = wake
        self._waiting: dict[str, Message] = {}
        self.closed = False
        hub.join(self)

    def send(self, topic: str, message: Message) -> None:
        self._waiting.pop(topic, None)
        self._waiting[topic] = message
        self._wake.set()

    def beat(self) -> None:
        """Nothing: its greenlet keeps its own time."""

    def close(self) -> None:
        self.closed = True
        self._hub.leave(self)
        self._wake.set()

    def take(self, timeout: float) -> list[Message]:
        """Wait for messages, at most `timeout` seconds, and return them, newest of each topic."""
        self._wake.wait(timeout)
        self._wake.clear()
        waiting, self._waiting = self._waiting, {}
        return list(waiting.values())
