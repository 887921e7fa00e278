"""A tab's connection of which the kernel takes as much as a test says."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from typing import Self
from unittest.mock import patch

import gevent
import gevent.socket

from shop.framing import Message
from shop.streams import Hub
from shop.tabs import SocketTab
from tests.support.wire import EventReader, as_a_browser_joins_lines

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
TOPICS = ("cart", "stock")

#: What the messages of these tests end with, and hold nowhere else.
END = ";"


class Line:
    """A tab's connection, of which the kernel takes only what there is said to be room for.

    Args:
        room: for how many bytes there is room at first.
    """

    def __init__(self, room: float) -> None:
        self.room = room
        self.hub = Hub()
        self.told: list[str] = []
        self._numbers = itertools.count(1)
        self._write = os.write
        self._patch = patch.object(os, "write", self._take)
        #: is there when all is done, whatever was skipped
        self._last = f"the last{END}"

    def __enter__(self) -> Self:
        ours, self._theirs = gevent.socket.socketpair()
        self._descriptor = ours.detach()
        self._patch.start()
        self.tab = SocketTab(self.hub, self._descriptor, (*TOPICS, "last"))
        return self

    def __exit__(self, *_: object) -> None:
        self.tab.close()
        self._patch.stop()
        self._theirs.close()

    def _take(self, descriptor: int, data: bytes | memoryview) -> int:
        if descriptor != self._descriptor:
            return self._write(descriptor, data)
        taken = int(min(self.room, len(data)))
        self.room -= taken
        if not taken:
            raise BlockingIOError
        return self._write(descriptor, data[:taken])

    def tell(self, topic: str, filler: str = "\r\n") -> None:
        """Send a message on a topic, in which lines end."""
        self.hub.send(topic, self._message(topic, filler))

    def tell_all(self) -> None:
        """Send messages on all topics at once."""
        messages = {topic: self._message(topic, "\r\n") for topic in TOPICS}
        self.hub.notify(messages, messages.get)

    def _message(self, topic: str, filler: str) -> Message:
        text = f"{topic} {next(self._numbers)}{filler}{END}"
        self.told.append(as_a_browser_joins_lines(text))
        return Message(text)

    def begin(self) -> None:
        """Write what a stream begins with."""
        text = f"first {next(self._numbers)}\n{END}"
        self.told.append(text)
        self.tab.open(HEAD + Message(text).sse)

    def read(self) -> list[str]:
        """Make room for everything, and return the messages that were read."""
        self.room = float("inf")
        self.hub.send("last", Message(self._last))
        found, data = "", b""
        with gevent.Timeout(10):
            while not found.endswith(self._last):
                data += self._theirs.recv(1 << 16)
                found = "".join(event.data for event in EventReader().feed(data[len(HEAD) :]))
        assert data.startswith(HEAD)
        return re.findall(rf"\w[^{END}]*{END}", found)[:-1]

    def check(self, read: Sequence[str]) -> None:
        """See that nothing is torn, nothing old comes late, and the newest of each has come."""
        places = [self.told.index(text) for text in read]
        assert places == sorted(set(places)), "each once, in the order in which they were told"
        for topic in ("first", *TOPICS):
            told = [text for text in self.told if text.startswith(topic)]
            assert set(told[-1:]) <= set(read)
