"""How soon a change of a cart is in all tabs that show it, on whichever server they are."""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle

import click

from bench.errands import Errand, Errands, arrival
from bench.http1 import Browser, Request
from bench.shopping import add, remove
from bench.tabs import SocketTab, StreamTab, Tab

#: What the tabs watch besides their cart: both products of the demo catalogue.
WATCHED = "product=1&product=2"

#: Event streams of one cart on one server; what is beyond gets a WebSocket, as in a browser.
STREAMS = 4

#: Between two changes, in seconds: at random, so that no server's tick keeps time with them.
_PAUSE = (0.03, 0.08)

#: How long one change may take, in seconds.
_PATIENCE = 10.0

_SOURCE = "127.0.0.2"


@dataclass(frozen=True)
class Delays:
    """Of each change, in seconds."""

    #: from sending the request until the last tab had it
    from_request: list[float] = field(default_factory=list)
    #: from the answer; 0 if all tabs were faster
    from_answer: list[float] = field(default_factory=list)
    #: the same for the tabs on other servers than the one that was asked
    elsewhere: list[float] = field(default_factory=list)


class OneCart:
    """A visitor with many tabs, on the servers in turn, that all show the same cart."""

    def __init__(self, ports: list[int], tabs: int) -> None:
        self._ports = ports
        self._browser = Browser(f"127.0.0.1:{ports[0]}")
        self._token = ""
        self._epoll = select.epoll()
        self._hears: dict[int, Callable[[], object]] = {}
        self._tabs: list[Tab] = []
        self._come_in()
        self._tabs += [self._open(number) for number in range(tabs)]
        self._listen_until(lambda: all(tab.cart for tab in self._tabs))

    def change(self, times: int, items: list[str]) -> Delays:
        """Add an item and remove it, at one server and then at the next.

        Returns:
            How long each change took to be in all tabs.
        """
        delays, chance, chosen, item = Delays(), random.Random(1), cycle(items), ""
        for number in range(times):
            where = number // 2 % len(self._ports)
            there = number % 2 == 0
            item = next(chosen) if there else item
            self._change(where, item, there, delays)
            self._listen(chance.uniform(*_PAUSE))
        return delays

    def close(self) -> None:
        for tab in self._tabs:
            tab.socket.close()
        self._epoll.close()

    def _change(self, where: int, item: str, there: bool, to: Delays) -> None:
        request = (add if there else remove)(self._token, item)
        began = time.monotonic()
        answered, arrived = self._follow(self._send(where, _once(request)), item, there)
        to.from_request.append(max(arrived) - began)
        to.from_answer.append(max(0.0, max(arrived) - answered))
        others = [at for number, at in enumerate(arrived) if number % len(self._ports) != where]
        if others:
            to.elsewhere.append(max(0.0, max(others) - answered))

    def _follow(self, errand: Errand, item: str, there: bool) -> tuple[float, list[float]]:
        """Listen until all have heard of a change; return when the answer came, and each tab."""
        times: dict[object, float] = {}

        def have_all() -> bool:
            now = time.monotonic()
            if errand.outcome:
                times.setdefault(errand, now)
            for tab in self._tabs:
                if tab.cart and (item in tab.cart.items) == there:
                    times.setdefault(tab, now)
            return len(times) == 1 + len(self._tabs)

        self._listen_until(have_all)
        self._end(errand, "done")
        return times[errand], [times[tab] for tab in self._tabs]

    def _come_in(self) -> None:
        errand = self._send(0, arrival(self._keep_token, []))
        self._listen_until(lambda: bool(errand.outcome))
        self._end(errand, "arrived")

    def _keep_token(self, token: str) -> None:
        self._token = token

    def _open(self, number: int) -> Tab:
        kind = StreamTab if number // len(self._ports) < STREAMS else SocketTab
        port = self._ports[number % len(self._ports)]
        tab = kind(port, WATCHED, self._browser.cookies, _SOURCE)
        self._watch(tab.socket.fileno(), tab.hear)
        return tab

    def _send(self, where: int, script: Errands) -> Errand:
        errand = Errand(_SOURCE, self._ports[where], self._browser, script, lambda *_: None)
        self._watch(errand.socket.fileno(), errand.hear)
        return errand

    def _end(self, errand: Errand, expected: str) -> None:
        self._epoll.unregister(errand.socket.fileno())
        errand.socket.close()
        if errand.outcome != expected:
            raise click.ClickException(f"a change was refused: {errand.outcome}")

    def _watch(self, descriptor: int, hear: Callable[[], object]) -> None:
        self._hears[descriptor] = hear
        self._epoll.register(descriptor, select.EPOLLIN)

    def _listen_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not done():
            if time.monotonic() > deadline:
                raise click.ClickException(f"not all tabs had a change in {_PATIENCE:.0f} s")
            self._hear(0.1)

    def _listen(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._hear(left)

    def _hear(self, seconds: float) -> None:
        for descriptor, _ in self._epoll.poll(seconds):
            self._hears[descriptor]()


def _once(request: Request) -> Errands:
    answer = yield request
    return "done" if answer.status == request.status else f"{request.kind}: {answer.status}"
