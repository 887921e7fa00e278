"""The load client's visitors: a cookie jar and a connection each, and what they do in the shop."""

from __future__ import annotations

import re
import select
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import unescape
from urllib.parse import urlencode

from bench.loop import Loop, addresses, check_connected, dial

#: What may come of a request besides an answer.
REFUSED, CUT_OFF, UNANSWERED = "refused", "cut off", "no answer"

#: For how long an answer is waited for, in seconds.
TIMEOUT = 30.0

_BUYER = {"name": "Kim", "address": "1 Quay Street\n1000 Harbour", "email": "kim@example.com"}

_sources = addresses()

#: Seconds until the answer, by the kind of request.
Times = defaultdict[str, list[float]]


class Unanswered(Exception):
    """No answer came; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    text: str

    def header(self, name: str) -> str:
        """Return a header's value; nothing without it."""
        return dict(self.headers).get(name, "")


class Visitor:
    """Somebody with an address, cookies, a form's token and a connection; to be used in greenlets.

    Args:
        port: of the server. It can be changed between two requests, after `hang_up`.
        keeps: whether the connection is kept for the next request.
        times: where the seconds until each answer are noted.
    """

    def __init__(
        self, loop: Loop, port: int, *, keeps: bool = True, times: Times | None = None
    ) -> None:
        self._loop, self.port, self._keeps = loop, port, keeps
        self._source = next(_sources)
        self.times: Times = defaultdict(list) if times is None else times
        self._cookies: dict[str, str] = {}
        self._token = ""
        self._socket: socket.socket | None = None

    @property
    def cookies(self) -> str:
        """What is sent along, as in the header `Cookie`."""
        return "; ".join(f"{name}={value}" for name, value in self._cookies.items())

    def enter(self) -> list[str]:
        """Open the front page, keep the forms' token, and return the items that are offered."""
        page = self.get("/").text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        items = re.findall(r'name="item_id" value="(\d+)"', page)
        if token is None or not items:
            raise RuntimeError("the front page has no form with a token and sizes")
        self._token = unescape(token[1])
        return items

    def get(self, path: str, kind: str = "page") -> Answer:
        """Open a page."""
        return self._ask(kind, "GET", path)

    def add(self, item: object) -> Answer:
        """Put an item into the cart, as HTMX does."""
        return self._act("add", "/cart/items", item_id=item)

    def mark(self, item: object) -> Answer:
        """Mark an item of a product that is not on sale yet, as HTMX does."""
        return self._act("mark", "/cart/marks", item_id=item)

    def remove(self, item: object) -> Answer:
        """Take an item out of the cart, as HTMX does."""
        return self._act("remove", f"/cart/items/{item}/remove")

    def order(self, html: str, email: str = _BUYER["email"]) -> Answer:
        """Buy the cart whose checkout form is in `html`."""
        hidden = re.findall(r'<input type="hidden" name="(purchase|seen)" value="([^"]*)"', html)
        form = [("csrf_token", self._token), *hidden, *{**_BUYER, "email": email}.items()]
        return self._ask("checkout", "POST", "/checkout", form)

    def hang_up(self) -> None:
        """Close the connection, whatever is on it."""
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
        self._socket = None

    def _act(self, kind: str, path: str, **form: object) -> Answer:
        fields = {"csrf_token": self._token, **form}
        return self._ask(kind, "POST", path, fields.items(), {"HX-Request": "true"})

    def _ask(
        self,
        kind: str,
        method: str,
        path: str,
        form: Iterable[tuple[str, object]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and return what is answered.

        Raises:
            Unanswered: the connection was refused, or ended before the answer.
        """
        began = time.perf_counter()
        try:
            if self._was_closed():
                self.hang_up()
            connection = self._socket or self._connect()
            connection.sendall(self._write(method, path, form, headers or {}))
            answer = self._read(connection)
        except OSError as error:
            self.hang_up()
            refused = isinstance(error, ConnectionRefusedError)
            raise Unanswered(REFUSED if refused else CUT_OFF) from None
        self.times[kind].append(time.perf_counter() - began)
        self._keep_cookies(answer)
        if not self._keeps or answer.header("connection").lower() == "close":
            self.hang_up()
        return answer

    def _connect(self) -> socket.socket:
        self._socket = dial(self._source, self.port)
        self._loop.wait(self._socket.fileno(), select.EPOLLOUT)
        check_connected(self._socket)
        return self._socket

    def _was_closed(self) -> bool:
        """Tell whether the server closed the connection that was kept, as browsers look first."""
        try:
            return self._socket is not None and self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _write(
        self,
        method: str,
        path: str,
        form: Iterable[tuple[str, object]] | None,
        headers: Mapping[str, str],
    ) -> bytes:
        body = b"" if form is None else urlencode([*form]).encode()
        sent = {"Host": f"127.0.0.1:{self.port}", **headers}
        if self._cookies:
            sent["Cookie"] = self.cookies
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            sent["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in sent.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _read(self, connection: socket.socket) -> Answer:
        came = bytearray()
        while (answer := _whole_answer(came)) is None:
            self._loop.wait(connection.fileno(), select.EPOLLIN)
            more = connection.recv(1 << 17)
            if not more:
                raise ConnectionResetError
            came += more
        return answer

    def _keep_cookies(self, answer: Answer) -> None:
        for name, value in answer.headers:
            if name == "set-cookie":
                key, _, text = value.partition(";")[0].partition("=")
                if "max-age=0;" in value.lower() + ";":
                    self._cookies.pop(key, None)
                else:
                    self._cookies[key] = text


def _whole_answer(came: bytearray) -> Answer | None:
    """Return the answer once all of it came; it must have a Content-Length."""
    end = came.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = came[:end].decode("latin-1").split("\r\n")
    headers = [(k.lower(), v.strip()) for k, _, v in (line.partition(":") for line in lines)]
    length = dict(headers).get("content-length")
    if length is None:
        raise RuntimeError(f"an answer without Content-Length: {first}")
    whole = end + 4 + int(length)
    if len(came) < whole:
        return None
    return Answer(int(first.split()[1]), headers, came[end + 4 : whole].decode())


def run_all(
    loop: Loop, works: Iterable[Callable[[], object]], at_once: int, timeout: float
) -> None:
    """Have visitors do all of these works, so many of them at the same time.

    Raises:
        RuntimeError: they are not done in time, or one of them had no answer.
    """
    waiting, busy = iter(works), at_once

    def work() -> None:
        nonlocal busy
        try:
            for one in waiting:
                one()
        except Unanswered as error:
            raise RuntimeError(f"a visitor had no answer: {error}") from None
        busy -= 1

    for _ in range(at_once):
        loop.spawn(work)
    if not loop.run(time.monotonic() + timeout, lambda: not busy):
        raise RuntimeError("visitors could not do in time what they came for")
