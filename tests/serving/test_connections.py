"""Connections that ask for nothing, read nothing or talk too much: they keep nobody out."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from shop.serving.connections import Connections
from shop.serving.server import OPENING_AT_ONCE
from tests.support.running import HURRIED, RunningShop, eventually
from tests.support.shopper import Shopper, SocketTab, Tab

#: How many descriptors the crowded shop may have, and how many connections come to it.
DESCRIPTORS, CROWD = 300, 500

#: How long the hurried shop waits for anything, in seconds.
TIMEOUT = 1.0

ALL_OF_A_PAGE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def connect(shop: RunningShop, *, source: str = "127.0.0.1", room: int = 0) -> socket.socket:
    """Open a connection.

    Args:
        room: bytes that the kernel holds for the client until it reads them; 0: as it likes.
    """
    connection = socket.socket()
    connection.settimeout(10)
    if room:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    connection.bind((source, 0))
    connection.connect(("127.0.0.1", shop.port))
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the shop has closed a connection, after all that it has sent."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


# --- Too many ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowded(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop that may open few files."""
    folder = shutil.copytree(released, tmp_path_factory.mktemp("crowded") / "instance")
    shop = RunningShop(folder)
    shop.command = ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}", *shop.command]
    yield shop.start()
    shop.end()
    assert "Traceback" not in "".join(shop.output)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHo",
        b"POST /cart/items HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nite",
        b"GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nContent-Length: 9\r\n\r\n",
        ALL_OF_A_PAGE,
    ],
    ids=["nothing", "half a head", "half a body", "an upgrade without its body", "a request"],
)
def test_connections_that_wait_make_room_for_whoever_comes(
    crowded: RunningShop, sent: bytes
) -> None:
    shopper = Shopper(crowded)
    shopper.get("/")
    with ExitStack() as stack:
        tab = stack.enter_context(Tab(crowded, shopper, [1]))
        live = stack.enter_context(SocketTab(crowded, shopper, [1]))
        tab.next(), live.next()
        crowd = []
        for number in range(CROWD):
            waiting = stack.enter_context(connect(crowded, source=f"127.0.0.{2 + number % 50}"))
            waiting.sendall(sent)
            crowd.append(waiting)
        assert Shopper(crowded).get("/").status == 200
        assert eventually(lambda: is_closed(crowd[0])), "the oldest goes"
        assert not is_closed(crowd[-1])
        shopper.add(1)
        for open_one in (tab, live):
            open_one.until(lambda it: it.cart == [1])
        shopper.remove(1)


def test_streams_leave_descriptors_for_pages(crowded: RunningShop) -> None:
    with ExitStack() as stack:
        opened = []
        for number in range(DESCRIPTORS):
            stream = stack.enter_context(connect(crowded, source=f"127.0.0.{2 + number % 50}"))
            stream.sendall(b"GET /stream?product=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            opened.append(stream.recv(12))
        assert opened[0] == b"HTTP/1.1 200" and opened[-1] == b"HTTP/1.1 503"
        assert Shopper(crowded).get("/").status == 200


class Waiting:
    """A connection that asks for nothing."""

    def __init__(self, address: str) -> None:
        self.client_address = (address, 1)
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True


def test_an_address_that_holds_too_many_connections_loses_its_own_oldest() -> None:
    connections = Connections(most=100, most_of_address=3)
    other = Waiting("198.51.100.1")
    own = [Waiting(f"2001:db8::{number}") for number in range(5)]
    connections.add(other)
    for number, one in enumerate(own):
        connections.add(one)
        if number == 2:
            connections.renew(own[0])  # it has completed a request
    assert [one.is_cut for one in own] == [False, True, True, False, False]
    assert not other.is_cut and len(connections) == 4


# --- Those that don't read --------------------------------------------------------------------


@pytest.fixture(scope="module")
def hurried(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop that waits for hardly anything."""
    folder = shutil.copytree(released, tmp_path_factory.mktemp("hurried") / "instance")
    shop = RunningShop(folder, HURRIED, TIMEOUT=str(TIMEOUT)).start()
    yield shop
    assert shop.stop() == 0
    assert "Traceback" not in "".join(shop.output)


def test_a_client_that_does_not_read_its_answers_is_given_up(hurried: RunningShop) -> None:
    with connect(hurried, room=2048) as silent:
        started = time.monotonic()
        silent.settimeout(0.2)
        try:
            while True:  # until neither side's buffers hold any more of it
                silent.sendall(ALL_OF_A_PAGE * 50)
        except OSError:
            pass
        assert Shopper(hurried).get("/").status == 200
        time.sleep(2 * TIMEOUT)  # nothing is read meanwhile
        assert eventually(lambda: is_closed(silent), TIMEOUT + 10)
        print(f"given up after {time.monotonic() - started:.1f} s")


@pytest.mark.parametrize(
    "path",
    [
        b"/stream" + b"\xff" * 8_080,
        b"/stream" + b"%ff" * 2_600,
        b"/stream?" + b"product=1&" * 700,
        b"/streams",
        b"/stream",
    ],
    ids=["no path", "another path", "a query", "a path that begins alike", "the stream"],
)
def test_nobody_who_does_not_read_keeps_others_from_opening_a_stream(
    drop: RunningShop, path: bytes
) -> None:
    with ExitStack() as stack:
        for _ in range(2 * OPENING_AT_ONCE):
            silent = stack.enter_context(connect(drop, room=2048))
            silent.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path * 20)
        with Tab(drop, products=[1]) as tab:
            assert "size-container" in tab.next(3.0).data


def test_a_path_that_is_not_known_is_not_repeated(open_drop: RunningShop) -> None:
    for path in ("/nowhere-at-all", "/products/nowhere-at-all", "/stream/nowhere-at-all"):
        answer = Shopper(open_drop).get(path)
        assert answer.status == 404
        assert "nowhere-at-all" not in answer.text


# --- Those that talk ----------------------------------------------------------------------------


def handshake(shop: RunningShop) -> socket.socket:
    """Open a WebSocket, and wait until its first message begins to come."""
    connection = connect(shop)
    connection.sendall(
        b"GET /socket?product=1 HTTP/1.1\r\nHost: x\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert connection.recv(12) == b"HTTP/1.1 101"
    return connection


@pytest.mark.parametrize(
    "said",
    [b"\x89\x80abcd" * 300, b"\x8a\x80abcd" * 300, b"\x82\xfe\xff\xffabcd" + b"x" * 1800],
    ids=["pings", "pongs", "a long message"],
)
def test_a_socket_that_talks_is_cut_off_after_some_hundred_bytes(
    open_drop: RunningShop, said: bytes
) -> None:
    with handshake(open_drop) as talking:
        talking.sendall(said)
        found = b""
        with suppress(ConnectionError):
            while data := talking.recv(65536):
                found += data
    # Policy violation, or a message too big (RFC 6455, section 7.4.1).
    assert b"\x88\x02\x03\xf0" in found or b"\x03\xf1Message is too big" in found
    assert found.count(b"\x8a\x00") <= 200, "most pings are not even answered"


def test_a_socket_that_says_anything_is_closed(open_drop: RunningShop) -> None:
    with handshake(open_drop) as talking:
        talking.sendall(b"\x81\x85abcdABCDE")
        found = b""
        while data := talking.recv(65536):
            found += data
    assert b"\x88\x02\x03\xf0" in found


def test_a_socket_that_only_answers_and_pings_now_and_then_stays(open_drop: RunningShop) -> None:
    with handshake(open_drop) as polite:
        polite.sendall(b"\x8a\x80abcd" * 10)
        polite.sendall(b"\x89\x84abcdABCD")
        found = b""
        while b"\x8a\x04" not in found:
            found += polite.recv(65536)
        assert b"\x88\x02" not in found
