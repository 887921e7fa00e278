"""The load client's visitors: each has an address, cookies, a form's token and a connection."""

from __future__ import annotations

import random
import re
import select
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from itertools import count
from urllib.parse import urlencode

import gevent
from gevent import socket as gevent_socket
from gevent.pool import Pool

#: What may come of a request besides an answer.
REFUSED, CUT_OFF, UNANSWERED = "refused", "cut off", "no answer"

#: For how long an answer is waited for; and that all visitors or tabs have done something. Seconds.
TIMEOUT, WORK_TIMEOUT = 30.0, 300.0

_BUYER = {"name": "Kim", "address": "1 Quay Street\n1000 Harbour"}
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; the constant came with Python 3.12
_RESET = struct.pack("ii", 1, 0)  # closing leaves no TIME_WAIT behind

#: Seconds until the answer, by the kind of request.
Times = defaultdict[str, list[float]]

#: The fields of a form, in order; nothing of a page that is opened.
Form = Sequence[tuple[str, object]] | None


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


def addresses() -> Iterator[str]:
    """Give addresses of this machine, one after another, that hardly any run before has used.

    Each visitor has one, as shoppers have; so no limit for an address is met.
    """
    for n in count(random.randrange(1 << 22)):
        within = n % (1 << 22)  # 127.64.0.0/10
        yield f"127.{64 + (within >> 16)}.{within >> 8 & 255}.{within & 255}"


_sources = addresses()


class Visitor:
    """Somebody who asks one thing after another; to be used in greenlets.

    Args:
        port: of the server. It can be changed between two requests, after `hang_up`.
        keeps: whether the connection is kept for the next request.
        times: where the seconds until each answer are noted.
    """

    def __init__(self, port: int, *, keeps: bool = True, times: Times | None = None) -> None:
        self.port, self._keeps, self._source = port, keeps, next(_sources)
        self.times: Times = defaultdict(list) if times is None else times
        self._cookies: dict[str, str] = {}
        self._token = ""
        self._socket: gevent_socket.socket | None = None

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

    def fill(self, items: Iterable[object], marks: bool = False) -> str:
        """Enter, and put items into the cart, or mark them; return the cart's HTML."""
        self.enter()
        html = ""
        for item in items:
            answer = self.mark(item) if marks else self.add(item)
            if answer.status != 200:
                raise RuntimeError(f"a cart could not be filled: {answer.status}")
            html = answer.text
        return html

    def get(self, path: str, kind: str = "page") -> Answer:
        """Open a page."""
        return self._ask(kind, path)

    def add(self, item: object) -> Answer:
        """Put an item into the cart, as HTMX does."""
        return self._act("add", "/cart/items", item_id=item)

    def mark(self, item: object) -> Answer:
        """Mark an item of a product that is not on sale yet, as HTMX does."""
        return self._act("mark", "/cart/marks", item_id=item)

    def remove(self, item: object) -> Answer:
        """Take an item out of the cart, as HTMX does."""
        return self._act("remove", f"/cart/items/{item}/remove")

    def order(self, html: str, email: str) -> Answer:
        """Buy the cart whose checkout form is in `html`."""
        hidden = re.findall(r'<input type="hidden" name="(purchase|seen)" value="([^"]*)"', html)
        form = [("csrf_token", self._token), *hidden, *_BUYER.items(), ("email", email)]
        return self._ask("checkout", "/checkout", form)

    def hang_up(self) -> None:
        """Close the connection, whatever is on it."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _act(self, kind: str, path: str, **form: object) -> Answer:
        return self._ask(kind, path, [("csrf_token", self._token), *form.items()], htmx="true")

    def _ask(self, kind: str, path: str, form: Form = None, htmx: str = "") -> Answer:
        """Send a request and return what is answered.

        Raises:
            Unanswered: the connection was refused or ended before the answer, or none came in time.
        """
        began = time.perf_counter()
        try:
            if self._socket is not None and _is_readable(self._socket):
                self.hang_up()  # the server closed what was kept; browsers look first, too
            self._socket = self._socket or connect(self.port, self._source)
            self._socket.sendall(self._write(path, form, htmx))
            answer = _read(self._socket)
        except OSError as error:
            self.hang_up()
            reasons = {ConnectionRefusedError: REFUSED, TimeoutError: UNANSWERED}
            raise Unanswered(reasons.get(type(error), CUT_OFF)) from None
        self.times[kind].append(time.perf_counter() - began)
        self._keep_cookies(answer)
        if not self._keeps or answer.header("connection").lower() == "close":
            self.hang_up()
        return answer

    def _write(self, path: str, form: Form, htmx: str) -> bytes:
        body = urlencode(form or ()).encode()
        sent = {"Host": f"127.0.0.1:{self.port}", "HX-Request": htmx, "Cookie": self.cookies}
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            sent["Content-Length"] = str(len(body))
        first = f"{'GET' if form is None else 'POST'} {path} HTTP/1.1"
        lines = [f"{name}: {value}" for name, value in sent.items() if value]
        return "\r\n".join([first, *lines, "", ""]).encode() + body

    def _keep_cookies(self, answer: Answer) -> None:
        for name, value in answer.headers:
            if name == "set-cookie":
                key, _, text = value.partition(";")[0].partition("=")
                self._cookies[key] = text
                if "max-age=0;" in value.lower() + ";":
                    del self._cookies[key]


def connect(port: int, source: str = "") -> gevent_socket.socket:
    """Connect to a server on this machine, from an address or from one of its own.

    Raises:
        OSError: it could not be reached.
    """
    connection = gevent_socket.socket()
    try:
        connection.settimeout(TIMEOUT)
        # The port is chosen when it connects: among those that are free for this very server.
        connection.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.bind((source or next(_sources), 0))
        connection.connect(("127.0.0.1", port))
    except BaseException:
        connection.close()
        raise
    return connection


def do_all(works: Iterable[Callable[[], object]], at_once: int) -> None:
    """Have visitors do all of these works, so many of them at the same time.

    Raises:
        RuntimeError: they are not done in time.
        Unanswered: one of them had no answer.
    """
    with gevent.Timeout(WORK_TIMEOUT, RuntimeError("visitors were not done in time")):
        for _ in Pool(at_once).imap_unordered(lambda work: work(), works):
            pass


def _is_readable(connection: gevent_socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _read(connection: gevent_socket.socket) -> Answer:
    """Read an answer, which must have a Content-Length."""
    came = bytearray()
    while (end := came.find(b"\r\n\r\n")) < 0:
        came += _receive(connection)
    first, *lines = came[:end].decode("latin-1").split("\r\n")
    headers = [(k.lower(), v.strip()) for k, _, v in (line.partition(":") for line in lines)]
    length = dict(headers).get("content-length")
    if length is None:
        raise RuntimeError(f"an answer without Content-Length: {first}")
    while len(came) < end + 4 + int(length):
        came += _receive(connection)
    return Answer(int(first.split()[1]), headers, came[end + 4 :].decode())


def _receive(connection: gevent_socket.socket) -> bytes:
    if more := connection.recv(1 << 17):
        return bytes(more)
    raise ConnectionResetError("the connection ended")
