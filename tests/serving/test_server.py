"""The server: patient with nobody who is slow on purpose, and nothing lost when it ends."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import ssl
import statistics
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import pytest

from shop.serving.server import OPENING_AT_ONCE
from tests.support.front import make_certificate
from tests.support.running import HURRIED, RunningShop, eventually
from tests.support.servers import PlainGunicorn
from tests.support.shopper import Shopper, SocketTab, Tab

#: How long the hurried shop waits for anything, in seconds.
TIMEOUT = 0.6


@pytest.fixture(scope="module")
def hurried(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop that waits for hardly anything."""
    folder = shutil.copytree(released, tmp_path_factory.mktemp("hurried") / "instance")
    shop = RunningShop(folder, HURRIED, TIMEOUT=str(TIMEOUT)).start()
    yield shop
    shop.end()


def connect(shop: RunningShop) -> socket.socket:
    return socket.create_connection(("127.0.0.1", shop.port), timeout=10)


def read_to_the_end(connection: socket.socket) -> bytes:
    """Return what still comes until the shop closes the connection."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except ConnectionResetError:
        pass
    return found


def drip(connection: socket.socket, line: bytes) -> None:
    """Send a header line now and then, for as long as the shop stands it."""
    try:
        while True:
            connection.sendall(line)
            time.sleep(TIMEOUT / 4)
    except OSError:
        pass


# --- Time limits ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "line"),
    [
        (b"GET / HTTP/1.1\r\n", b"X-Slow: yes\r\n"),
        (b"", b"G"),
        (b"POST /cart/items HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n", b"x"),
        (
            b"POST /cart/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\nx\r\n",
        ),
        (
            b"POST /cart/items HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\n"
            b"Connection: upgrade\r\nContent-Length: 9999\r\n\r\n",
            b"x",
        ),
        (
            b"POST /cart/items HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: upgrade\r\nContent-Length: 9999\r\n\r\n",
            b"x",
        ),
    ],
    ids=["head", "first line", "body", "chunks", "upgrade", "websocket"],
)
def test_a_request_that_never_comes_to_its_end_is_cut_off(
    hurried: RunningShop, head: bytes, line: bytes
) -> None:
    with connect(hurried) as slow:
        started = time.monotonic()
        slow.sendall(head)
        dripping = threading.Thread(target=drip, args=(slow, line))
        dripping.start()
        assert Shopper(hurried).get("/").status == 200, "nobody else waits for it"
        answer = read_to_the_end(slow)
        lasted = time.monotonic() - started
        dripping.join()
    assert re.match(rb"HTTP/1.1 4\d\d |$", answer)
    assert TIMEOUT / 2 < lasted < TIMEOUT + 3


def test_a_connection_without_a_request_is_closed(hurried: RunningShop) -> None:
    with connect(hurried) as silent, connect(hurried) as done:
        started = time.monotonic()
        done.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_to_the_end(done).startswith(b"HTTP/1.1 200 ")
        assert read_to_the_end(silent) == b""
        assert TIMEOUT / 2 < time.monotonic() - started < TIMEOUT + 3


def test_a_stream_outlives_the_patience_for_requests(hurried: RunningShop) -> None:
    shopper = Shopper(hurried)
    shopper.get("/")
    with (
        Tab(hurried, shopper) as tab,
        SocketTab(hurried, shopper) as other,
        connect(hurried) as idle,
    ):
        tab.next(), other.next()
        assert read_to_the_end(idle) == b"", "the timeout is over"
        shopper.add(1)
        for live in (tab, other):
            live.until(lambda live: live.cart == [1])


# --- One connection, many requests ----------------------------------------------------------


def answers_in(connection: socket.socket, how_many: int) -> list[tuple[int, bytes]]:
    """Read so many answers off a connection that stays open."""
    found = []
    with connection.makefile("rb") as reader:
        for _ in range(how_many):
            status = int(reader.readline().split()[1])
            length = 0
            while (line := reader.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            found.append((status, reader.read(length)))
    return found


def test_keep_alive_answers_do_not_wait_for_an_acknowledgement(open_drop: RunningShop) -> None:
    times = []
    with connect(open_drop) as connection:
        for _ in range(60):
            started = time.monotonic()
            connection.sendall(b"GET /cart HTTP/1.1\r\nHost: x\r\n\r\n")
            ((status, _),) = answers_in(connection, 1)
            times.append(time.monotonic() - started)
            assert status == 200
    median = statistics.median(times)
    print(f"keep-alive: median {median * 1000:.1f} ms")
    assert median < 0.035, "some 40 ms are a delayed acknowledgement's"


def test_requests_sent_ahead_are_answered_in_their_order(open_drop: RunningShop) -> None:
    shopper = Shopper(open_drop)
    body = f"item_id=1&csrf_token={shopper.token}".encode()
    get = b"GET /%s HTTP/1.1\r\nHost: x\r\nCookie: %s\r\n\r\n"
    post = b"POST /cart/items HTTP/1.1\r\nHost: x\r\nCookie: %s\r\nContent-Length: %d\r\n"
    post += b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    cookie = shopper.cookie_header.encode()
    with connect(open_drop) as connection:
        connection.sendall(
            get % (b"healthz", cookie)
            + post % (cookie, len(body))
            + body
            + get % (b"cart", cookie)
            + get % (b"nowhere", cookie)
        )
        answers = answers_in(connection, 4)
    assert [status for status, _ in answers] == [200, 303, 200, 404]
    assert b'data-item-id="1"' in answers[2][1]


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=lambda data: ascii(data[:30]),
)
def test_nonsense_is_refused_without_a_word_of_the_inside(
    open_drop: RunningShop, nonsense: bytes
) -> None:
    with connect(open_drop) as connection:
        with suppress(OSError):  # it may be refused before all of it is sent
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
        answer = read_to_the_end(connection)
    assert b"Traceback" not in answer and b" 500 " not in answer.split(b"\r\n")[0]
    assert Shopper(open_drop).get("/").status == 200


@pytest.mark.parametrize("reset", [True, False], ids=["by a reset", "by the end"])
@pytest.mark.parametrize("body", [b"Content-Length: 99", b"Transfer-Encoding: chunked"])
def test_a_client_that_leaves_in_the_middle_of_its_body_is_not_worth_a_word(
    drop: RunningShop, body: bytes, reset: bool
) -> None:
    for _ in range(5):
        with connect(drop) as leaving:
            if reset:
                leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            head = b"POST /cart/items HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n" % body
            leaving.sendall(head + b"5\r\nite")
            assert Shopper(drop).get("/healthz").status == 200, "it has arrived by now"
    assert Shopper(drop).get("/").status == 200
    assert drop.stop() == 0
    assert "Traceback" not in "".join(drop.output)


# --- The end --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_closing_the_shop_ends_open_tabs_and_leaves_with_0(
    drop: RunningShop, how: signal.Signals
) -> None:
    shopper = Shopper(drop)
    shopper.add(1)
    with ExitStack() as stack:
        tabs = [stack.enter_context(Tab(drop, shopper, [1])) for _ in range(4)]
        sockets = [stack.enter_context(SocketTab(drop, shopper, [1])) for _ in range(4)]
        idle = stack.enter_context(connect(drop))
        for tab in (*tabs, *sockets):
            tab.next()
        assert drop.process
        started = time.monotonic()
        drop.process.send_signal(how)
        for tab in tabs:
            how_it_ended(tab)
        for tab in sockets:
            assert how_it_ended(tab) in (1001, 1012), "a code after which browsers come back"
        assert drop.process.wait(10) == 0
        assert read_to_the_end(idle) == b""
    lasted = time.monotonic() - started
    print(f"closed within {lasted:.2f} s")
    assert lasted < 4, "nobody is waited for who has asked for nothing"
    assert "Traceback" not in "".join(drop.output)


def how_it_ended(tab: Tab) -> object:
    """Take in everything until the shop ends the stream."""
    try:
        while True:
            tab.next()
    except EOFError as end:
        return end.args[0]


def test_closing_the_shop_lets_a_running_request_finish(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    assert shopper.token
    with closing(drop.connect()) as other, ThreadPoolExecutor(1) as hand:
        other.execute("BEGIN IMMEDIATE")
        adding = hand.submit(shopper.add, 1, hx=True)
        onlooker = Shopper(drop)
        for _ in range(20):
            onlooker.get("/")  # by now the request has arrived
        assert drop.process
        drop.process.send_signal(signal.SIGTERM)
        eventually(lambda: not accepts(drop))
        other.execute("ROLLBACK")
        assert adding.result(10).status == 200
        assert drop.process.wait(10) == 0
    assert drop.sql("SELECT item_id FROM cart_items") == [(1,)]


def accepts(shop: RunningShop) -> bool:
    try:
        with connect(shop):
            return True
    except OSError:
        return False


def test_killed_in_the_middle_of_200_purchases_it_has_every_order_that_it_answered(
    drop: RunningShop,
) -> None:
    items = [i for i, row in drop.stock().items() if row["available"]][:8]
    before = {i: drop.sql("SELECT available FROM items WHERE id = ?", i)[0][0] for i in items}
    answered: list[str] = []
    enough = threading.Event()

    def shopping(number: int) -> None:
        shopper = Shopper(drop)
        for turn in range(20):
            email = f"shopper{number}.{turn}@example.com"
            try:
                for item_id in (items[turn % 8], items[(turn + 1 + number % 3) % 8]):
                    shopper.add(item_id)
                answer = shopper.buy(typed={"email": email})
            except (OSError, HTTPException):
                return
            assert answer.location == "/checkout/complete"
            answered.append(email)
            if len(answered) >= 60:
                enough.set()

    with ThreadPoolExecutor(10) as crowd:
        shoppers = [crowd.submit(shopping, number) for number in range(10)]
        assert enough.wait(60)
        drop.kill()
        for future in shoppers:
            future.result(60)
    assert 60 <= len(answered) < 200, "in the middle"

    drop.start()
    orders = drop.orders()
    emails = [order["email"] for order in orders]
    assert set(answered) <= set(emails)
    assert len(set(emails)) == len(emails) <= len(answered) + 10
    assert all(len(order["lines"]) == 2 for order in orders)
    assert all(sum(line["price"] for line in o["lines"]) == o["total"] for o in orders)
    after = {i: drop.sql("SELECT available FROM items WHERE id = ?", i)[0][0] for i in items}
    assert sum(before.values()) - sum(after.values()) == 2 * len(orders)
    assert drop.sql("PRAGMA integrity_check") == [("ok",)]
    print(f"killed after {len(answered)} answers, with {len(orders)} orders")

    shopper = Shopper(drop)
    with Tab(drop, shopper, [1]) as tab:
        assert "stock-1" in tab.next().data
    shopper.add(items[0])
    assert shopper.buy().location == "/checkout/complete"


def test_a_shop_that_was_killed_knows_every_cart(
    drop: RunningShop, open_shop: Callable[..., RunningShop]
) -> None:
    shoppers = [Shopper(drop) for _ in range(5)]
    for shopper in shoppers:
        assert shopper.add(1, hx=True).status == 200
    drop.kill()
    for shopper in shoppers:
        shopper.cookies.pop("cart_export")  # not by the export: by the database
    drop.start()
    assert [shopper.cart() for shopper in shoppers] == [[1]] * 5


def test_a_malformed_chunk_is_refused(open_drop: RunningShop) -> None:
    head = b"POST /cart/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(open_drop) as connection:
        connection.sendall(head + b"zz\r\n")
        assert read_to_the_end(connection).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "lines",
    [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Transfer-Encoding : chunked",
        "X: a\rContent-Length: 5",
        "X: a\0b",
        "Host: other",
    ],
)
def test_a_head_that_a_proxy_could_read_otherwise_is_refused(
    open_drop: RunningShop, lines: str
) -> None:
    with connect(open_drop) as connection:
        head = f"POST /cart/items HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        assert read_to_the_end(connection).startswith(b"HTTP/1.1 400 ")


# --- Streams that open ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /streams HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /stream?product=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        b"GET /stream?product=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["kept alive after it", "a body that does not come", "chunks that do not come"],
)
def test_nobody_who_asks_for_a_stream_and_lingers_holds_up_the_others(
    drop: RunningShop, request_head: bytes
) -> None:
    with ExitStack() as stack:
        for _ in range(4 * OPENING_AT_ONCE):
            lingering = stack.enter_context(connect(drop))
            lingering.sendall(request_head)
        time.sleep(0.2)  # long enough for the shop to have taken them all up
        with Tab(drop, products=[1]) as tab:
            assert "size-container" in tab.next(3.0).data


def test_a_stream_of_a_gunicorn_that_speaks_tls_is_as_encrypted_as_the_pages(
    released: Path, tmp_path: Path
) -> None:
    make_certificate(tmp_path)
    files = ["--certfile", tmp_path / "fullchain.pem", "--keyfile", tmp_path / "privkey.pem"]
    shop = PlainGunicorn(shutil.copytree(released, tmp_path / "instance"))
    shop.command += map(str, files)
    trust = ssl.create_default_context(cafile=str(tmp_path / "fullchain.pem"))
    with ExitStack() as stack:
        stack.callback(shop.end)
        shop.start()
        client = HTTPSConnection("localhost", shop.port, timeout=30, context=trust)
        stack.enter_context(closing(client))
        client.request("GET", "/stream?product=1")
        assert b"size-container" in client.getresponse().read1()


def test_a_system_that_is_not_linux_serves(
    make_shop: Callable[..., RunningShop], tmp_path: Path
) -> None:
    """As macOS does: TCP_USER_TIMEOUT, /proc, as many files as the limit says."""
    (tmp_path / "sitecustomize.py").write_text(
        "import pathlib, resource, socket, _socket\n"
        "for module in (socket, _socket):\n"
        "    del module.TCP_USER_TIMEOUT\n"
        "socket.__all__.remove('TCP_USER_TIMEOUT')\n"
        "def refuse(*_): raise ValueError('current limit exceeds maximum limit')\n"
        "resource.setrlimit = refuse\n"
        "exists = pathlib.Path.exists\n"
        "pathlib.Path.exists = lambda path: not str(path).startswith('/proc') and exists(path)\n"
    )
    shop = make_shop("released", SHOP_DEMO="off", PYTHONPATH=str(tmp_path)).start()
    shopper = Shopper(shop)
    shopper.add(1)
    with Tab(shop, shopper, [1, 2]) as tab:
        tab.next()
        assert tab.cart == [1]
        assert "1 tab" in shop.flask("carts").stdout


# --- What a request line asks for -------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "status", "shown"),
    [
        ("http://shop.example.com/", 200, "Tideline"),
        ("HTTP://shop.example.com:80/cart?x=http://y/", 200, 'id="cart"'),
        ("https://shop.example.com", 200, "Tideline"),
        ("http://shop.example.com?x", 200, "Tideline"),
        ("http://shop.example.com/nowhere", 404, "Nothing at this address"),
        ("/http://shop.example.com/", 404, ""),
        ("http:///cart", 400, ""),
        ("ftp://shop.example.com/", 400, ""),
    ],
)
def test_a_request_may_name_the_whole_address(
    open_drop: RunningShop, target: str, status: int, shown: str
) -> None:
    answer = Shopper(open_drop).get(target)
    assert answer.status == status
    assert shown in answer.text


def test_the_host_of_a_whole_address_is_the_one_that_counts(open_drop: RunningShop) -> None:
    shopper = Shopper(open_drop)
    item = [("item_id", "1"), ("csrf_token", shopper.token)]
    for origin, status in {"http://inner": 400, "http://shop.example.com": 303}.items():
        headers = {"Host": "inner", "Origin": origin}
        answer = shopper.send("POST", "http://shop.example.com/cart/items", headers, item)
        assert answer.status == status
