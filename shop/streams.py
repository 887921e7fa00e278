"""The hub of open tabs: who watches what, and writing to them.

It knows topics, messages and connections, and nothing of a shop. A tab that can't keep up gets
only the newest message of each topic, and one that reads nothing for too long is dropped; nobody
else waits for it.

Under gevent everything here runs in one thread: whatever doesn't wait is atomic.
"""

from __future__ import annotations

import _socket
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from sys import intern
from typing import Any, Protocol

from gevent import get_hub

from shop.framing import HEARTBEAT_EVENT, Joined, Message
from shop.tcp import limit_unacknowledged
from shop.time_slice import TimeSlice

#: A tab hears something at least this often, in seconds: proxies keep its stream open, and its page
#: (shop/static/live.js) takes a stream that is silent for longer to be dead.
HEARTBEAT = 4.0

#: How long a tab may leave written bytes unread, in seconds, before it is dropped.
STALLED = 30.0

#: How many times as long the kernel waits until a tab's has acknowledged something, or has room for
#: more: who doesn't read is to be noticed, and counted, by the hub.
GONE = 1.5

#: How many bytes of messages may wait for a tab to read, before it is dropped. What it is
#: told first comes on top: that is as long as its page.
MOST_PENDING = 256 * 1024

#: How many bytes the kernel may hold of what a tab hasn't read yet; the kernel takes it twice.
SEND_BUFFER = 64 * 1024

#: How many bytes a tab may say on an event stream: browsers say nothing.
MOST_HEARD = 16 * 1024

#: The page of a tab of which nobody said what it shows.
UNKNOWN_PAGE = "-"

#: How many tabs a closing hub lets go in a second, at the least.
LEAST_PACE = 20.0

_READ, _WRITE = 1, 2  # libev's EV_READ and EV_WRITE


class Bundle:
    """What a tab is told at once: the newest messages of some of its topics."""

    __slots__ = ("message", "messages")

    def __init__(self, messages: Mapping[str, Message]) -> None:
        #: by topic, in the order in which they are told
        self.messages = messages
        values = messages.values()
        #: all of them as one
        self.message = Joined(values) if len(values) > 1 else next(iter(values))


#: Makes the present message of a topic; None: there is nothing to tell.
Render = Callable[[str], Message | None]


class Tab(Protocol):
    """One open page's connection, as the hub knows it."""

    topics: tuple[str, ...]
    #: what it shows, in the words of whoever opened it
    page: str
    #: where it comes from, in the words of whoever opened it; nothing if that doesn't matter
    source: str
    #: whether it is one of the few event streams a browser can hold
    is_event_stream: bool

    def send(self, bundle: Bundle) -> None:
        """Write what is told, or keep it for when there is room; never wait, never raise."""

    def beat(self) -> None:
        """Write a heartbeat, and notice a tab that is not there any more."""

    def close(self) -> None:
        """Let the connection go."""


@dataclass(slots=True)
class Statistics:
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
        self._sources: Counter[str] = Counter()
        self.statistics = Statistics()
        #: called with a topic that nobody watches any more
        self.on_empty: Callable[[str], None] = lambda topic: None
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

    def tabs_from(self, source: str) -> int:
        """Count the tabs that come from somewhere."""
        return self._sources.get(source, 0)

    def join(self, tab: Tab) -> None:
        """Take in a tab; from now on it gets what is sent to its topics."""
        self._tabs[tab] = None
        self.statistics.count_open(tab, 1)
        if tab.source:
            self._sources[tab.source] += 1
        for topic in tab.topics:
            self._watch(tab, topic)

    def leave(self, tab: Tab) -> None:
        """Forget a tab. Forgetting it twice is the same as once."""
        if self._tabs.pop(tab, self) is self:
            return
        self.statistics.count_open(tab, -1)
        self._forget_source(tab.source)
        for topic in tab.topics:
            self._unwatch(tab, topic)

    def send(self, topic: str, message: Message) -> None:
        """Send a message to every tab that watches a topic."""
        self.notify((topic,), lambda _: message)

    def notify(self, topics: Iterable[str], render: Render) -> None:
        """Send every tab that watches some of these topics what is new of them, all at once.

        Args:
            render: makes the message of a topic, when it is to be written. It is asked again for
                the same one when others had their turn meanwhile: what it said then may be old.
        """
        turns, news = TimeSlice(), _News(topics, render)
        for topic in news.topics:
            for tab in list(self._watchers.get(topic, ())):
                bundle = news.for_tab(tab, topic)
                if bundle is not None and tab in self._tabs:
                    tab.send(bundle)
                    self.statistics.deliveries += 1
                if turns.yield_to_others():
                    news.forget()

    def move(self, topic: str, to: str) -> None:
        """Have all that watch one topic watch another one in its place."""
        for tab in list(self._watchers.get(topic, ())):
            self._unwatch(tab, topic)
            tab.topics = tuple(to if name == topic else name for name in tab.topics)
            self._watch(tab, to)

    def beat(self) -> None:
        """Send every tab its heartbeat."""
        turns = TimeSlice()
        for tab in list(self._tabs):
            tab.beat()
            turns.yield_to_others()

    def close(self, over: float = 0.0) -> None:
        """Let all tabs go, one after another, so that they don't all come back in one moment.

        Args:
            over: for how many seconds at the most. A few tabs are gone sooner.
        """
        pace = max(LEAST_PACE, len(self) / over) if over else math.inf
        turns, started = TimeSlice(), time.monotonic()
        for count, tab in enumerate(list(self._tabs), 1):
            tab.close()
            ahead = count / pace - (time.monotonic() - started)
            if ahead > 0.02:
                time.sleep(ahead)
            turns.yield_to_others()
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
            self.on_empty(topic)

    def _forget_source(self, source: str) -> None:
        if self._sources[source] > 1:
            self._sources[source] -= 1
        else:
            del self._sources[source]


class _News:
    """Some topics and what there is to tell of them, as bundles for tabs."""

    def __init__(self, topics: Iterable[str], render: Render) -> None:
        self.topics = dict.fromkeys(topics)
        self._render = render
        self._messages: dict[str, Message | None] = {}
        self._bundles: dict[tuple[str, ...], Bundle | None] = {}

    def for_tab(self, tab: Tab, topic: str) -> Bundle | None:
        """Return what a tab is to be told, when it is the turn of the first of its topics."""
        topics: tuple[str, ...] = (topic,)
        if len(self.topics) > 1:
            topics = tuple([name for name in tab.topics if name in self.topics])
        if topic not in tab.topics or topics[0] != topic:
            return None
        if topics not in self._bundles:
            self._bundles[topics] = self._bundle(topics)
        return self._bundles[topics]

    def forget(self) -> None:
        """Forget what was made."""
        self._messages.clear()
        self._bundles.clear()

    def _bundle(self, topics: tuple[str, ...]) -> Bundle | None:
        messages = {}
        for topic in topics:
            if topic not in self._messages:
                self._messages[topic] = self._render(topic)
            message = self._messages[topic]
            if message is not None:
                messages[topic] = message
        return Bundle(messages) if messages else None


def limit_unread(descriptor: int) -> None:
    """Have the kernel not hold megabytes for a tab that reads nothing, nor wait long for one gone.

    Args:
        descriptor: of the tab's connection.
    """
    with suppress(OSError, ValueError):  # one that has just left is noticed by the first write
        connection = _socket.socket(fileno=descriptor)
        try:
            connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, SEND_BUFFER)
            if connection.family != _socket.AF_UNIX:
                limit_unacknowledged(connection, int(STALLED * GONE * 1000))
        finally:
            connection.detach()


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
        """Forget what came until now: what the tab is told first was made just now."""
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
