"""The load client's background visitors: they add and remove at given moments."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bench.loop import Loop
from bench.visitors import REFUSED, TIMEOUT, UNANSWERED, Unanswered, Visitor, run_all

#: An answer that says that it had been done before.
HAD_BEEN_DONE = "had been done"


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
    """A visitor who adds an item and removes it again, whatever became of the request before."""

    def __init__(self, visitor: Visitor, item: int) -> None:
        self.visitor, self._item = visitor, item
        self._has = self._is_unsure = False

    def act(self) -> str:
        """Add or remove, and return what came of it."""
        try:
            answer = (self.visitor.remove if self._has else self.visitor.add)(self._item)
        except Unanswered as error:
            self._is_unsure |= str(error) != REFUSED
            return str(error)
        outcome = str(answer.status)
        if self._is_unsure and answer.status in (404, 409):
            outcome = HAD_BEEN_DONE
        if outcome in ("200", HAD_BEEN_DONE):
            self._has, self._is_unsure = not self._has, False
        return outcome


class Background:
    """Visitors who act at given moments, however the shop is doing; each is timed from its moment.

    Half of them keep their connections, the others open one for each action. Its methods are
    commands to the load client.

    Args:
        is_called: tells whether the next command is there.
    """

    def __init__(self, loop: Loop, is_called: Callable[[], bool]) -> None:
        self._loop, self._is_called = loop, is_called
        self._idle: deque[Actor] = deque()
        self._busy: dict[Actor, float] = {}
        self._actions: list[Action] = []

    def enter(self, port: int, count: int, item: int) -> None:
        """Have visitors open the front page; `item` is what they add and remove."""
        visitors = [Visitor(self._loop, port, keeps=n % 2 == 0) for n in range(count)]
        run_all(self._loop, [visitor.enter for visitor in visitors], count, TIMEOUT)
        self._idle.extend(Actor(visitor, item) for visitor in visitors)

    def act(self, rate: float, most: float) -> list[Action]:
        """Act `rate` times a second until the next command comes, for `most` seconds at the most.

        Waits then until what was begun is answered.
        """
        self._actions, chance = [], random.Random(1)
        waiting: deque[float] = deque()
        due = time.monotonic()
        until = due + most
        while not self._is_called() and time.monotonic() < until:
            while due <= time.monotonic():
                waiting.append(due)
                due += chance.uniform(0.5, 1.5) / rate
            while waiting and self._idle:
                self._loop.spawn(self._do, self._idle.popleft(), waiting.popleft())
            self._loop.run(due)
        self._loop.run(time.monotonic() + TIMEOUT, lambda: not self._busy)
        for actor, due in self._busy.items():
            actor.visitor.hang_up()
            self._actions.append(Action(due, time.monotonic() - due, UNANSWERED))
        self._busy.clear()
        return self._actions

    def stop(self) -> None:
        """Nothing to do: it has ended `act` by coming."""

    def _do(self, actor: Actor, due: float) -> None:
        self._busy[actor] = due
        outcome = actor.act()
        self._actions.append(Action(due, time.monotonic() - due, outcome))
        del self._busy[actor]
        self._idle.append(actor)
