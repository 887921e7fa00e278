"""The load client's visitors: requests over connections that are kept, or fresh ones."""

from __future__ import annotations

import random
import re
import socket
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Sequence
from functools import partial
from html import unescape
from typing import Any

from bench.http1 import Answer, Browser, Request
from bench.loop import Loop, addresses, check_connected, dial
from bench.processes import cpu_clock
from bench.tabs import Cart

#: A generator of requests, each answered; what it returns is what came of all of them.
Script = Generator[Request, Answer, Any]

#: For how long an answer is waited for, in seconds.
TIMEOUT = 30.0

#: Visitors who fill their carts at the same time, and requests of each before any is counted.
_AT_ONCE, _WARM_UP = 16, 6

#: What may come of a request besides an answer; and an answer that says that it had been done.
REFUSED, CUT_OFF, UNANSWERED, HAD_BEEN_DONE = "refused", "cut off", "no answer", "had been done"

_BUYER = {"name": "Kim", "address": "1 Quay Street\n1000 Harbour", "email": "kim@example.com"}

_REF = re.compile(r'data-cart-ref="(\w+)"')


class Visitor:
    """Somebody with an address, a browser, and a connection."""

    def __init__(self, loop: Loop, source: str, port: int, browser: Browser, keeps: bool) -> None:
        self._loop, self._source, self._port, self._keeps = loop, source, port, keeps
        self.browser = browser
        self._socket: socket.socket | None = None
        self._unsent = b""
        #: None while nothing was asked
        self._then: Callable[[Answer | None, str], None] | None = None
        #: whether the last request went over a connection that had been kept
        self.reused = False

    def ask(self, request: Request, then: Callable[[Answer | None, str], None]) -> None:
        """Send a request; `then` is called with its answer, or with none and the reason."""
        self._then, self._unsent = then, self.browser.write(request)
        if self._was_closed():
            self.hang_up()
        self.reused = self._socket is not None
        if self._socket is not None:
            self._send()
            return
        try:
            self._socket = dial(self._source, self._port)
        except OSError:
            self._fail(REFUSED)
            return
        self._loop.watch(self._socket.fileno(), self._send, writing=True)

    def give_up(self) -> None:
        """Wait for an answer no more."""
        self._fail(UNANSWERED)

    def hang_up(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
        self._socket = None
        self.browser.forget()

    def _send(self) -> None:
        assert self._socket is not None
        try:
            check_connected(self._socket)
            self._socket.sendall(self._unsent)
        except OSError as error:
            self._fail(REFUSED if isinstance(error, ConnectionRefusedError) else CUT_OFF)
            return
        self._loop.watch(self._socket.fileno(), self._hear)

    def _hear(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(1 << 17)
        except OSError:
            data = b""
        if not data:
            self._fail(CUT_OFF)
            return
        answer = self.browser.read(data)
        if answer is None:
            return
        if not self._keeps or answer.header("connection").lower() == "close":
            self.hang_up()
        self._end(answer, str(answer.status))

    def _fail(self, reason: str) -> None:
        self.hang_up()
        self._end(None, reason)

    def _end(self, answer: Answer | None, outcome: str) -> None:
        then, self._then = self._then, None
        if then is not None:  # else the server closed a connection that was kept
            then(answer, outcome)

    def _was_closed(self) -> bool:
        """Tell whether the server closed the connection that was kept, as browsers look first."""
        try:
            return self._socket is not None and self._socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


def follow(
    visitor: Visitor,
    script: Script,
    then: Callable[[Any], None],
    note: Callable[[str, float], None] = lambda *_: None,
) -> None:
    """Have a visitor do what a script says; `then` is called with what it returns.

    Args:
        note: called with each request's kind, and the seconds until its answer.
    """

    def ask(request: Request) -> None:
        visitor.ask(request, partial(answered, request, time.monotonic()))

    def answered(request: Request, at: float, answer: Answer | None, reason: str) -> None:
        if answer is None:
            then(f"{request.kind}: {reason}")
            return
        note(request.kind, time.monotonic() - at)
        try:
            ask(script.send(answer))
        except StopIteration as done:
            then(done.value)

    ask(next(script))


# --- What visitors do --------------------------------------------------------------------------


def arrive() -> Generator[Request, Answer, tuple[str, list[str]]]:
    """Open the front page; return the form's token, and the items that are offered."""
    page = (yield Request("GET /", "GET", "/")).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    items = re.findall(r'name="item_id" value="(\d+)"', page)
    if token is None or not items:
        raise RuntimeError("the front page has no form with a token and sizes")
    return unescape(token[1]), items


def add(token: str, item: object) -> Request:
    """Ask for an item to be put into the cart, as HTMX does."""
    return _post("add", "/cart/items", token, item_id=str(item))


def remove(token: str, item: object) -> Request:
    """Ask for an item to be taken out of the cart, as HTMX does."""
    return _post("remove", f"/cart/items/{item}/remove", token)


def order(token: str, html: str, email: str = _BUYER["email"]) -> Request:
    """Ask for the cart to be bought whose checkout form is in `html`."""
    hidden = re.findall(r'<input type="hidden" name="(purchase|seen)" value="([^"]*)"', html)
    form = [("csrf_token", token), *hidden, *{**_BUYER, "email": email}.items()]
    return Request("checkout", "POST", "/checkout", form, status=303)


def _post(kind: str, path: str, token: str, **form: str) -> Request:
    return Request(kind, "POST", path, {"csrf_token": token, **form}, {"HX-Request": "true"})


def _bare_route(_: int) -> Script:
    while True:
        yield Request("bare route", "GET", "/")


def _front_page(_: int) -> Script:
    while True:
        yield Request("GET /", "GET", "/")


def _adds_and_removes(number: int) -> Script:
    token, items = yield from arrive()
    item = items[number % len(items)]
    while True:
        yield add(token, item)
        yield remove(token, item)


def _purchases(number: int) -> Script:
    token, items = yield from arrive()
    while True:
        added = yield add(token, items[number % len(items)])
        yield order(token, added.text)


SCRIPTS = {
    "bare route": _bare_route,
    "page": _front_page,
    "add": _adds_and_removes,
    "checkout": _purchases,
}


def _filling(items: Sequence[int], browser: Browser) -> Script:
    """Put items into the cart; return what the cart's tab is to show."""
    token, _ = yield from arrive()
    html = ""
    for item in items:
        html = (yield add(token, item)).text
    found = _REF.search(html)
    if found is None or html.count('class="cart-item"') != len(items):
        return "a cart could not be filled"
    return token, Cart(browser.cookies, found[1], tuple(items))


# --- Commands of the load client ------------------------------------------------------------------


def fill_carts(
    loop: Loop, ports: Sequence[int], contents: Sequence[Sequence[int]], timeout: float
) -> list[tuple[str, Cart, Visitor]]:
    """Have a visitor come for each of the contents, at the servers in turn, and fill a cart.

    Returns:
        Each one's token, cart and visitor; connections are closed.
    """
    filled: list[Any] = [None] * len(contents)
    deadline, state = time.monotonic() + timeout, {"done": 0}

    def then(number: int, visitor: Visitor, result: Any) -> None:
        if isinstance(result, str):
            raise RuntimeError(result)
        visitor.hang_up()
        filled[number] = (*result, visitor)
        state["done"] += 1

    def wait(most: int, begun: int) -> None:
        if not loop.run(deadline, lambda: begun - state["done"] <= most):
            raise RuntimeError("carts could not be filled in time")

    sources = addresses()
    for number, items in enumerate(contents):
        wait(_AT_ONCE - 1, number)
        port = ports[number % len(ports)]
        visitor = Visitor(loop, next(sources), port, Browser(f"127.0.0.1:{port}"), keeps=True)
        follow(visitor, _filling(items, visitor.browser), partial(then, number, visitor))
    wait(0, len(contents))
    return filled


def visit(
    loop: Loop, port: int, pid: int, script: str, connections: int, seconds: float
) -> dict[str, Any]:
    """Have visitors ask, each waiting for its answer before it asks again.

    Args:
        pid: the server's process, whose CPU time is measured.
        script: a name in `SCRIPTS`.

    Returns:
        Seconds it went on, the server's CPU time and the client's own in seconds, and by kind of
        request the seconds that answers took.
    """
    times: defaultdict[str, list[float]] = defaultdict(list)
    counts = [0] * connections

    def run(number: int, visitor: Visitor) -> None:
        steps = SCRIPTS[script](number)

        def ask(request: Request) -> None:
            visitor.ask(request, partial(answered, request, time.perf_counter()))

        def answered(request: Request, at: float, answer: Answer | None, outcome: str) -> None:
            if answer is None or answer.status != request.status:
                raise RuntimeError(f"{request.method} {request.path}: {outcome}")
            times[request.kind].append(time.perf_counter() - at)
            counts[number] += 1
            ask(steps.send(answer))

        ask(next(steps))

    sources, host = addresses(), f"127.0.0.1:{port}"
    visitors = [
        Visitor(loop, next(sources), port, Browser(host), keeps=True) for _ in range(connections)
    ]
    for number, visitor in enumerate(visitors):
        run(number, visitor)
    if not loop.run(time.monotonic() + TIMEOUT, lambda: min(counts) >= _WARM_UP):
        raise RuntimeError(f"no answers in {TIMEOUT:.0f} s")
    times.clear()
    server, own, began = cpu_clock(pid), time.process_time(), time.perf_counter()
    loop.run(time.monotonic() + seconds)
    result = {
        "seconds": time.perf_counter() - began,
        "cpu": cpu_clock(pid) - server,
        "client_cpu": time.process_time() - own,
        "times": dict(times),
    }
    for visitor in visitors:
        visitor.hang_up()
    return result


class BackgroundVisitors:
    """Visitors who add and remove at given moments, however the shop is doing.

    An action's time is counted from its moment. Half of them keep their connections, the others
    open one for each action.
    """

    def __init__(self, loop: Loop, port: int, count: int, item: int) -> None:
        self._loop = loop
        self._item = item
        self._idle: deque[dict[str, Any]] = deque()
        self._busy: dict[int, dict[str, Any]] = {}
        self._actions: list[dict[str, Any]] = []
        sources = addresses()
        for number in range(count):
            browser = Browser(f"127.0.0.1:{port}")
            visitor = Visitor(loop, next(sources), port, browser, keeps=number % 2 == 0)
            state = {"visitor": visitor, "has": False, "unsure": False, "number": number}
            follow(visitor, arrive(), partial(self._arrived, state))
        if not loop.run(time.monotonic() + TIMEOUT, lambda: len(self._idle) == count):
            raise RuntimeError("visitors could not open the front page in time")

    def act(self, rate: float, until: float, stopped: Callable[[], bool]) -> list[dict[str, Any]]:
        """Act `rate` times a second until a moment, or until told to stop; wait for the answers.

        Returns:
            Of each action: when it was due, the seconds from then until its answer, what came of
            it, and whether its connection had been kept.
        """
        self._actions, chance = [], random.Random(1)
        waiting: deque[float] = deque()
        due = time.monotonic()
        while not stopped() and time.monotonic() < until:
            while due <= time.monotonic():
                waiting.append(due)
                due += chance.uniform(0.5, 1.5) / rate
            while waiting and self._idle:
                self._begin(self._idle.popleft(), waiting.popleft())
            self._loop.run(due)
        self._loop.run(time.monotonic() + TIMEOUT, lambda: not self._busy)
        for state in list(self._busy.values()):
            state["visitor"].give_up()
        return self._actions

    def _arrived(self, state: dict[str, Any], result: Any) -> None:
        if isinstance(result, str):
            raise RuntimeError(result)
        state["token"] = result[0]
        self._idle.append(state)

    def _begin(self, state: dict[str, Any], due: float) -> None:
        request = (remove if state["has"] else add)(state["token"], self._item)
        self._busy[state["number"]] = state
        state["visitor"].ask(request, partial(self._end, state, due))

    def _end(self, state: dict[str, Any], due: float, answer: Answer | None, outcome: str) -> None:
        if answer is None:
            state["unsure"] |= outcome != REFUSED
        elif state["unsure"] and answer.status in (404, 409):
            outcome = HAD_BEEN_DONE
        if outcome in ("200", HAD_BEEN_DONE):
            state["has"], state["unsure"] = not state["has"], False
        took = time.monotonic() - due
        reused = state["visitor"].reused
        self._actions.append({"due": due, "took": took, "outcome": outcome, "reused": reused})
        del self._busy[state["number"]]
        self._idle.append(state)
