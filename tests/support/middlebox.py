"""What stands between shoppers and a shop: a TCP proxy that falls silent, buffers and cuts."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

#: What becomes of a request. It and its answer pass; it passes, and of its answer a number of bytes
#: (see the box) and then nothing, or the end of the connection; it is lost.
PASS, HOLD, CUT, LOSE = "pass", "hold", "cut", "lose"


class Middlebox:
    """Forwards connections to a port of 127.0.0.1, as well as it is said to.

    As a context manager it listens; at the end all its connections are closed.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        #: what becomes of requests, by how they begin: "GET /stream"
        self.rules: dict[str, str] = {}
        #: how many bytes of an answer pass in any case
        self.lets_pass = 0
        #: what was lost, by the first lines of the requests
        self.lost: list[str] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._lines: set[_Line] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in [*self._lines]:
            line.close()
        self._flowing.set()

    def fall_silent(self) -> None:
        """Let nothing pass, and end nothing. What is connected by now never speaks again."""
        self._flowing.clear()

    def speak_again(self) -> None:
        """Let new connections pass; it knows nothing any more of those from before."""
        for line in [*self._lines]:
            line.lost = True
        self._flowing.set()

    def rule_for(self, request: str) -> str:
        """Return what becomes of a request, by its first line."""
        return next((rule for start, rule in self.rules.items() if request.startswith(start)), PASS)

    def wait_until_it_flows(self) -> None:
        self._flowing.wait()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            line = _Line(self, client, server)
            self._lines.add(line)
            line.start()

    def forget(self, line: _Line) -> None:
        self._lines.discard(line)


class _Line:
    """One connection through the box."""

    def __init__(self, box: Middlebox, client: socket.socket, server: socket.socket) -> None:
        self._box = box
        self._ends = (client, server)
        #: it never speaks again
        self.lost = False
        self._rule = PASS
        self._passed = 0

    def start(self) -> None:
        client, server = self._ends
        for way in ((client, server, self._asks), (server, client, self._answers)):
            threading.Thread(target=self._pump, args=way, daemon=True).start()

    def close(self) -> None:
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._box.forget(self)

    def _pump(
        self, source: socket.socket, to: socket.socket, allowed: Callable[[bytes], bytes | None]
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._box.wait_until_it_flows()
                if self.lost:
                    continue  # it is read, so that its end is noticed, and goes nowhere
                passed = allowed(data)
                if passed is None:
                    break
                to.sendall(passed)
        if not self.lost:
            self.close()

    def _asks(self, data: bytes) -> bytes:
        if begins := re.match(rb"[A-Z]+ \S+ HTTP/1.1\r\n", data):
            request = begins[0].decode()
            self._rule, self._passed = self._box.rule_for(request), 0
            if self._rule == LOSE:
                self._box.lost.append(request)
        return b"" if self._rule == LOSE else data

    def _answers(self, data: bytes) -> bytes | None:
        if self._rule == PASS:
            return data
        rest = max(self._box.lets_pass - self._passed, 0)
        self._passed += len(data)
        if self._rule == CUT and len(data) > rest:
            return None
        return data[:rest]
