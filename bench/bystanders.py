"""The load client for what happens meanwhile: visitors who add and remove, at given moments.

Nobody waits for anybody: an action is due at its moment, however the shop is doing, and its time is
counted from then. Half of the visitors keep their connections, the others open one for each action.
"""

from __future__ import annotations

import random
import select
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any

from bench.crowd import addresses
from bench.dialing import dial, has_connected
from bench.http1 import Answer, Browser
from bench.processes import answer_commands
from bench.shopping import add, arrive, remove

#: For how long arriving, and one answer, is waited for, in seconds.
_PATIENCE = 30.0

#: What may come of an action besides an answer.
REFUSED, CUT_OFF, UNANSWERED = "refused", "cut off", "no answer in time"

#: And an answer that says so of an action whose own answer got lost before.
HAD_BEEN_DONE = "had been done"


class Bystander:
    """A visitor with a cart, an address, and a connection that is kept or not."""

    def __init__(self, source: str, port: int, item: int, keeps: bool) -> None:
        self._source = source
        self._port = port
        self._item = str(item)
        self._keeps = keeps
        self._browser = Browser(f"127.0.0.1:{port}")
        self._token = ""
        self._has_item = False
        #: whether an answer got lost, so that nobody knows whether it has
        self._is_unsure = False
        self._socket: socket.socket | None = None
        #: what is to be sent as soon as it is connected
        self._unsent = b""
        self._due = 0.0
        self._reuses = False

    @property
    def waits_for(self) -> int:
        """What its connection must be ready for, in epoll's terms."""
        return select.EPOLLOUT if self._unsent else select.EPOLLIN

    def arrive(self) -> None:
        """Open the front page, for a cookie and a token."""
        script = arrive(0)
        connection = socket.create_connection(("127.0.0.1", self._port), _PATIENCE)
        connection.sendall(self._browser.write(next(script)))
        while (answer := self._browser.read(connection.recv(65_536))) is None:
            pass
        connection.setblocking(False)
        self._socket = connection
        if not self._keeps:
            self._hang_up()
        try:
            script.send(answer)
        except StopIteration as done:
            self._token, _ = done.value

    def begin(self, due: float) -> int:
        """Begin to do what is due: put the item into the cart, or take it out again.

        Returns:
            The connection's descriptor.

        Raises:
            OSError: nobody listens.
        """
        act = remove if self._has_item else add
        if self._was_closed():
            self._hang_up()
        self._due, self._reuses = due, self._socket is not None
        self._unsent = self._browser.write(act(self._token, self._item))
        if self._socket is None:
            self._socket = dial(self._source, self._port)
        else:
            self._send()
        return self._socket.fileno()

    def go_on(self) -> dict[str, Any] | None:
        """Send what is to be sent, or take what has come; return what came of it once it is over.

        Raises:
            OSError: the connection failed.
        """
        assert self._socket is not None
        if self._unsent:
            has_connected(self._socket)
            self._send()
            return None
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionResetError
        answer = self._browser.read(data)
        return None if answer is None else self._end(answer)

    def fail(self, outcome: str) -> dict[str, Any]:
        """End an action to which no answer came."""
        was_sent = not self._unsent
        self._is_unsure |= was_sent
        self._hang_up()
        self._browser.forget()
        return self._told(outcome if was_sent or outcome == UNANSWERED else REFUSED)

    def _was_closed(self) -> bool:
        """Tell whether the shop closed the connection that was kept, as browsers look first."""
        try:
            return self._socket is not None and self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def _send(self) -> None:
        assert self._socket is not None
        self._socket.sendall(self._unsent)
        self._unsent = b""

    def _end(self, answer: Answer) -> dict[str, Any]:
        had_been_done = self._is_unsure and answer.status in (404, 409)
        if answer.status == 200 or had_been_done:
            self._has_item, self._is_unsure = not self._has_item, False
        if not self._keeps or dict(answer.headers).get("connection", "").lower() == "close":
            self._hang_up()
        return self._told(HAD_BEEN_DONE if had_been_done else str(answer.status))

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._unsent = None, b""

    def _told(self, outcome: str) -> dict[str, Any]:
        took = time.monotonic() - self._due
        return {"due": self._due, "took": took, "outcome": outcome, "reused": self._reuses}


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
        self._finish(time.monotonic() + _PATIENCE)
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
