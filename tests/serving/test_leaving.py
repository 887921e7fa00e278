"""Tabs that leave, at whatever moment: nothing of them is left, and nobody else notices."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from typing import Self

import pytest

from tests.support.interior import Interior, at_rest, look_into, nothing_left
from tests.support.running import RunningShop, eventually
from tests.support.shopper import Shopper, SocketTab, Tab

SSE, WEBSOCKET = "an event stream", "a WebSocket"

#: Each way of leaving is tried so many times at once.
TIMES = 4

UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture(scope="module")
def warm(each_server: RunningShop) -> RunningShop:
    """A shop each of whose processes has served pages, streams and sockets before."""
    with ExitStack() as stack:
        for _ in range(10):
            shopper = Shopper(each_server)
            shopper.add(1)
            for kind in (Tab, SocketTab):
                stack.enter_context(kind(each_server, shopper, [1, 2])).next()
    with ThreadPoolExecutor(10) as crowd:
        list(crowd.map(lambda _: Shopper(each_server).get("/"), range(40)))
    return each_server


@pytest.fixture(scope="module")
def rest(warm: RunningShop, full_cart: Shopper) -> Interior:
    """What the shop holds when nobody is there."""
    return at_rest(warm)


class Leaver:
    """A tab that is about to leave, and hardly has room for what it doesn't read.

    Args:
        cookies: of a cart that takes some kilobytes to tell of.
    """

    def __init__(self, shop: RunningShop, kind: str, cookies: str) -> None:
        path, more = ("/stream", "") if kind == SSE else ("/socket", UPGRADE)
        self.head = (
            f"GET {path}?product=1&product=2 HTTP/1.1\r\nHost: {shop.host}:{shop.port}\r\n"
            f"Origin: {shop.url}\r\n{more}Cookie: {cookies}\r\n\r\n"
        ).encode()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.socket.settimeout(10)
        self.socket.connect((shop.host, shop.port))

    def ask(self) -> None:
        self.socket.sendall(self.head)

    def read_head(self) -> None:
        """Take in the head of the answer, and some bytes of the first message."""
        self.ask()
        data = b""
        while b"\r\n\r\n" not in data[:-4]:
            data += self.socket.recv(1)
        assert data.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 101 "))

    def read_first(self) -> None:
        """Take in the whole first message, by what it ends with."""
        self.read_head()
        data = b""
        while not data.rstrip(b"\n").endswith(b"</hx-partial>") or b'id="stock-2"' not in data:
            data += self.socket.recv(4096)

    def leave(self, *, reset: bool) -> None:
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def half_closed(leaver: Leaver) -> None:
    leaver.read_first()
    leaver.socket.shutdown(socket.SHUT_WR)
    with suppress(ConnectionResetError):
        while leaver.socket.recv(4096):  # the shop lets go as well
            pass


#: What a tab has done when it leaves.
STAGES: dict[str, Callable[[Leaver], object]] = {
    "before its request": lambda leaver: None,
    "in the middle of its head": lambda leaver: leaver.socket.sendall(leaver.head[:40]),
    "right after its request": Leaver.ask,
    "in the middle of the first message": Leaver.read_head,
    "after the first message": Leaver.read_first,
    "half closed": half_closed,
}


@pytest.fixture(scope="module")
def full_cart(warm: RunningShop) -> Shopper:
    """A shopper whose cart holds one of everything."""
    shopper = Shopper(warm)
    for item_id in range(1, 27):
        shopper.add(item_id)
    return shopper


def leavers_of(shop: RunningShop, kind: str, shopper: Shopper, stack: ExitStack) -> list[Leaver]:
    leavers = (Leaver(shop, kind, shopper.cookie_header) for _ in range(TIMES))
    return [stack.enter_context(leaver) for leaver in leavers]


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
@pytest.mark.parametrize("kind", [SSE, WEBSOCKET])
def test_a_tab_that_leaves_leaves_nothing(
    warm: RunningShop,
    rest: Interior,
    full_cart: Shopper,
    kind: str,
    stage: Callable[[Leaver], object],
) -> None:
    with nothing_left(warm, rest), ExitStack() as stack:
        leavers = leavers_of(warm, kind, full_cart, stack)
        for leaver in leavers:
            stage(leaver)
        for number, leaver in enumerate(leavers):
            leaver.leave(reset=number % 2 == 0)
        assert full_cart.get("/").status == 200


@pytest.mark.parametrize("kind", [SSE, WEBSOCKET])
def test_tabs_that_leave_in_the_middle_of_a_broadcast_leave_nothing_and_keep_nobody_waiting(
    warm: RunningShop, rest: Interior, full_cart: Shopper, kind: str
) -> None:
    with nothing_left(warm, rest), Tab(warm, products=[2]) as witness, ExitStack() as stack:
        leavers = leavers_of(warm, kind, full_cart, stack)
        for leaver in leavers:
            leaver.read_head()
        for turn in range(12):
            warm.sql("UPDATE products SET price = ?", 50000 + 100 * turn)
            witness.until(partial(shows_price, f"${500 + turn}.00"), 2)
            if turn % 3 == 2:
                leavers[turn // 3].leave(reset=turn % 2 == 0)


def shows_price(price: str, tab: Tab) -> bool:
    return price in tab.shown.get("stock-2", "")


# --- A thousand of them -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def carts(warm: RunningShop) -> list[str]:
    """The cookies of shoppers with two items in their carts."""
    shoppers = [Shopper(warm) for _ in range(25)]
    for number, shopper in enumerate(shoppers):
        for item_id in (1 + number, 2 + number):
            shopper.add(item_id)
    return [shopper.cookie_header for shopper in shoppers]


def come_and_go(shop: RunningShop, carts: list[str], times: int) -> None:
    """Open so many tabs, half of them by WebSockets, some at a time, and leave when they live."""
    for _ in range(times // len(carts) // 2):
        leavers = []
        with ExitStack() as stack:
            for kind in (SSE, WEBSOCKET):
                for cookies in carts:
                    leavers.append(stack.enter_context(Leaver(shop, kind, cookies)))
                    leavers[-1].ask()
            for leaver in leavers:
                assert leaver.socket.recv(1000).startswith((b"HTTP/1.1 200", b"HTTP/1.1 101"))


def test_a_thousand_tabs_that_come_and_go_leave_nothing_behind(
    warm: RunningShop, rest: Interior, carts: list[str]
) -> None:
    after = []
    with nothing_left(warm, rest):
        for _ in range(3):  # the first thousand warm up what is kept for good
            come_and_go(warm, carts, 1000)
            after.append(at_rest_again(warm, rest))
    _, second, third = after
    grown = third.grown(since=second)
    del grown["weakref.ReferenceType"]  # sqlite3 keeps some hundred, of cursors that are gone
    memory = third.memory - second.memory
    print(f"a thousand tabs: {grown.total()} objects and {memory / 1024:.0f} KiB more")
    assert grown.total() < 500, grown
    assert memory < 2 * 1024 * 1024


def at_rest_again(shop: RunningShop, rest: Interior) -> Interior:
    eventually(lambda: look_into(shop).is_within(rest))
    return look_into(shop)
