"""Several server processes on one machine: one shop, whichever of them answers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from shop.serving.sockets import stop_accepting
from tests.support import preloaded
from tests.support.running import ROOT, SERVER, NeverHappened, RunningShop, eventually, listens
from tests.support.servers import PlainGunicorn
from tests.support.shopper import Shopper, SocketTab, Tab

SERVERS = pytest.mark.parametrize("workers", [None, 2], ids=["one process", "2 workers"])

#: No limits to what a cart or an address may do: here are more clicks than people make.
UNLIMITED = {
    f"SHOP_{limit}": "0"
    for limit in (
        *("ACTIONS_PER_CART", "ACTIONS_PER_ADDRESS"),
        *("NEW_CARTS_PER_ADDRESS", "PAIRS_PER_ADDRESS"),
    )
}

StartShop = Callable[..., RunningShop]


@pytest.fixture
def start(open_shop: StartShop) -> StartShop:
    """Give a function that starts the shop after the drop with so many workers."""
    return partial(open_shop, "instance", stage="released", **UNLIMITED)


@pytest.fixture(scope="module")
def four(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop with 4 workers, for tests that leave them alone."""
    folder = shutil.copytree(released, tmp_path_factory.mktemp("four") / "instance")
    shop = RunningShop(folder, workers=4, SHOP_DEMO="off").start()
    yield shop
    shop.end()


def server_of(shop: RunningShop, tab: Tab) -> int:
    """Return the pid of the process that holds a tab's connection."""
    ports = f"{shop.port:04X}", f"{tab.socket.getsockname()[1]:04X}", "01"  # established
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (inode,) = (line[9] for line in lines if (line[1][-4:], line[2][-4:], line[3]) == ports)
    for pid in shop.workers():
        with suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if link.readlink().name == f"socket:[{inode}]":
                        return pid
    raise NeverHappened("no worker has that connection")


def streams_on_all_workers(shop: RunningShop, stack: ExitStack) -> dict[int, Tab]:
    """Open event streams without a cart until each worker has one."""
    found: dict[int, Tab] = {}
    for _ in range(200):
        tab = stack.enter_context(Tab(shop, products=[1]))
        tab.next()
        found.setdefault(server_of(shop, tab), tab)
        if len(found) == len(shop.workers()):
            return found
    raise NeverHappened(f"200 streams on only {len(found)} workers")


# --- Starting -------------------------------------------------------------------------------


def run(*args: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SHOP_")}
    return preloaded.run([sys.executable, str(SERVER), *args], {**environ, **settings}, 30)


@pytest.mark.parametrize("value", ["0", "-1", "101", "two", "", "1.5"])
def test_a_number_of_workers_that_is_none_is_refused_in_one_line(value: str) -> None:
    done = run("--workers", value)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "--workers" in line


def test_help_tells_of_the_workers() -> None:
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--workers N" in done.stdout and "bin/serve" in done.stdout


@pytest.mark.parametrize("args", [[], ["--workers", "2"]], ids=["one process", "2 workers"])
def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path, args: list[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = str(other.getsockname()[1])
        done = run(*args, SHOP_INSTANCE=str(tmp_path), SHOP_PORT=port)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "SHOP_PORT" in line and port in line


def test_workers_greet_once_when_they_serve_and_say_nothing_else(
    released: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(released, tmp_path / "instance")
    shop = RunningShop(folder, workers=2, SHOP_DEMO="off")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    shop.process = process = preloaded.start(shop.command, shop.environ, **pipes, text=True)
    assert process.stdout and process.stderr
    with ExitStack() as stack:
        stack.enter_context(process.stdout)
        stack.enter_context(process.stderr)
        stack.callback(shop.end)
        while "open at" not in (line := process.stdout.readline()):
            assert process.poll() is None
        assert line == f"The shop is open at {shop.url}\n"
        assert len(shop.workers()) == 2
        assert Shopper(shop).get("/").status == 200
        process.terminate()
        said, complained = process.stdout.read(), process.stderr.read()
        assert process.wait(20) == 0
    assert "open at" not in said and said.endswith("carts, stock and orders stay.\n\n")
    assert "shop.serve_workers" not in complained and "gunicorn" not in complained


def test_the_master_knows_nothing_that_gevent_would_have_to_patch_first() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import shop.serve_workers, sys; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    known = {"flask", "psycopg", "redis", "prometheus_client", "shop.services", "wsgi"}
    assert "gunicorn.arbiter" in told and not known & set(told)


# --- One shop -------------------------------------------------------------------------------


def test_a_cart_has_its_event_streams_counted_over_all_workers(four: RunningShop) -> None:
    shopper = Shopper(four)
    shopper.add(1)
    for _ in range(2):  # and again when the first have left
        with ExitStack() as stack:
            streams_on_all_workers(four, stack)
            tabs = [stack.enter_context(Tab(four, shopper, [1])) for _ in range(12)]
            first = [tab.next() for tab in tabs]
            held = [tab for tab, event in zip(tabs, first, strict=True) if event.name == "message"]
            assert len(held) == 4
            assert [event.name for event in first].count("overflow") == 8
            print("slots by worker:", Counter(server_of(four, tab) for tab in held))
            held[0].close()
            eventually(lambda: is_seated(four, shopper))
            assert all(tab.next().name == "message" for tab in change(shopper, held[1:]))


def is_seated(shop: RunningShop, shopper: Shopper) -> bool:
    with Tab(shop, shopper) as tab:
        return tab.next().name == "message"


def change(shopper: Shopper, tabs: list[Tab]) -> list[Tab]:
    """Have the cart change, so that each of its tabs hears something."""
    if shopper.cart():
        shopper.remove(1)
    else:
        shopper.add(1)
    return tabs


def test_event_streams_that_come_at_once_never_have_more_seats_than_there_are(
    four: RunningShop,
) -> None:
    shopper = Shopper(four)
    shopper.add(1)
    for _ in range(5):
        begin = threading.Barrier(12)
        tabs: list[Tab] = []

        def come(begin: threading.Barrier = begin, tabs: list[Tab] = tabs) -> None:
            begin.wait(10)
            tabs.append(Tab(four, shopper))

        crowd = [threading.Thread(target=come) for _ in range(12)]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join(20)
        held = [tab.next().name for tab in tabs].count("message")
        assert len(tabs) == 12 and held <= 4
        for tab in tabs:
            tab.close()
        eventually(lambda: is_seated(four, shopper))


def test_seats_of_a_cart_that_leads_to_another_are_that_ones(four: RunningShop) -> None:
    shopper, other = Shopper(four), Shopper(four)
    shopper.add(1)
    other.add(2)
    with ExitStack() as stack:
        for whose in (shopper, shopper, other, other):
            stack.enter_context(Tab(four, whose)).next()
        both = Shopper(four)
        both.cookies = {**shopper.cookies, **other.cookies}
        eventually(lambda: both.cart() == [1, 2])
        eventually(lambda: not is_seated(four, both))
    eventually(lambda: is_seated(four, both))
    with ExitStack() as stack:
        names = [stack.enter_context(Tab(four, both)).next().name for _ in range(5)]
        assert names == ["message"] * 4 + ["overflow"]


def test_a_change_by_way_of_any_worker_is_in_the_tabs_of_each(four: RunningShop) -> None:
    shopper = Shopper(four)
    shopper.get("/")
    with ExitStack() as stack:
        streams = streams_on_all_workers(four, stack)
        carts: dict[int, SocketTab] = {}
        while len(carts) < 4:
            tab = stack.enter_context(SocketTab(four, shopper))
            tab.next()
            carts.setdefault(server_of(four, tab), tab)
        for turn in range(6):
            if turn % 2:
                shopper.remove(1)
            else:
                shopper.add(1)
            for tab in carts.values():
                tab.until(partial(shows_cart, [] if turn % 2 else [1]), 2)
        for count, level in ((0, "out"), (900, "high")):
            four.flask("stock", "set", four.sku(3), str(count))
            for stream in streams.values():
                stream.until(partial(shows_level, level), 2)


def shows_cart(items: list[int], tab: Tab) -> bool:
    return tab.cart == items


def shows_level(level: str, tab: Tab) -> bool:
    return tab.level(1, 3) == level


def test_a_killed_worker_is_replaced_and_its_seats_come_back_and_others_are_unharmed(
    start: StartShop,
) -> None:
    shop = start(workers=3, SHOP_DRAIN_SECONDS="1")
    shopper = Shopper(shop)
    shopper.add(1)
    with ExitStack() as stack:
        streams_on_all_workers(shop, stack)
        tabs = [stack.enter_context(Tab(shop, shopper)) for _ in range(4)]
        for tab in tabs:
            tab.next()
        assert not is_seated(shop, shopper)
        victim = server_of(shop, tabs[0])
        theirs = [tab for tab in tabs if server_of(shop, tab) == victim]
        others = [tab for tab in tabs if tab not in theirs]
        os.kill(victim, signal.SIGKILL)
        for tab in theirs:
            with pytest.raises((EOFError, ConnectionResetError)):
                tab.next()
        for tab in change(shopper, others):
            tab.until(lambda tab: tab.cart == [])
        names: list[str] = []

        def comes_back() -> bool:
            tab = stack.enter_context(Tab(shop, shopper))
            names.append(tab.next().name)
            return names.count("message") == len(theirs)

        eventually(comes_back, every=0.2)
        assert not is_seated(shop, shopper)
        eventually(lambda: len(set(shop.workers()) - {victim}) == 3)
        assert Shopper(shop).get("/").status == 200
    assert shop.stop() == 0


# --- Workers that can't ---------------------------------------------------------------------


@contextmanager
def damaged_key(shop: RunningShop) -> Iterator[None]:
    """Damage what a worker reads when it starts, and nothing that one who serves looks at."""
    file = shop.instance / "secret_key"
    key = file.read_text()
    file.write_text("x")
    yield
    file.write_text(key)


@pytest.mark.drill
def test_a_shop_whose_workers_cannot_start_any_more_ends_and_says_why(start: StartShop) -> None:
    shop = start(workers=2)
    assert shop.process
    with damaged_key(shop):
        os.kill(shop.workers()[0], signal.SIGKILL)
        assert shop.process.wait(40) == 1
    text = "".join(shop.output)
    assert "Traceback" not in text
    assert "the secret_key in it is damaged" in text
    assert "workers can't start: 5 failed one after another" in text
    assert not listens(shop.port)


def test_new_workers_that_cannot_start_leave_the_shop_to_the_old(start: StartShop) -> None:
    shop = start(workers=2)
    assert shop.process
    old = set(shop.workers())
    with Tab(shop, products=[1]) as tab:
        tab.next()
        with damaged_key(shop):
            shop.process.send_signal(signal.SIGHUP)
            eventually(lambda: "the old ones stay" in "".join(shop.output))
            eventually(lambda: set(shop.workers()) == old)
        shop.sql("UPDATE items SET available = 0 WHERE id = 1")
        tab.until(lambda tab: tab.level(1, 1) == "out")
        shop.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(shop.workers()) == 2 and not old & set(shop.workers()), 20)
        wait_for_its_end(tab)
    assert shop.stop() == 0


# --- Closing and reloading under load -------------------------------------------------------


class Posting:
    """Shoppers who put an item into their carts and take it out, each time on a new connection."""

    def __init__(self, shop: RunningShop, shoppers: int = 6, pause: float = 0.0) -> None:
        self.shop = shop
        self.answered: Counter[int] = Counter()
        self.refused = 0
        self.lost: list[str] = []
        self._pause = pause
        self._over = threading.Event()
        self._crowd = [
            threading.Thread(target=self._post, args=(self._requests(),)) for _ in range(shoppers)
        ]

    def _requests(self) -> list[bytes]:
        shopper = Shopper(self.shop)
        assert shopper.token
        requests = []
        for path, fields in (("/cart/items", "item_id=1&"), ("/cart/items/1/remove", "")):
            body = f"{fields}csrf_token={shopper.token}"
            requests.append(
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {shopper.cookie_header}\r\n"
                "HX-Request: true\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
        return requests

    def _post(self, requests: list[bytes]) -> None:
        turn = 0
        while not self._over.is_set():
            try:
                connection = socket.create_connection(("127.0.0.1", self.shop.port), timeout=30)
            except OSError:
                self.refused += 1
                self._over.wait(0.01)
                continue
            with connection:
                self._exchange(connection, requests[turn % 2])
            turn += 1
            if self._pause:
                self._over.wait(self._pause)

    def _exchange(self, connection: socket.socket, request: bytes) -> None:
        try:
            connection.sendall(request)
            answer = connection.recv(4096)
        except OSError as error:
            self.lost.append(repr(error))
            return
        if answer.startswith(b"HTTP/1.1 "):
            self.answered[int(answer[9:12])] += 1
        else:
            self.lost.append(repr(answer))

    def __enter__(self) -> Posting:
        for one in self._crowd:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._crowd:
            one.join(40)

    def more(self, count: int, seconds: float = 30) -> None:
        """Wait until so many more are answered."""
        goal = self.answered.total() + count
        eventually(lambda: self.answered.total() >= goal, seconds)


@SERVERS
def test_no_post_that_was_accepted_is_lost_when_the_shop_closes_and_it_opens_again_at_once(
    start: StartShop, workers: int | None
) -> None:
    shop = start(workers=workers, SHOP_DRAIN_SECONDS="1")
    for turn in range(3):
        if turn:
            shop.start()
        with Posting(shop) as posting:
            posting.more(100)
            assert shop.stop() == 0
            assert not listens(shop.port)
        print(f"{posting.answered}, {posting.refused} refused")
        assert posting.lost == []
        assert set(posting.answered) == {200} and posting.refused
    assert "Traceback" not in "".join(shop.output)


@SERVERS
def test_who_waits_to_be_accepted_when_the_shop_closes_is_answered(
    start: StartShop, workers: int | None
) -> None:
    shop = start(workers=workers)
    assert shop.process
    with ExitStack() as stack:
        shop.freeze()
        waiting = [stack.enter_context(connect(shop)) for _ in range(250)]
        for connection in waiting:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        shop.process.send_signal(signal.SIGTERM)
        shop.thaw()
        for connection in waiting:
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert shop.process.wait(15) == 0


def test_a_socket_about_to_close_begins_no_connection_and_loses_none_that_it_has_begun() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    with socket.create_connection(address) as begun, socket.socket() as newcomer:
        stop_accepting(listening)
        begun.sendall(b"hello")
        newcomer.settimeout(0.5)
        with pytest.raises(TimeoutError):
            newcomer.connect(address)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.recv(5) == b"hello"
            listening.close()
            accepted.sendall(b"bye")
        assert begun.recv(5) == b"bye"


def wait_for_its_end(tab: Tab) -> None:
    """Take in what a tab is still sent: its first watcher gets again what it was shown."""
    with suppress(EOFError):
        while True:
            tab.next(10)


def until_gone(pids: Iterable[int]) -> None:
    """Wait until processes have ended."""
    for pid in pids:
        eventually(partial(lambda proc: not proc.exists(), Path(f"/proc/{pid}")), 30)


def test_no_request_fails_while_workers_are_replaced(start: StartShop) -> None:
    shop = start(workers=2, SHOP_DRAIN_SECONDS="1")
    assert shop.process
    with ExitStack() as stack:
        tabs = streams_on_all_workers(shop, stack)
        posting = stack.enter_context(Posting(shop))
        for _ in range(2):
            old = set(shop.workers())
            posting.more(50)
            shop.process.send_signal(signal.SIGHUP)
            until_gone(old)
            posting.more(50)
        for tab in tabs.values():
            wait_for_its_end(tab)
    print(posting.answered)
    assert (posting.lost, posting.refused, set(posting.answered)) == ([], 0, {200})
    assert len(shop.workers()) == 2
    assert shop.stop() == 0


#: Does what systemd does: puts a listening socket where the shop looks for it, and becomes it.
PASS = """
import os, socket, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


@SERVERS
def test_a_restart_on_a_passed_socket_refuses_nobody(
    released: Path, tmp_path: Path, workers: int | None
) -> None:
    folder = shutil.copytree(released, tmp_path / "instance")
    shop = RunningShop(folder, workers=workers, SHOP_DEMO="off", SHOP_DRAIN_SECONDS="1")
    shop.environ.update(UNLIMITED)
    with closing(socket.create_server(("127.0.0.1", shop.port), backlog=512)) as passed:
        served = shop.command
        shop.command = [sys.executable, "-c", PASS, str(passed.fileno()), *served]
        os.set_inheritable(passed.fileno(), True)
        try:
            restart_under_load(shop, passed)
        finally:
            shop.end()


def restart_under_load(shop: RunningShop, passed: socket.socket) -> None:
    start_with(shop, passed)
    with Posting(shop) as posting:
        for _ in range(2):
            posting.more(50)
            assert shop.stop() == 0
            eventually(lambda: waiting_on(shop.port) >= 6, 10)
            start_with(shop, passed)
        posting.more(50)
    print(posting.answered)
    assert (posting.lost, posting.refused, set(posting.answered)) == ([], 0, {200})
    assert shop.stop() == 0
    assert listens(shop.port), "the socket is not the shop's to close"


def start_with(shop: RunningShop, passed: socket.socket) -> None:
    shop.start(pass_fds=[passed.fileno()])
    assert f"open at {shop.url}\n" in "".join(shop.output)


def waiting_on(port: int) -> int:
    """Return how many connections wait to be accepted: a listening socket's receive queue."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (queues,) = (line[4] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "0A")
    return int(queues.partition(":")[2], 16)


def test_what_is_passed_and_is_no_listening_socket_is_refused_in_one_line(tmp_path: Path) -> None:
    with open(os.devnull) as nothing:
        done = subprocess.run(
            [sys.executable, "-c", PASS, str(nothing.fileno()), sys.executable, str(SERVER)],
            env={**os.environ, "SHOP_INSTANCE": str(tmp_path)},
            pass_fds=[nothing.fileno()],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "LISTEN_FDS" in line


# --- Letting the streams go -----------------------------------------------------------------


@SERVERS
def test_streams_go_one_after_another_while_requests_are_answered(
    start: StartShop, workers: int | None
) -> None:
    shop = start(workers=workers, SHOP_DRAIN_SECONDS="3", SHOP_SSE_PER_CART="1000")
    assert shop.process
    ended: list[float] = []

    def watch(tab: Tab) -> None:
        with suppress(EOFError):
            while True:
                tab.next(20)
        ended.append(time.monotonic())

    with ExitStack() as stack:
        kept = [stack.enter_context(connect(shop)) for _ in range(5)]
        for connection in kept:
            assert b"keep-alive" not in ask(connection) and b"Connection: close" not in ask(
                connection
            )
        tabs = [stack.enter_context(Tab(shop, products=[1])) for _ in range(150)]
        for tab in tabs:
            tab.next()
        watchers = [threading.Thread(target=watch, args=(tab,)) for tab in tabs]
        for watcher in watchers:
            watcher.start()
        began = time.monotonic()
        shop.process.send_signal(signal.SIGTERM)
        for connection, moment in zip(kept, (0.1, 0.4, 0.8, 1.2, 1.6), strict=True):
            eventually(partial(is_past, began + moment))
            assert b"\r\nConnection: close\r\n" in ask(connection)
            assert connection.recv(1) == b"", "it was its last answer"
        for watcher in watchers:
            watcher.join(20)
        assert shop.process.wait(15) == 0
    after = sorted(moment - began for moment in ended)
    lasted = time.monotonic() - began
    most = max(sum(start <= t < start + 0.5 for t in after) for start in after)
    print(f"150 tabs went from {after[0]:.2f} to {after[-1]:.2f} s, at most {most} in 0.5 s")
    assert after[-1] - after[0] > 1.5 and most <= 75
    assert lasted < 3 + 3


def is_past(moment: float) -> bool:
    return time.monotonic() > moment


def connect(shop: RunningShop) -> socket.socket:
    return socket.create_connection(("127.0.0.1", shop.port), timeout=10)


def ask(connection: socket.socket) -> bytes:
    """Ask for /healthz on a connection, and return the answer."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"ok\n"):
        data = connection.recv(4096)
        assert data, answer
        answer += data
    return answer


@SERVERS
def test_a_few_tabs_do_not_keep_a_shop_from_closing(start: StartShop, workers: int | None) -> None:
    shop = start(workers=workers)  # 5 seconds would be there
    assert shop.process
    with Tab(shop, products=[1]) as one, SocketTab(shop, products=[1]) as two, connect(shop):
        one.next(), two.next()
        began = time.monotonic()
        shop.process.send_signal(signal.SIGINT)
        assert shop.process.wait(15) == 0
    lasted = time.monotonic() - began
    print(f"closed within {lasted:.2f} s")
    assert lasted < 4


@SERVERS
def test_a_second_signal_ends_it_at_once(start: StartShop, workers: int | None) -> None:
    shop = start(workers=workers, SHOP_DRAIN_SECONDS="60", SHOP_SSE_PER_CART="1000")
    assert shop.process
    with ExitStack() as stack:
        tabs = [stack.enter_context(Tab(shop, products=[1])) for _ in range(100)]
        for tab in tabs:
            tab.next()
        theirs = shop.workers()
        shop.process.send_signal(signal.SIGTERM)
        wait_for_its_end(tabs[0])  # it has begun
        shop.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert shop.process.wait(30) != 0
        assert time.monotonic() - began < 10, "not after the drain of 60 s"
        until_gone(theirs)


# --- A gunicorn that knows nothing of all this ----------------------------------------------


@pytest.fixture
def plain_gunicorn(released: Path, tmp_path: Path) -> Iterator[RunningShop]:
    """The app under gunicorn's own gevent worker."""
    folder = shutil.copytree(released, tmp_path / "instance")
    shop = PlainGunicorn(folder, SHOP_DEMO="off").start()
    yield shop
    assert shop.stop() == 0
    assert "Traceback" not in "".join(shop.output)


def test_under_plain_gunicorn_streams_are_handed_over_and_sockets_work(
    plain_gunicorn: RunningShop,
) -> None:
    shop = plain_gunicorn
    shopper = Shopper(shop)
    shopper.get("/")
    with ExitStack() as stack:
        tabs = [stack.enter_context(Tab(shop, shopper, [1])) for _ in range(5)]
        assert [tab.next().name for tab in tabs] == ["message"] * 4 + ["overflow"]
        assert "transfer-encoding" not in tabs[0].headers, "it isn't gunicorn who writes"
        assert tabs[0].headers["connection"] == "close"
        sockets = [stack.enter_context(SocketTab(shop, shopper, [1])) for _ in range(3)]
        for by_socket in sockets:
            by_socket.next()
        shopper.add(1, hx=True)
        for live in (*tabs[:4], *sockets):
            live.until(partial(shows_cart, [1]))
        assert shopper.get("/stream", method="HEAD").status == 200
        tabs[0].close()
        eventually(lambda: is_seated(shop, shopper))
