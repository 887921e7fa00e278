"""The load client's visitors who wait for each answer before they ask again."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from bench.loop import Loop
from bench.processes import cpu_clock
from bench.visitors import TIMEOUT, Answer, Times, Visitor, run_all

#: Requests of each visitor before any is counted.
_WARM_UP = 6

#: Visitors who fill their carts at the same time, before they buy.
_AT_ONCE = 16


class Used:
    """Seconds that go by from now on, and the CPU time that a process uses meanwhile."""

    def __init__(self, pid: int) -> None:
        self._pid, self._cpu, self._began = pid, cpu_clock(pid), time.perf_counter()

    def now(self) -> dict[str, float]:
        took = time.perf_counter() - self._began
        return {"seconds": took, "cpu": cpu_clock(self._pid) - self._cpu}


class ClosedLoop:
    """Visitors at one server. Its methods are commands to the load client."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def visit(
        self, port: int, pid: int, script: str, connections: int, seconds: float
    ) -> dict[str, Any]:
        """Have visitors ask, each waiting for its answer before it asks again.

        Args:
            pid: the server's process, whose CPU time is measured.
            script: a name in `SCRIPTS`.

        Returns:
            Seconds it went on, the server's CPU time in seconds, and by kind of request the seconds
            that answers took.
        """
        times: Times = defaultdict(list)
        counts = [0] * connections
        visitors = [Visitor(self._loop, port, times=times) for _ in range(connections)]
        for number, visitor in enumerate(visitors):
            self._loop.spawn(_repeat, SCRIPTS[script](visitor, number), counts, number)
        if not self._loop.run(time.monotonic() + TIMEOUT, lambda: min(counts) >= _WARM_UP):
            raise RuntimeError(f"no answers in {TIMEOUT:.0f} s")
        times.clear()
        used = Used(pid)
        self._loop.run(time.monotonic() + seconds)
        done = {**used.now(), "times": dict(times)}
        for visitor in visitors:
            visitor.hang_up()
        return done

    def buy(
        self, port: int, pid: int, items: Sequence[int], orders: int, shoppers: int
    ) -> dict[str, Any]:
        """Have so many carts that hold these items bought, by some shoppers at a time.

        Returns:
            As `visit` does, of the orders alone.
        """
        times: Times = defaultdict(list)
        visitors = [Visitor(self._loop, port, times=times) for _ in range(orders)]
        forms: dict[Visitor, str] = {}

        def fill(visitor: Visitor) -> None:
            visitor.enter()
            answers = [visitor.add(item) for item in items]
            if any(answer.status != 200 for answer in answers):
                raise RuntimeError("a cart could not be filled")
            forms[visitor] = visitor.get("/checkout").text

        def order(visitor: Visitor, email: str) -> None:
            answer = visitor.order(forms[visitor], email)
            if answer.header("location") in ("", "/checkout"):
                raise RuntimeError(f"an order was not taken: {answer.status}")

        run_all(self._loop, [partial(fill, one) for one in visitors], _AT_ONCE, 10 * TIMEOUT)
        works = [partial(order, one, f"kim{n}@example.com") for n, one in enumerate(visitors)]
        used = Used(pid)
        run_all(self._loop, works, shoppers, TIMEOUT)
        done = {**used.now(), "times": times["checkout"]}
        for visitor in visitors:
            visitor.hang_up()
        return done


# --- What visitors ask for who wait for each answer ----------------------------------------------

#: Answers, each with the status that it should have.
Script = Iterator[tuple[Answer, int]]


def _pages(visitor: Visitor, _: int) -> Script:
    while True:
        yield visitor.get("/"), 200


def _adds_and_removes(visitor: Visitor, number: int) -> Script:
    items = visitor.enter()
    item = items[number % len(items)]
    while True:
        yield visitor.add(item), 200
        yield visitor.remove(item), 200


def _purchases(visitor: Visitor, number: int) -> Script:
    items = visitor.enter()
    while True:
        added = visitor.add(items[number % len(items)])
        yield added, 200
        yield visitor.order(added.text), 303


SCRIPTS = {
    "bare route": _pages,
    "page": _pages,
    "add": _adds_and_removes,
    "checkout": _purchases,
}


def _repeat(script: Script, counts: list[int], number: int) -> None:
    for answer, status in script:
        if answer.status != status:
            raise RuntimeError(f"a visitor was answered {answer.status}, not {status}")
        counts[number] += 1
