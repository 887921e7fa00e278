"""The load client for carts: tabs that each show a cart of their own, and come back when cut off.

Another's cart in any of them ends the run. Plain sockets and one epoll, in a process of its own:
what it costs is printed beside what the server costs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from bench.cart_tabs import CartTab, Switchboard, buffer, line_of
from bench.coming_back import ComingBack, Manner
from bench.crowd import addresses
from bench.processes import answer_commands

#: Tabs that wait for their first message at the same time, when they aren't to come all at once.
_AT_ONCE = 64

#: Below everybody else's priority (nice(2)): where there are but two processors, somebody who
#: acts in the meantime must not wait until ten thousand tabs have been read.
_BEHIND = 10


class CartCrowd:
    """All of them; its methods are the commands it takes."""

    def __init__(self) -> None:
        os.nice(_BEHIND)
        self._tabs: list[CartTab] = []
        self._board = Switchboard(0)

    def open(self, port: int, carts: str, path: str, timeout: float) -> dict[str, Any]:
        """Open a stream for each cart, and wait until each tab shows its own.

        Args:
            carts: a file with the carts, as JSON.
            path: where the streams are, with the products that they watch.
        """
        began, cpu = time.monotonic(), time.process_time()
        host, held = f"127.0.0.1:{port}", json.loads(Path(carts).read_text())
        sources = addresses()
        self._tabs = [CartTab(n, next(sources), cart, host, path) for n, cart in enumerate(held)]
        self._board = Switchboard(port)
        waiting, under_way, found = iter(self._tabs), 0, 0
        while found < len(self._tabs):
            for tab in islice(waiting, _AT_ONCE - under_way):
                self._board.dial(tab)
                under_way += 1
            came = self._look(_cart(None), left_until(began + timeout, "were opened"))
            under_way -= came
            found += came
        return {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}

    def prepare(self) -> dict[str, Any]:
        """Read whatever there is by now, and begin to look anew."""
        while sum(tab.read() >= 0 for tab in self._board.ready(0)):
            pass
        for tab in self._tabs:
            tab.found_at = 0.0
        return {}

    def expect_cart(self, struck: int | None, timeout: float) -> dict[str, Any]:
        """Wait until each tab has its own cart, with this item struck out, or none.

        Returns:
            When the first, half and all of them had it, on the monotonic clock in seconds; the
            CPU time that reading took.
        """
        return self._expect(_cart(None if struck is None else line_of(struck)), timeout)

    def expect_product(self, product: int, timeout: float) -> dict[str, Any]:
        """Wait until each tab has a product's fragment, whatever it says; see `expect_cart`."""
        mark = f'id="stock-{product}"'.encode()
        return self._expect(lambda _, size: buffer.find(mark, 0, size) >= 0, timeout)

    def come_back(self, struck: int, manner: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Have each tab come back when its stream ends, until each has its cart as it is by then.

        Args:
            struck: the item that is sold out by then.
            manner: see `coming_back.Manner`.
        """
        for tab in self._tabs:
            tab.found_at = 0.0
        back = ComingBack(self._board, self._tabs, line_of(struck), Manner(**manner))
        cpu, deadline = time.process_time(), time.monotonic() + timeout
        while back.missing:
            back.go_on(left_until(deadline, f"came back ({back.missing} are missing)"))
        return back.as_json() | {"cpu": time.process_time() - cpu}

    def leave(self) -> dict[str, Any]:
        """Close all streams."""
        self._board.close()
        self._tabs = []
        return {}

    def _expect(self, finds: Callable[[CartTab, int], bool], timeout: float) -> dict[str, Any]:
        cpu, deadline = time.process_time(), time.monotonic() + timeout
        found, tabs = 0, self._tabs
        while found < len(tabs):
            left = left_until(deadline, f"had what was sent ({found} of {len(tabs)} had)")
            found += self._look(finds, left)
        times = sorted(tab.found_at for tab in tabs)
        return {
            "first": times[0],
            "half": times[len(times) // 2],
            "last": times[-1],
            "cpu": time.process_time() - cpu,
        }

    def _look(self, finds: Callable[[CartTab, int], bool], seconds: float) -> int:
        """Read what has come; return how many tabs have just found what they look for."""
        found = 0
        for tab in self._board.ready(seconds):
            if not tab.connected:
                self._board.ask(tab)
                continue
            size = tab.read()
            if size and not tab.found_at and finds(tab, size):
                tab.found_at = time.monotonic()
                found += 1
        return found


def _cart(struck: bytes | None) -> Callable[[CartTab, int], bool]:
    return lambda tab, size: tab.look.finds(buffer, size, struck)


def left_until(deadline: float, what: str) -> float:
    """Return the seconds that are left.

    Raises:
        RuntimeError: none is.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise RuntimeError(f"not all tabs {what} in time")
    return left


if __name__ == "__main__":
    answer_commands(CartCrowd())
