"""Which carts and tabs are open, over all servers, and the drop as operators watch it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from shop import create_app
from shop.changes import cart_name
from shop.commands import drawing
from shop.commands.snapshot import Snapshot
from shop.commands.statistics import ItemStatistics, OrderStatistics, ProductStatistics, Statistics
from shop.config import load_settings
from shop.db import open_database
from shop.inventory import Inventory
from shop.models import CartSnapshot
from shop.models.cart import cart_ref, new_cart_id
from shop.open_carts import OpenCarts
from shop.presence import Overview, Server
from shop.presence.answering import AnsweringPresence
from shop.product_views import Levels
from shop.relay import Relay
from shop.services import Services
from shop.streams import Hub
from shop.tabs import QueueTab
from shop.versions import Floor
from tests.support.cluster import Cluster
from tests.support.running import ROOT, RunningShop, eventually
from tests.support.shopper import Shopper, Site, SocketTab, Tab, ref_in


def operate(shop: RunningShop, *command: str) -> Result:
    """Run an operators' command as another process would, sparing its start."""
    app = create_app(shop.environ)
    try:
        return app.test_cli_runner().invoke(args=command)
    finally:
        services: Services = app.extensions["shop"]
        services.database.close()
        if services.relay is not None:
            services.relay.client.close()


def carts(shop: RunningShop) -> list[dict[str, Any]]:
    """Return what `carts` says to a program."""
    found: list[dict[str, Any]] = json.loads(operate(shop, "carts", "--json").stdout)
    return found


def referer(path: str) -> dict[str, str]:
    """The header by which a browser says which page of the shop a stream is for."""
    return {"Referer": f"http://127.0.0.1{path}"}


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """A process started in the background ignores Ctrl-C, and so does all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def second(drop: RunningShop, open_shop: Callable[..., RunningShop]) -> RunningShop:
    """Another server of the same shop, on the same machine and database."""
    return open_shop(SHOP_DEMO="off")


@pytest.fixture
def kim(drop: RunningShop) -> Shopper:
    """A shopper with two items in the cart."""
    kim = Shopper(drop)
    for item_id in (1, 15):
        assert kim.add(item_id).status == 303
    return kim


# --- Carts ----------------------------------------------------------------------------------


def test_carts_tells_of_every_open_cart_its_tabs_pages_and_items(
    drop: RunningShop, kim: Shopper
) -> None:
    before = int(time.time())
    with Tab(drop, kim, [1, 2], **referer("/")) as first, Tab(drop, kim, **referer("/cart")):
        first.next()
        with Tab(drop, products=[1]) as without_cart:
            without_cart.next()
            (cart,) = eventually(lambda: [c for c in carts(drop) if c["tabs"] == 2])
            since = datetime.strptime(cart.pop("since"), "%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ007
            assert before <= since.replace(tzinfo=UTC).timestamp() <= time.time()
            assert re.fullmatch(r"[\w.-]+#\d+", cart.pop("servers")[0])
            assert cart == {
                "cart": ref_in(kim.get("/").text),
                "tabs": 2,
                "pages": ["/", "/cart"],
                "items": 2,
                "skus": sorted(drop.sku(i) for i in (1, 15)),
            }
            text = drop.flask("carts").stdout
    assert re.search(rf"{cart['cart']} +2 +2 +\d+ s  /, /cart\n", text)
    assert text.endswith("1 cart open in 2 tabs on 1 server; 1 tab without a cart\n")
    eventually(lambda: not carts(drop))


def test_no_cart_is_named_by_its_id(drop: RunningShop, kim: Shopper) -> None:
    (cart_id,) = (row[0] for row in drop.sql("SELECT id FROM carts"))
    with Tab(drop, kim, [1], **referer("/")) as tab:
        tab.next()
        for command in (["carts"], ["carts", "--json"], ["watch", "--once"]):
            said = operate(drop, *command)
            assert cart_id not in said.stdout + said.stderr
            assert cart_id[:12] not in said.stdout + said.stderr
        (cart,) = carts(drop)
        assert cart["cart"] == cart_ref(cart_id)


def test_a_cart_is_open_since_its_first_tab_and_no_longer_when_all_are_closed(
    drop: RunningShop, kim: Shopper
) -> None:
    with Tab(drop, kim) as first:
        first.next()
        since = carts(drop)[0]["since"]
        eventually(lambda: time.time() > _seconds(since) + 1.1)
        with Tab(drop, kim) as second:
            second.next()
            first.close()
            kim.add(2)
            second.until(lambda tab: 2 in tab.cart)
            (cart,) = eventually(lambda: [c for c in carts(drop) if c["tabs"] == 1])
            assert (cart["since"], cart["items"]) == (since, 3)
    eventually(lambda: not carts(drop))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_cart_that_others_were_merged_into_is_open_since_the_earliest_of_them() -> None:
    opened = OpenCarts()
    for cart_id in ("secondary", "canonical"):
        opened.keep(CartSnapshot(cart_id, 1))
    opened._carts["secondary"].since -= 60
    since = opened.since("secondary")
    opened.merge("secondary", to=CartSnapshot("canonical", 2))
    opened.forget("secondary")
    assert opened.since("canonical") == since
    assert opened.since("secondary") is None


PAGES = {
    "/": "/",
    "/?from=mail": "/",
    "/cart": "/cart",
    "/checkout": "/checkout",
    "/checkout/complete": "/checkout/complete",
    "/products/OST-KILN": "/products/OST-KILN",
    "/products/NOBODYS": "-",
    "/stream": "-",
    "/healthz": "-",
    "/cart/items": "-",
    "/\x9b2J": "-",
    "//elsewhere.example/cart": "-",
}


@pytest.mark.parametrize("path", PAGES)
def test_a_tab_is_on_a_page_of_the_shop_or_on_none(open_drop: RunningShop, path: str) -> None:
    shopper = Shopper(open_drop)
    shopper.get("/")
    ref = ref_in(shopper.get("/").text)
    with Tab(open_drop, shopper, **referer(path)) as tab:
        tab.next()
        assert [c["pages"] for c in carts(open_drop) if c["cart"] == ref] == [[PAGES[path]]]


@pytest.mark.parametrize("elsewhere", ["http://elsewhere.example/cart", "http://[::1/cart", "cart"])
def test_a_page_of_another_site_is_none_of_the_shops(
    open_drop: RunningShop, elsewhere: str
) -> None:
    shopper = Shopper(open_drop)
    ref = ref_in(shopper.get("/").text)
    with Tab(open_drop, shopper, Referer=elsewhere) as tab:
        tab.next()
        assert [c["pages"] for c in carts(open_drop) if c["cart"] == ref] == [["-"]]


def test_a_page_names_itself_to_its_socket_with_which_no_referer_comes(
    open_drop: RunningShop,
) -> None:
    shopper = Shopper(open_drop)
    for path in ("/products/OST-KILN", "/cart"):
        page = shopper.get(path).text
        address = re.search(r'data-socket="/socket(\?[^"]*)"', page)
        assert address
        query = address[1].replace("&amp;", "&")
        with SocketTabAt(open_drop, shopper, query) as tab:
            tab.next()
            found = [c["pages"] for c in carts(open_drop) if c["cart"] == ref_in(page)]
            assert found == [[path]]


class SocketTabAt(SocketTab):
    """A WebSocket at an address as a page gives it."""

    def __init__(self, shop: RunningShop, shopper: Shopper, query: str) -> None:
        self._query = query
        super().__init__(shop, shopper)

    def _connect(self, shop: Site, query: str, headers: dict[str, str]) -> None:
        super()._connect(shop, self._query, headers)


def test_nothing_is_open_where_no_server_runs(closed_drop: RunningShop) -> None:
    assert json.loads(closed_drop.flask("carts", "--json").stdout) == []
    assert closed_drop.flask("carts").stdout == "No server of this shop is running.\n"


# --- Several servers on one machine -----------------------------------------------------------


def test_a_cart_open_on_two_servers_is_one_with_the_tabs_of_both(
    drop: RunningShop, second: RunningShop, kim: Shopper
) -> None:
    with Tab(drop, kim, **referer("/")) as tab, Tab(second, kim, **referer("/cart")) as other:
        tab.next(), other.next()
        (cart,) = carts(drop)
        assert (cart["tabs"], cart["pages"], cart["items"]) == (2, ["/", "/cart"], 2)
        assert len(cart["servers"]) == 2
        picture = operate(drop, "watch", "--once").stdout
    assert "2 tabs, 1 cart, 2 servers" in picture
    assert len(re.findall(r"#\d+ +1 tab, 1 cart\n", picture)) == 2


def test_what_a_killed_server_had_open_is_gone_at_once(
    drop: RunningShop, second: RunningShop, kim: Shopper
) -> None:
    with Tab(drop, kim) as tab, Tab(second, kim) as other:
        tab.next(), other.next()
        assert [cart["tabs"] for cart in carts(drop)] == [2]
        second.kill()
        done = operate(drop, "carts", "--json")
        assert [cart["tabs"] for cart in json.loads(done.stdout)] == [1]
        assert done.stderr == "", "a server that is gone is no trouble"
        assert len(sockets(drop)) == 1, "and what it left was cleared away"


def test_a_server_that_is_stopped_leaves_nothing(drop: RunningShop) -> None:
    assert len(sockets(drop)) == 1
    drop.stop()
    assert sockets(drop) == []


def test_a_frozen_server_is_named_and_the_others_are_told_of(
    drop: RunningShop, second: RunningShop, kim: Shopper
) -> None:
    with Tab(drop, kim) as tab, Tab(second, kim) as other:
        tab.next(), other.next()
        with frozen(second):
            began = time.monotonic()
            done = operate(drop, "carts", "--json")
            assert time.monotonic() - began < 5
            assert [cart["tabs"] for cart in json.loads(done.stdout)] == [1]
            name = f"#{second.process.pid if second.process else 0}"
            assert re.fullmatch(rf"1 server did not answer: \S+{name}\n", done.stderr)
            assert f"{name}\n" in operate(drop, "carts").stdout

            drop.kill()
            nobody = operate(drop, "carts")
            assert nobody.exit_code == 1
            assert "1 server did not answer" in nobody.stderr
        assert [cart["tabs"] for cart in carts(drop)] == [1]


def test_only_the_shops_own_user_can_ask(drop: RunningShop) -> None:
    (socket,) = sockets(drop)
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_a_shop_in_a_folder_with_a_long_path_can_be_asked(
    open_shop: Callable[..., RunningShop],
) -> None:
    shop = open_shop("x" * 200, SHOP_DEMO="off")
    shopper = Shopper(shop)
    shopper.get("/")
    with Tab(shop, shopper) as tab:
        tab.next()
        assert [cart["tabs"] for cart in carts(shop)] == [1]


def test_a_shop_whose_folder_takes_no_sockets_serves_all_the_same(
    open_shop: Callable[..., RunningShop], tmp_path: Path
) -> None:
    (tmp_path / "instance").mkdir()
    (tmp_path / "instance" / "run").write_text("in the way")
    shop = open_shop(SHOP_DEMO="off")
    with Tab(shop, products=[1]) as tab:
        tab.next()
    eventually(lambda: "can't ask what is open" in "".join(shop.output))  # by a thread


def sockets(shop: RunningShop) -> list[Path]:
    return sorted((shop.instance / "run").glob("*.sock"))


@contextmanager
def frozen(shop: RunningShop) -> Iterator[None]:
    shop.freeze()
    try:
        yield
    finally:
        shop.thaw()


# --- Several machines -----------------------------------------------------------------------


@pytest.fixture
def cluster(open_cluster: Callable[..., Cluster]) -> Cluster:
    """Two servers that only PostgreSQL and Redis connect, both listening."""
    cluster = open_cluster()
    eventually(lambda: listening(cluster) == 2)
    return cluster


def listening(cluster: Cluster) -> int:
    """Return how many servers listen to the others."""
    with closing(cluster.redis.client()) as client:
        channels: Any = client.pubsub_channels("shop:*")
        return sum(count for _, count in client.pubsub_numsub(*channels)) if channels else 0


def test_machines_are_asked_over_redis(cluster: Cluster) -> None:
    east, west = cluster.servers
    kim = Shopper(east)
    kim.add(1)
    with Tab(east, kim, **referer("/")) as tab, Tab(west, kim, **referer("/cart")) as other:
        tab.next(), other.next()
        for shop in (east, west, cluster.operator):
            (cart,) = carts(shop)
            assert (cart["tabs"], cart["pages"], cart["items"]) == (2, ["/", "/cart"], 1)
            assert len(cart["servers"]) == 2
        assert "2 tabs, 1 cart, 2 servers" in operate(cluster.operator, "watch", "--once").stdout


def test_answers_leave_nothing_in_redis_be_they_read_or_not(cluster: Cluster) -> None:
    with closing(cluster.redis.client()) as client:
        carts(cluster.operator)
        assert list(client.scan_iter("*presence*")) == []
        channels: Any = client.pubsub_channels("shop:*")
        relay = Relay(cluster.redis.url, channels[0].removesuffix("channel"))
        with closing(relay.client):
            relay.publish("presence", {"question": "carts", "key": "unread"})
        eventually(lambda: client.llen("unread") == 2)
        assert 0 < int(client.ttl("unread")) <= 10


def test_a_killed_machine_is_gone_at_once_and_a_frozen_one_is_said_to_be_silent(
    cluster: Cluster,
) -> None:
    east, west = cluster.servers
    kim = Shopper(east)
    kim.get("/")
    with Tab(east, kim) as tab, Tab(west, kim) as other:
        tab.next(), other.next()
        with frozen(west):
            done = operate(east, "carts", "--json")
            assert [cart["tabs"] for cart in json.loads(done.stdout)] == [1]
            assert done.stderr == "1 server did not answer: 1 elsewhere\n"
            at_its_side = operate(west, "carts", "--json")
            assert re.fullmatch(r"1 server did not answer: \S+#\d+\n", at_its_side.stderr)
        west.kill()
        eventually(lambda: listening(cluster) == 1)
        done = operate(east, "carts", "--json")
        assert [cart["tabs"] for cart in json.loads(done.stdout)] == [1]
        assert done.stderr == ""


def test_without_redis_a_machine_tells_of_its_own_servers(
    cluster: Cluster,
) -> None:
    east, west = cluster.servers
    kim = Shopper(east)
    kim.get("/")
    with Tab(east, kim) as tab, Tab(west, kim) as other:
        tab.next(), other.next()
        cluster.redis.stop()
        done = operate(east, "carts", "--json")
        assert [cart["tabs"] for cart in json.loads(done.stdout)] == [1]
        assert "only this machine was asked, Redis does not answer" in done.stderr
        assert "Traceback" not in done.stderr
        cluster.redis.start()
        eventually(lambda: listening(cluster) == 2)
        assert [cart["tabs"] for cart in carts(east)] == [2]


# --- At a terminal --------------------------------------------------------------------------


@dataclass
class Seen:
    """What came out at a terminal, and how the command ended."""

    text: str
    status: int

    @property
    def screens(self) -> list[str]:
        """The looks that took one another's place."""
        return [_plain(screen) for screen in self.text.split("\x1b[H")[1:]]


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", text).replace("\r\n", "\n")


class Terminal:
    """A terminal of a size, with a command running in it."""

    def __init__(self, shop: RunningShop, *command: str, lines: int = 24, **environ: str) -> None:
        pid, self._descriptor = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", lines, 80, 0, 0))
            words = [sys.executable, "-P", "-m", "shop.commands", *command]
            sized = {"LINES": "", "COLUMNS": ""}  # the terminal's own size counts
            settings = {"PYTHONPATH": str(ROOT), "TERM": "xterm", **sized, **environ}
            os.execve(words[0], words, {**shop.environ, **settings})
        self._pid = pid
        self.text = ""

    def until(self, pattern: str, seconds: float = 15.0) -> re.Match[str]:
        """Read on until the text holds something, and return what matched."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text, re.S)):
            assert time.monotonic() < deadline and self._read(), self.text
        return found

    def resize(self, columns: int) -> None:
        """Make it narrower or wider; what was read so far is forgotten."""
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        self.text = ""

    def interrupt(self) -> Seen:
        """Press Ctrl-C, and read to the end."""
        os.write(self._descriptor, b"\x03")
        return self.end()

    def end(self) -> Seen:
        while self._read():
            pass
        os.close(self._descriptor)
        _, status = os.waitpid(self._pid, 0)
        return Seen(self.text, os.waitstatus_to_exitcode(status))

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # Linux ends a terminal so
            return False
        self.text += data.decode()
        return bool(data)


def test_carts_are_watched_until_ctrl_c(drop: RunningShop, kim: Shopper) -> None:
    ref = ref_in(kim.get("/").text)
    terminal = Terminal(drop, "carts", "--watch")
    terminal.until("No cart|0 carts open")
    with Tab(drop, kim, **referer("/cart")) as tab:
        tab.next()
        terminal.until(rf"{ref} +1 +2 .*?/cart")
    text = terminal.text
    terminal.until(re.escape(text) + ".*0 carts open")
    seen = terminal.interrupt()
    assert seen.status == 0
    assert "Traceback" not in seen.text and "Aborted" not in seen.text
    assert len(seen.screens) >= 3


def test_the_drop_is_watched_until_ctrl_c(drop: RunningShop, kim: Shopper) -> None:
    with Tab(drop, kim) as tab:
        tab.next()
        terminal = Terminal(drop, "watch", "--interval", "0.2")
        terminal.until("1 tab, 1 cart, 1 server")
        drop.flask("sell", drop.sku(1), "--count", "60")
        terminal.until(r"[1-9][\d.]* a second")
        assert kim.buy().status == 303
        terminal.until(r"ORDERS\S*  1, ")
        seen = terminal.interrupt()
    assert seen.status == 0
    assert all(len(line) <= 80 for screen in seen.screens for line in screen.split("\n"))
    assert all(len(screen.split("\n")) <= 24 for screen in seen.screens)
    assert "\x1b[1m" in seen.text


def test_the_drop_fits_a_terminal_that_is_made_narrower(closed_drop: RunningShop) -> None:
    terminal = Terminal(closed_drop, "watch", "--interval", "0.2")
    terminal.until("OST-KILN")
    terminal.resize(40)
    terminal.until("OST-KILN.*OST-KILN.*OST-KILN")  # the first may have been drawn before
    seen = terminal.interrupt()
    assert seen.status == 0
    assert max(len(line) for line in seen.screens[-2].split("\n")) <= 40


def test_colours_can_be_refused(drop: RunningShop) -> None:
    terminal = Terminal(drop, "watch", NO_COLOR="1")
    terminal.until("OST-KILN")
    seen = terminal.interrupt()
    assert not re.search(r"\x1b\[[\d;]*m", seen.text)


def test_a_terminal_gets_as_many_carts_as_it_has_room_for(drop: RunningShop) -> None:
    with ExitStack() as stack:
        for _ in range(9):
            shopper = Shopper(drop)
            shopper.get("/")
            stack.enter_context(Tab(drop, shopper)).next()
        bounded = Terminal(drop, "carts", lines=11).end()
        assert "and 4 more; --all shows them" in bounded.text
        everything = Terminal(drop, "carts", "--all", lines=11).end()
        piped = operate(drop, "carts").stdout
    assert len(re.findall(r"[0-9a-f]{18} ", bounded.text)) == 5
    for text in (everything.text, piped):
        assert len(re.findall(r"[0-9a-f]{18} ", text)) == 9
    assert (bounded.status, everything.status) == (0, 0)


# --- In a pipe ------------------------------------------------------------------------------


@contextmanager
def running(shop: RunningShop, *command: str) -> Iterator[subprocess.Popen[str]]:
    process = shop.start_flask(*command)
    with process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout
    for line in process.stdout:
        if re.search(pattern, line):
            return line
    raise AssertionError(f"it ended without {pattern}")


def test_in_a_pipe_looks_follow_one_another(drop: RunningShop, kim: Shopper) -> None:
    with Tab(drop, kim) as tab, running(drop, "carts", "--watch") as blocks:
        tab.next()
        for _ in range(2):
            assert next_line(blocks, r"\d\d:\d\d:\d\d [A-Z]+$")
            assert next_line(blocks, "1 cart open in 1 tab on 1 server$")
        with running(drop, "carts", "--watch", "--json") as program:
            for _ in range(2):
                assert [c["tabs"] for c in json.loads(next_line(program, r"^\["))] == [1]
            program.send_signal(signal.SIGINT)
            assert program.wait(10) == 0
        blocks.send_signal(signal.SIGINT)
        assert blocks.wait(10) == 0
        assert blocks.stdout
        assert "\x1b" not in blocks.stdout.read()


def test_in_a_pipe_the_drop_is_a_line_a_look(drop: RunningShop, kim: Shopper) -> None:
    left = sum(row["available"] for row in drop.stock().values())
    with running(drop, "watch", "--interval", "0.2") as watch:
        first = next_line(watch, "left")
        assert re.fullmatch(
            rf"\S+T\S+[+-]\d\d:\d\d  left {left}  sold/s -  in orders 0  otherwise 0"
            r"  orders 0, \$0\.00  last minute 0, \$0\.00  tabs 0  carts 0  servers 1\n",
            first,
        )
        drop.flask("sell", drop.sku(1), "--count", "60")
        assert next_line(watch, r"sold/s [1-9]").split("  ")[1] == f"left {left - 60}"
        assert kim.buy().status == 303
        assert next_line(
            watch, r"in orders 2  otherwise 60  orders 1, \$\d+\.00  last minute 1, \$\d+\.00"
        )
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0


def test_the_watch_goes_on_while_the_database_is_away(drop: RunningShop) -> None:
    with running(drop, "watch", "--interval", "0.2") as watch:
        next_line(watch, "sold/s 0")
        away = drop.database.rename(drop.database.with_name("away"))
        line = next_line(watch, "the database does not answer")
        assert re.search(r"counts of \d\d:\d\d:\d\d", line)
        assert "servers 1" in line, "what is open is still told"
        away.rename(drop.database)
        assert "!" not in next_line(watch, "sold/s 0")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0


# --- A look at the drop -----------------------------------------------------------------------


def snapshot(products: int, *, servers: int = 1, sizes: int = 13, **others: Any) -> Snapshot:
    """A look at a shop in which the first size of each product is out, the second low."""
    counts = [0, 12, 300, 900, 12_345, 1_234_567, *[700] * (sizes - 6)]
    levels = Levels(150, 500)
    reports = []
    for number in range(1, products + 1):
        items = tuple(
            ItemStatistics(100 * number + n, f"{n / 2 + 6:g}", c, levels.of(c))
            for n, c in enumerate(counts)
        )
        reports.append(ProductStatistics(number, f"SKU-{number:03}", "A shoe", number != 2, items))
    orders = OrderStatistics(312, {"EUR": 100, "USD": 3_744_000})
    statistics = Statistics(
        10.0, 10.0, tuple(reports), orders, OrderStatistics(0, {}), pieces_ordered=400
    )
    carts = dict.fromkeys(map(str, range(1900)))
    overview = Overview(tuple(Server(f"web{n}#4711", 2000, carts) for n in range(servers)))
    moment = datetime(2026, 11, 22, 12, 0, 3, tzinfo=UTC)
    return Snapshot("Noon", "USD", moment, overview, statistics, **others)


@pytest.mark.parametrize("products", [1, 2, 5, 60])
@pytest.mark.parametrize("servers", [0, 1, 2, 12])
def test_a_look_fits_on_the_screen(products: int, servers: int) -> None:
    lines = drawing.picture(snapshot(products, servers=servers), width=80, rows=23)
    assert len(lines) <= 23
    assert max(len(_plain(line)) for line in lines) <= 80


@pytest.mark.parametrize("width", [1, 10, 20, 44, 45, 59, 60, 200])
def test_a_snapshot_is_drawn_for_a_screen_of_any_width(width: int) -> None:
    shown = snapshot(3, servers=2, troubles=["the database does not answer"])
    shown = replace(shown, shop="A shop with a name that is longer than many a screen is wide")
    for rows in (None, 23, 5):
        lines = [_plain(line) for line in drawing.picture(shown, width, rows)]
        assert max(map(len, lines)) <= max(width, 12)
        assert "12!" in "".join(lines) or rows


def test_left_is_what_is_on_sale_and_sold_out_are_sizes() -> None:
    text = _plain("\n".join(drawing.picture(snapshot(2), width=80, rows=23)))
    assert "LEFT    1,253,024 in 12 sizes on sale, 1 size sold out; 1,253,024 coming soon" in text
    assert "400 in orders" in text


def test_a_snapshot_for_programs_has_all_that_is_drawn(drop: RunningShop, kim: Shopper) -> None:
    kim.buy()
    row = json.loads(operate(drop, "watch", "--once", "--json").stdout)
    assert row["orders"]["count"] == 1 and row["sold_in_orders"] == 2
    assert list(row["orders"]["sums"]) == ["USD"]
    assert row["left"] == sum(product["left"] for product in row["products"])
    assert datetime.fromisoformat(row["at"]).tzinfo is not None
    assert len(row["servers"]) == 1
    with running(drop, "watch", "--json", "--interval", "0.2") as watch:
        assert json.loads(next_line(watch, "left"))["sold_per_second"] is None
        assert json.loads(next_line(watch, "left"))["sold_per_second"] == 0


def test_a_terminal_that_knows_few_characters_shows_the_others_as_questions(
    drop: RunningShop,
) -> None:
    drop.sql("UPDATE products SET name = '靴 – x' WHERE id = 1")
    drop.environ["PYTHONIOENCODING"] = "latin-1"
    for command in (("watch", "--once"), ("catalog", "list")):
        assert "? ? x" in drop.flask(*command).stdout


def test_two_products_are_shown_by_size_with_levels_in_signs() -> None:
    text = _plain("\n".join(drawing.picture(snapshot(2), width=80, rows=23)))
    assert re.search(r"\n +6 +6\.5 +7 +7\.5 +8 +8\.5", text)
    assert re.search(r"\n +out +12! +300~ +900 +12k +1M +700 ", text)
    assert re.search(r"SKU-001  A shoe +on sale +1,253,024 left", text)
    assert re.search(r"SKU-002  A shoe +coming soon", text)
    assert "312, €1.00 + $37,440.00" in text


def test_of_many_products_those_that_sell_come_first() -> None:
    shown = snapshot(60)
    assert shown.statistics
    before = [
        replace(product, items=(replace(product.items[0], available=amount), *product.items[1:]))
        for product, amount in zip(shown.statistics.products, [0] * 58 + [200, 400], strict=True)
    ]
    first = replace(shown.statistics, clock=0.0, products=tuple(before), pieces_ordered=390)
    shown = replace(shown, first=first, speed=shown.statistics.sold_per_second(first))
    assert shown.sold_otherwise == 590
    lines = drawing.picture(shown, width=80, rows=23)
    text = _plain("\n".join(lines))
    rows = re.findall(r"SKU-\d+", text)
    assert rows[:3] == ["SKU-060", "SKU-059", "SKU-001"]
    assert f"and {60 - len(rows)} more products" in text
    assert re.search(r"SKU-060 +on sale +[\d,]+ +40 +10 +1 +1 +1", text)
    whole = drawing.picture(snapshot(60), width=80, rows=None)
    assert all(any(f"SKU-{n:03}" in line for line in whole) for n in range(1, 61))


def test_what_was_restocked_is_no_sale() -> None:
    def statistics(clock: float, *counts: int) -> Statistics:
        items = tuple(ItemStatistics(n, "9", count, "low") for n, count in enumerate(counts))
        none = OrderStatistics(0, {})
        return Statistics(clock, clock, (ProductStatistics(1, "A", "A", True, items),), none, none)

    before = statistics(10.0, 20, 20)
    assert statistics(12.0, 10, 50).sold_per_second(before) == {1: 5.0}
    assert before.sold_per_second(None) == {}


# --- Ten thousand carts -----------------------------------------------------------------------


def test_telling_of_ten_thousand_carts_holds_nobody_up(released: Path, tmp_path: Path) -> None:
    instance = shutil.copytree(released, tmp_path / "instance")
    database = open_database(load_settings({"SHOP_INSTANCE": str(instance)}).database_url)
    inventory = Inventory(database, Levels(150, 500), Floor(database, tmp_path / "numbers"))
    inventory.current()
    hub, opened = Hub(), OpenCarts()
    for _ in range(10_000):
        cart_id = new_cart_id()
        QueueTab(hub, (cart_name(cart_id),), None, is_event_stream=True, page="/")
        state = CartSnapshot(cart_id, 1, item_ids=frozenset({1, 2, 15}))
        opened.keep(state)
    presence = AnsweringPresence(tmp_path, hub, opened, inventory)
    for question in ("carts", "counts"):
        turns, answer, began = [], "", time.thread_time()
        for piece in presence.answer(question):
            turns.append((time.thread_time() - began) * 1000)
            answer += piece
            began = time.thread_time()
        print(
            f"\n10,000 {question}: {sum(turns):.0f} ms in {len(turns)} turns, "
            f"longest {max(turns):.1f} ms, {len(answer) // 1000} KB"
        )
        assert len(turns) > 50
        assert max(turns) < 20
        assert cart_ref(cart_id)[:12] in answer and cart_id[:12] not in answer
    database.close()
