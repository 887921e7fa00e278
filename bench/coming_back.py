"""Tabs that lost their streams, on their way back: as htmx has them come, or in one moment."""

from __future__ import annotations

import heapq
import random
import socket
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.cart_tabs import CartTab, Switchboard, buffer

#: Between two looks whether a server listens again, and for one of them, in seconds.
_PROBE = 0.005


@dataclass(frozen=True)
class Manner:
    """How a tab comes back.

    A page waits after a stream's end, and twice as long after each attempt that fails.
    """

    #: before the first attempt, in seconds
    delay: float
    #: the longest of these delays
    longest: float
    #: share of a delay by which it is longer or shorter, at random
    jitter: float
    #: instead: all wait until the server listens again, and come in that moment
    at_once: bool = False


class ComingBack:
    """Has each tab come back when its stream ends, until each shows its cart as it is by then.

    Args:
        struck: the line of the item that is sold out by then, see `cart_tabs.line_of`.
    """

    def __init__(
        self, board: Switchboard, tabs: list[CartTab], struck: bytes, manner: Manner
    ) -> None:
        self._board = board
        self._tabs = tabs
        self._struck = struck
        self._manner = manner
        #: when tabs are to be dialled next, and their numbers
        self._due: list[tuple[float, int]] = []
        #: when each lost its stream
        self._lost: dict[int, float] = {}
        #: attempts since then that failed, by tab, and all by what became of them
        self._attempts: Counter[int] = Counter()
        self._failures: Counter[str] = Counter()
        self._chance = random.Random(1)
        #: how many are not back yet
        self.missing = len(tabs)

    def as_json(self) -> dict[str, Any]:
        """Return when each tab lost its stream and was current again, and what failed."""
        return {
            "lost": [self._lost[tab.number] for tab in self._tabs],
            "current": [tab.found_at for tab in self._tabs],
            "failures": dict(self._failures),
        }

    def go_on(self, most: float) -> None:
        """Do what is due, and hear what comes for `most` seconds at the most."""
        if not self._manner.at_once or self._all_may_come():
            self._dial_those_due(time.monotonic())
        for tab in self._board.ready(min(most, self._pause_until_next())):
            try:
                self._hear(tab)
            except OSError as error:
                self._come_again(tab, error)

    def _dial_those_due(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            tab = self._tabs[heapq.heappop(self._due)[1]]
            try:
                self._board.dial(tab)
            except OSError as error:
                self._come_again(tab, error)

    def _hear(self, tab: CartTab) -> None:
        if not tab.connected:
            self._board.ask(tab)
            return
        size = tab.read()
        if size and not tab.found_at and tab.look.finds(buffer, size, self._struck):
            tab.found_at = time.monotonic()
            self.missing -= 1

    def _come_again(self, tab: CartTab, error: OSError) -> None:
        """Note that a stream ended, or did not come about, and when it is tried again."""
        now = time.monotonic()
        self._board.hang_up(tab)
        if tab.number in self._lost:
            self._failures[_in_a_word(error)] += 1
            self._attempts[tab.number] += 1
        else:
            self._lost[tab.number] = now
        if tab.found_at:  # it was current, and lost that again
            tab.found_at = 0.0
            self.missing += 1
        heapq.heappush(self._due, (now + self._delay(self._attempts[tab.number]), tab.number))

    def _delay(self, failed: int) -> float:
        manner = self._manner
        if manner.at_once:
            return 0.0
        delay = min(manner.delay * 2.0**failed, manner.longest)
        return delay * (1 + manner.jitter * self._chance.uniform(-1, 1))

    def _pause_until_next(self) -> float:
        if self._manner.at_once:
            return _PROBE if self._due else 1.0
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else 1.0

    def _all_may_come(self) -> bool:
        """Tell whether all have lost their streams, and somebody listens."""
        if len(self._lost) < len(self._tabs) or not self._due:
            return False
        try:
            socket.create_connection(("127.0.0.1", self._board.port), _PROBE).close()
        except OSError:
            return False
        return True


def _in_a_word(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused" if error.errno else f"answered {error}"
    return "cut off" if isinstance(error, ConnectionError) else type(error).__name__
