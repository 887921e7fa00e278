"""The load client's commands for visitors, who act at given moments, or answer by answer."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import gevent
from gevent.pool import Group
from gevent.queue import Queue

from bench.machine import cpu_clock
from bench.report import Figures, quantile
from bench.visitors import Answer, Times, Unanswered, Visitor, do_all

#: Requests of each visitor before any is counted; the fewest that are worth counting.
_WARM_UP, _FEWEST = 6, 10

#: Visitors who fill their carts at the same time, before they buy.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Action:
    """An add or a remove."""

    #: when its moment had come, on the monotonic clock in seconds
    due: float
    #: seconds from then until it was answered, or was given up
    took: float
    #: the answer's status, or why there was none
    outcome: str

    @property
    def ended(self) -> float:
        return self.due + self.took


class Visits:
    """Visitors at one server. The methods are commands to the load client.

    Args:
        is_called: tells whether the next command is there.
    """

    def __init__(self, is_called: Callable[[], bool]) -> None:
        self._is_called = is_called
        self._idle: Queue[Visitor] = Queue()
        self._item = 0
        #: whose cart had the item when they were last answered
        self._having: set[Visitor] = set()

    def enter(self, port: int, visitors: int, item: int) -> None:
        """Have visitors open the front page; `item` is what they add and remove.

        Half of them keep their connections, the others open one for each action.
        """
        self._item = item
        for number in range(visitors):
            visitor = Visitor(port, keeps=number % 2 == 0)
            visitor.enter()
            self._idle.put(visitor)

    def act(self, rate: float) -> list[Action]:
        """Add and remove `rate` times a second until the next command comes.

        An action is due at its moment, however the shop is doing, and is timed from then.
        """
        actions: list[Action] = []
        begun, chance, due = Group(), random.Random(1), time.monotonic()
        while not self._is_called():
            begun.spawn(self._act_once, due, actions)
            due += chance.uniform(0.5, 1.5) / rate
            gevent.sleep(max(0.0, due - time.monotonic()))
        begun.join(raise_error=True)
        return actions

    def stop(self) -> None:
        """Do nothing: it has ended `act` by coming."""

    def visit(self, port: int, pid: int, script: str, visitors: int, seconds: float) -> Figures:
        """Have visitors ask, each waiting for its answer before it asks again.

        Args:
            pid: the server's process, whose CPU time is measured.
            script: a name in `SCRIPTS`.

        Returns:
            Of all answers, how many a second there were and the server's CPU time for one. Of the
            checkouts, or of all if there are none, how many seconds they took.
        """
        times: Times = defaultdict(list)
        people = [Visitor(port, times=times) for _ in range(visitors)]
        scripts = [SCRIPTS[script](visitor, number) for number, visitor in enumerate(people)]
        do_all([partial(_follow, one, _WARM_UP) for one in scripts], visitors)
        times.clear()
        group, figures = Group(), _begin(pid)
        for one in scripts:
            group.spawn(_follow, one)
        group.join(seconds, raise_error=True)
        took = [seconds for some in times.values() for seconds in some]
        found = figures(len(took), times.get("checkout", took))
        group.kill()
        for visitor in people:
            visitor.hang_up()
        return found

    def buy(self, port: int, pid: int, items: Sequence[int], orders: int, shoppers: int) -> Figures:
        """Have so many carts that hold these items bought, by some shoppers at a time.

        Returns:
            As `visit` does, of the orders alone.
        """
        times: Times = defaultdict(list)
        people = [Visitor(port, times=times) for _ in range(orders)]
        forms: dict[Visitor, str] = {}

        def fill(visitor: Visitor) -> None:
            visitor.fill(items)
            forms[visitor] = visitor.get("/checkout").text

        do_all([partial(fill, visitor) for visitor in people], _AT_ONCE)
        works = [
            partial(_order, visitor, forms[visitor], f"kim{number}@example.com")
            for number, visitor in enumerate(people)
        ]
        figures = _begin(pid)
        do_all(works, shoppers)
        found = figures(orders, times["checkout"])
        for visitor in people:
            visitor.hang_up()
        return found

    def _act_once(self, due: float, actions: list[Action]) -> None:
        visitor = self._idle.get()
        try:
            has = visitor in self._having
            answer = (visitor.remove if has else visitor.add)(self._item)
            has = f'data-item-id="{self._item}"' in answer.text
            (self._having.add if has else self._having.discard)(visitor)
            outcome = str(answer.status)
        except Unanswered as error:
            outcome = str(error)
        actions.append(Action(due, time.monotonic() - due, outcome))
        self._idle.put(visitor)


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
        yield _order(visitor, added.text), 303


SCRIPTS = {"page": _pages, "add": _adds_and_removes, "checkout": _purchases}


def _follow(script: Script, answers: int = -1) -> None:
    """Go on with a script, for so many answers or without an end."""
    while answers and (found := next(script)):
        answers -= 1
        answer, status = found
        if answer.status != status:
            raise RuntimeError(f"a visitor was answered {answer.status}, not {status}")


def _order(visitor: Visitor, form: str, email: str = "kim@example.com") -> Answer:
    answer = visitor.order(form, email)
    if answer.header("location") in ("", "/checkout"):
        raise RuntimeError(f"an order was not taken: {answer.status}")
    return answer


def _begin(pid: int) -> Callable[[int, Sequence[float]], Figures]:
    """Return a function that tells what so many answers since came to, by what some took."""
    began, cpu = time.perf_counter(), cpu_clock(pid)

    def figures(answers: int, took: Sequence[float]) -> Figures:
        seconds, spent = time.perf_counter() - began, cpu_clock(pid) - cpu
        if answers < _FEWEST:
            raise RuntimeError("too few answers to measure; give it more seconds")
        each = {"rate": answers / seconds, "cpu": spent / answers}
        return {**each, "p50": quantile(took, 0.5), "p99": quantile(took, 0.99)}

    return figures
