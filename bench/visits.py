"""The load client's commands for visitors, who act at given moments, or answer by answer."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import gevent
from gevent.pool import Group
from gevent.queue import Queue

from bench.machine import cpu_clock
from bench.visitors import Answer, Times, Unanswered, Visitor, do_all

#: Requests of each visitor before any is counted.
_WARM_UP = 6

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


class Actor:
    """A visitor who adds an item, and removes it when the last answer's cart has it."""

    def __init__(self, visitor: Visitor, item: int) -> None:
        self._visitor, self._item, self._has = visitor, item, False

    def act(self) -> str:
        """Add or remove, and return what came of it."""
        try:
            answer = (self._visitor.remove if self._has else self._visitor.add)(self._item)
        except Unanswered as error:
            return str(error)
        self._has = f'data-item-id="{self._item}"' in answer.text
        return str(answer.status)


class Visits:
    """Visitors at one server. The methods are commands to the load client.

    Args:
        is_called: tells whether the next command is there.
    """

    def __init__(self, is_called: Callable[[], bool]) -> None:
        self._is_called = is_called
        self._idle: Queue[Actor] = Queue()

    def enter(self, port: int, visitors: int, item: int) -> None:
        """Have visitors open the front page; `item` is what they add and remove.

        Half of them keep their connections, the others open one for each action.
        """
        for number in range(visitors):
            visitor = Visitor(port, keeps=number % 2 == 0)
            visitor.enter()
            self._idle.put(Actor(visitor, item))

    def act(self, rate: float) -> list[Action]:
        """Act `rate` times a second until the next command comes.

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
        visitors = [Visitor(port, times=times) for _ in range(connections)]
        scripts = [SCRIPTS[script](visitor, number) for number, visitor in enumerate(visitors)]
        do_all([partial(_follow, one, _WARM_UP) for one in scripts], connections)
        times.clear()
        group, spent = Group(), _spend(pid)
        for one in scripts:
            group.spawn(_follow, one)
        group.join(seconds, raise_error=True)
        done = {**spent(), "times": dict(times)}
        group.kill()
        _hang_up(visitors)
        return done

    def buy(
        self, port: int, pid: int, items: Sequence[int], orders: int, shoppers: int
    ) -> dict[str, Any]:
        """Have so many carts that hold these items bought, by some shoppers at a time.

        Returns:
            As `visit` does, of the orders alone.
        """
        times: Times = defaultdict(list)
        visitors = [Visitor(port, times=times) for _ in range(orders)]
        forms: dict[Visitor, str] = {}
        do_all([partial(_fill, one, items, forms) for one in visitors], _AT_ONCE)
        emails = (f"kim{number}@example.com" for number in count())
        works = [partial(_order, one, forms[one], next(emails)) for one in visitors]
        spent = _spend(pid)
        do_all(works, shoppers)
        done = {**spent(), "times": times["checkout"]}
        _hang_up(visitors)
        return done

    def _act_once(self, due: float, actions: list[Action]) -> None:
        actor = self._idle.get()
        outcome = actor.act()
        actions.append(Action(due, time.monotonic() - due, outcome))
        self._idle.put(actor)


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


SCRIPTS = {
    "bare route": _pages,
    "page": _pages,
    "add": _adds_and_removes,
    "checkout": _purchases,
}


def _follow(script: Script, answers: int = -1) -> None:
    """Go on with a script, for so many answers or without an end."""
    while answers and (found := next(script)):
        answers -= 1
        answer, status = found
        if answer.status != status:
            raise RuntimeError(f"a visitor was answered {answer.status}, not {status}")


def _spend(pid: int) -> Callable[[], dict[str, float]]:
    """Return a function that tells the seconds since, and the CPU time that a process used."""
    began, cpu = time.perf_counter(), cpu_clock(pid)
    return lambda: {"seconds": time.perf_counter() - began, "cpu": cpu_clock(pid) - cpu}


def _hang_up(visitors: Sequence[Visitor]) -> None:
    for visitor in visitors:
        visitor.hang_up()


def _fill(visitor: Visitor, items: Sequence[int], forms: dict[Visitor, str]) -> None:
    visitor.enter()
    if any(visitor.add(item).status != 200 for item in items):
        raise RuntimeError("a cart could not be filled")
    forms[visitor] = visitor.get("/checkout").text


def _order(visitor: Visitor, form: str, email: str = "kim@example.com") -> Answer:
    answer = visitor.order(form, email)
    if answer.header("location") in ("", "/checkout"):
        raise RuntimeError(f"an order was not taken: {answer.status}")
    return answer
