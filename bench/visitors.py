"""The load client for pages: visitors on keep-alive connections, in a process of its own.

Each waits for an answer before it asks again, so as many requests are under way as there are
visitors.
"""

from __future__ import annotations

import select
import socket
import time
from collections import defaultdict
from typing import Any

from bench.crowd import addresses
from bench.http1 import Browser, Request
from bench.processes import answer_commands, cpu_clock
from bench.shopping import SCRIPTS, Script

#: Requests of each visitor before anything is counted.
_WARM_UP = 6

#: For how long an answer is waited for, in seconds.
_PATIENCE = 20.0


class Visitor:
    """One connection from an address of its own, one set of cookies, one script."""

    def __init__(self, port: int, script: Script, source: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), _PATIENCE, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answered = 0
        self._browser = Browser(f"127.0.0.1:{port}")
        self._script = script
        self._asked, self._at = next(script), 0.0

    def ask(self) -> None:
        self._at = time.perf_counter()
        self.socket.sendall(self._browser.write(self._asked))

    def hear(self) -> tuple[Request, float] | None:
        """Take what has come; return what was asked and the seconds it took, once it is whole."""
        data = self.socket.recv(65_536)
        if not data:
            raise RuntimeError(f"the server closed the connection after {self._asked.path}")
        answer = self._browser.read(data)
        if answer is None:
            return None
        asked, took = self._asked, time.perf_counter() - self._at
        if answer.status != asked.status:
            expected = f"{asked.method} {asked.path} answered {answer.status}, not {asked.status}"
            raise RuntimeError(expected)
        self._asked = self._script.send(answer)
        self.answered += 1
        return asked, took


class Visitors:
    """All of them; its method is the command it takes."""

    def visit(
        self, port: int, pid: int, script: str, connections: int, seconds: float
    ) -> dict[str, Any]:
        """Have visitors act for some seconds.

        Args:
            pid: the server's process, whose CPU time is measured.
            script: a name in `shopping.SCRIPTS`.

        Returns:
            Seconds it went on, the server's CPU time and the client's own in seconds, and by
            kind of request the times that answers took, in seconds.
        """
        sources = addresses()
        visitors = [Visitor(port, SCRIPTS[script](n), next(sources)) for n in range(connections)]
        try:
            waiting = {visitor.socket.fileno(): visitor for visitor in visitors}
            for visitor in visitors:
                visitor.ask()
            _go_on(waiting, lambda: all(v.answered >= _WARM_UP for v in visitors))
            server, own = cpu_clock(pid), time.process_time()
            began = time.perf_counter()
            times = _go_on(waiting, lambda: time.perf_counter() - began >= seconds)
            return {
                "seconds": time.perf_counter() - began,
                "cpu": cpu_clock(pid) - server,
                "client_cpu": time.process_time() - own,
                "times": times,
            }
        finally:
            for visitor in visitors:
                visitor.socket.close()


def _go_on(waiting: dict[int, Visitor], done: Any) -> dict[str, list[float]]:
    """Hear and ask until `done()`; return how long answers took, by kind of request."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    with select.epoll() as epoll:
        for descriptor in waiting:
            epoll.register(descriptor, select.EPOLLIN)
        while not done():
            ready = epoll.poll(_PATIENCE)
            if not ready:
                raise RuntimeError(f"no answer in {_PATIENCE:.0f} s")
            for descriptor, _ in ready:
                heard = waiting[descriptor].hear()
                if heard is not None:
                    times[heard[0].kind].append(heard[1])
                    waiting[descriptor].ask()
    return dict(times)


if __name__ == "__main__":
    answer_commands(Visitors())
