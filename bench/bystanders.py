"""The load client for what happens meanwhile: visitors who add and remove, at given moments.

Nobody waits for anybody: an action is due at its moment, however the shop is doing, and its time is
counted from then. Half of the visitors keep their connections, the others open one for each action.
"""

from __future__ import annotations

import random
import select
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any

from bench.bystander import CUT_OFF, PATIENCE, REFUSED, UNANSWERED, Bystander
from bench.crowd import addresses
from bench.processes import answer_commands


class Bystanders:
    """All of them; its methods are the commands it takes."""

    def __init__(self) -> None:
        self._idle: deque[Bystander] = deque()
        self._busy: dict[int, Bystander] = {}
        self._epoll = select.epoll()
        self._done: list[dict[str, Any]] = []
        self._cpu = 0.0

    def come(self, port: int, count: int, item: int) -> dict[str, Any]:
        """Have visitors open the front page; `item` is what they put into their carts."""
        for number, source in zip(range(count), addresses(), strict=False):
            bystander = Bystander(source, port, item, keeps=number % 2 == 0)
            bystander.arrive()
            self._idle.append(bystander)
        return {}

    def act(self, rate: float, most: float) -> dict[str, Any]:
        """Act `rate` times a second, until the next command comes, for `most` seconds at the most.

        What has begun is then waited for.
        """
        cpu, over = time.process_time(), time.monotonic() + most
        self._done, chance = [], random.Random(1)
        waiting: deque[float] = deque()
        due = time.monotonic()
        while not _is_called() and time.monotonic() < over:
            while due <= time.monotonic():
                waiting.append(due)
                due += chance.uniform(0.5, 1.5) / rate
            while waiting and self._idle:
                self._begin(waiting.popleft())
            self._hear(max(0.0, due - time.monotonic()))
        self._finish(time.monotonic() + PATIENCE)
        self._cpu = time.process_time() - cpu
        return {}

    def report(self) -> dict[str, Any]:
        """Return all actions: when each was due, seconds until its answer, what came of it.

        Besides, the client's own CPU time.
        """
        return {"actions": self._done, "cpu": self._cpu}

    def _begin(self, due: float) -> None:
        bystander = self._idle.popleft()
        try:
            descriptor = bystander.begin(due)
        except OSError as error:
            self._end(bystander, bystander.fail(_in_a_word(error)))
            return
        self._busy[descriptor] = bystander
        self._epoll.register(descriptor, bystander.waits_for)

    def _hear(self, seconds: float) -> None:
        for descriptor, _ in self._epoll.poll(seconds, 64):
            bystander = self._busy[descriptor]
            try:
                told = bystander.go_on()
            except OSError as error:
                told = bystander.fail(_in_a_word(error))
            if told is not None:
                self._leave(descriptor)
                self._end(bystander, told)
            else:
                self._epoll.modify(descriptor, bystander.waits_for)

    def _finish(self, deadline: float) -> None:
        """Wait for what has begun."""
        while self._busy and time.monotonic() < deadline:
            self._hear(0.1)
        for descriptor, bystander in list(self._busy.items()):
            self._leave(descriptor)
            self._end(bystander, bystander.fail(UNANSWERED))

    def _leave(self, descriptor: int) -> None:
        del self._busy[descriptor]
        # A socket that was closed has left by itself.
        with suppress(OSError):
            self._epoll.unregister(descriptor)

    def _end(self, bystander: Bystander, told: dict[str, Any]) -> None:
        self._done.append(told)
        self._idle.append(bystander)


def _is_called() -> bool:
    """Tell whether the next command is there."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def _in_a_word(error: OSError) -> str:
    return REFUSED if isinstance(error, ConnectionRefusedError) else CUT_OFF


if __name__ == "__main__":
    answer_commands(Bystanders())
