"""A visitor who adds and removes an item, on a connection that is kept or on fresh ones."""

from __future__ import annotations

import select
import socket
import time
from typing import Any

from bench.dialing import dial, has_connected
from bench.http1 import Answer, Browser
from bench.shopping import add, arrive, remove

#: For how long an answer is waited for, in seconds.
PATIENCE = 30.0

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
        connection = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
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
