"""The hub of open tabs: which tabs watch what, and writing to them.

It knows topics, messages and connections, and nothing of a shop. A tab that can't keep up gets
only the newest message of each topic, and one that reads nothing for too long is dropped; nobody
else waits for it.

Under gevent everything here runs in one thread: whatever doesn't wait is atomic.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from shop.bundles import Bundle, News, Render
from shop.framing import Message
from shop.time_slice import TimeSlice

log = logging.getLogger(__name__)

#: A tab hears something at least this often, in seconds: proxies keep its stream open, and its page
#: (shop/static/live.js) takes a stream that is silent for longer to be dead.
HEARTBEAT = 4.0

#: The page of a tab of which nobody said what it shows.
UNKNOWN_PAGE = "-"

#: How many tabs a closing hub lets go in a second, at the least.
LEAST_PACE = 20.0


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
        """Write what is new, or keep it for when there is room; never wait, never raise."""

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
        self._members: dict[str, tuple[str, ...]] = {}
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
        time_slice, news = TimeSlice(), News(topics, render, self._members)
        for topic in news.topics:
            for tab in list(self._watchers.get(topic, ())):
                bundle = news.for_tab(tab.topics, topic)
                if bundle is not None and tab in self._tabs:
                    tab.send(bundle)
                    self.statistics.deliveries += 1
                if time_slice.yield_to_others():
                    news.forget()

    def include(self, group: str, members: Iterable[str]) -> None:
        """Have a watched topic stand for others: its tabs get what is sent to those."""
        if group in self._watchers:
            self._members[group] = tuple(members)

    def move(self, topic: str, to: str) -> None:
        """Have all that watch one topic watch another one in its place."""
        for tab in list(self._watchers.get(topic, ())):
            self._unwatch(tab, topic)
            tab.topics = tuple(to if name == topic else name for name in tab.topics)
            self._watch(tab, to)

    def beat(self) -> None:
        """Send every tab its heartbeat."""
        time_slice = TimeSlice()
        for tab in list(self._tabs):
            tab.beat()
            time_slice.yield_to_others()

    def keep_beating(self) -> None:
        """Send heartbeats for ever, whatever else waits for a database or a Redis."""
        while True:
            time.sleep(HEARTBEAT)
            try:
                self.beat()
            except Exception:
                log.exception("a heartbeat failed")

    def close(self, over: float = 0.0) -> None:
        """Let all tabs go, one after another, so that they don't all come back in one moment.

        Args:
            over: for how many seconds at the most. A few tabs are gone sooner.
        """
        pace = max(LEAST_PACE, len(self) / over) if over else math.inf
        time_slice, started = TimeSlice(), time.monotonic()
        for count, tab in enumerate(list(self._tabs), 1):
            tab.close()
            ahead = count / pace - (time.monotonic() - started)
            if ahead > 0.02:
                time.sleep(ahead)
            time_slice.yield_to_others()
        for tab in list(self._tabs):  # those that came in the meantime
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
            self._members.pop(topic, None)
            self.on_empty(topic)

    def _forget_source(self, source: str) -> None:
        if self._sources[source] > 1:
            self._sources[source] -= 1
        else:
            del self._sources[source]
