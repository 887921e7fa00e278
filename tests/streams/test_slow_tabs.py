"""Tabs that don't read, or are gone without a word: they cost little, and nobody else anything."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import gevent
import pytest
from websocket import WebSocketConnectionClosedException

from shop import tabs
from shop.framing import Message
from tests.serving.test_metrics import scrape
from tests.support.interior import at_rest, look_into
from tests.support.line import Line
from tests.support.machines.network import Network
from tests.support.running import HURRIED, RunningShop, eventually
from tests.support.servers import PlainGunicorn
from tests.support.shopper import DeafSocketTab, DeafTab, Shopper, SocketTab, Tab

#: How the kernel writes that a connection is established.
ESTABLISHED = "01"

#: For how long a server waits for a tab that doesn't read, in seconds.
SHORT = {"HEARTBEAT": "0.3", "STALLED": "1"}

#: The servers whose timeouts can be shortened.
HURRIED_SERVERS: Mapping[str, Callable[..., RunningShop]] = {
    "one process": partial(RunningShop, main=HURRIED),
    "plain gunicorn": partial(PlainGunicorn, app="tests.support.hurried_shop"),
}


# --- The hub ----------------------------------------------------------------------------------


def test_what_waits_for_a_tab_is_the_newest_of_each_topic_however_much_is_told() -> None:
    with Line(room=0) as line:
        line.begin()
        for number in range(2 * tabs.MOST_PENDING // 100):
            line.hub.send("cart", Message(f"{number:100}"))
        assert (len(line.hub), line.hub.statistics.slow_dropped) == (1, 0)
        line.tell("cart")
        line.check([text for text in line.read() if text in line.told])


def test_a_tab_for_which_too_much_waits_is_dropped_and_the_others_hear() -> None:
    with Line(room=0) as slow, Line(room=float("inf")) as quick:
        quick.begin()
        slow.begin()
        half = Message("x" * (tabs.MOST_PENDING // 2))
        for line in (slow, quick):
            for topic in ("cart", "stock"):
                line.hub.send(topic, half)
        assert [len(line.hub) for line in (slow, quick)] == [0, 1]
        assert [line.hub.statistics.slow_dropped for line in (slow, quick)] == [1, 0]


def test_what_a_tab_is_told_first_may_be_as_long_as_it_is() -> None:
    with Line(room=0) as line:
        line.tab.open(b"x" * tabs.MOST_PENDING * 3)
        line.tell("cart")
        assert len(line.hub) == 1


def test_a_tab_that_reads_a_little_now_and_then_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Line(room=0) as line:
        line.begin()
        for _ in range(20):
            now += tabs.STALLED * 0.9
            line.room = 1
            while line.room:
                gevent.sleep(0.001)
            line.hub.beat()
        assert len(line.hub) == 1
        now += tabs.STALLED * 1.1
        line.hub.beat()
        assert (len(line.hub), line.hub.statistics.slow_dropped) == (0, 1)


# --- On a server ------------------------------------------------------------------------------


def shoppers_with_everything(shop: RunningShop, how_many: int) -> list[Shopper]:
    """Return shoppers with one of everything in their carts: it takes kilobytes to tell of."""
    shoppers = [Shopper(shop) for _ in range(how_many)]
    for shopper in shoppers:
        for item_id in range(1, 27):
            shopper.add(item_id)
    return shoppers


def deaf_tabs(shop: RunningShop, shoppers: list[Shopper], stack: ExitStack) -> list[Tab]:
    """Open tabs that read nothing, by each shopper two event streams and two WebSockets."""
    kinds = (DeafTab, DeafTab, DeafSocketTab, DeafSocketTab)
    return [stack.enter_context(kind(shop, s, [1, 2])) for s in shoppers for kind in kinds]


def change_everything(shop: RunningShop, witnesses: list[Tab], turns: int) -> float:
    """Change what every tab shows, again and again; return how long it took at most, in seconds."""
    slowest = 0.0
    for turn in range(turns):
        began = time.monotonic()
        shop.sql("UPDATE products SET price = ?", 50000 + 100 * turn)
        for witness in witnesses:
            witness.until(partial(shows_price, f"${500 + turn}.00"))
        slowest = max(slowest, time.monotonic() - began)
    return slowest


def shows_price(price: str, tab: Tab) -> bool:
    return price in tab.shown.get("stock-2", "")


def test_tabs_that_read_nothing_cost_little_and_keep_nobody_waiting(
    each_server: RunningShop,
) -> None:
    shop, turns = each_server, 50
    shoppers = shoppers_with_everything(shop, 3)
    with ExitStack() as stack:
        witnesses = [stack.enter_context(kind(shop, products=[2])) for kind in (Tab, SocketTab)]
        change_everything(shop, witnesses, 3)
        deaf = deaf_tabs(shop, shoppers, stack)
        slowest = change_everything(shop, witnesses, turns)
        waiting = look_into(shop).waiting / len(deaf)
        for tab in deaf:
            tab.until(partial(shows_price, f"${500 + turns - 1}.00"))
            assert len(tab.events) < turns, "it skipped what was old"
        everything = len(tab.events[0].data)
        print(f"{len(deaf)} deaf tabs: {slowest:.2f} s; {waiting:.0f} bytes wait for each")
        assert slowest < 2
        assert everything / 4 < waiting < 3 * everything, "what is new of each topic, no history"
    at_rest(shop)


@pytest.fixture(params=list(HURRIED_SERVERS.values()), ids=list(HURRIED_SERVERS))
def hurried(
    request: pytest.FixtureRequest, released: Path, tmp_path: Path
) -> Iterator[RunningShop]:
    """A shop that hardly waits for tabs that don't read."""
    folder = shutil.copytree(released, tmp_path / "instance")
    shop: RunningShop = request.param(folder, SHOP_DEMO="off", **SHORT).start()
    yield shop
    shop.end()


def test_tabs_that_read_nothing_for_too_long_are_dropped_and_the_others_are_not(
    hurried: RunningShop,
) -> None:
    shoppers = shoppers_with_everything(hurried, 2)
    with ExitStack() as stack:
        witnesses = [stack.enter_context(kind(hurried, products=[2])) for kind in (Tab, SocketTab)]
        deaf = deaf_tabs(hurried, shoppers, stack)
        slowest = 0.0
        while open_tabs(hurried) > len(witnesses):
            slowest = max(slowest, change_everything(hurried, witnesses, 5))
        assert slowest < 2
        for tab in deaf:
            with pytest.raises((EOFError, OSError, WebSocketConnectionClosedException)):
                tab.until(lambda _: False)
        assert change_everything(hurried, witnesses, 2) < 2
    assert "Traceback" not in "".join(hurried.output)


def open_tabs(shop: RunningShop) -> float:
    return sum(n for key, n in scrape(shop).items() if key[0] == "shop_open_streams")


# --- A line that is cut -----------------------------------------------------------------------


@pytest.mark.parametrize("make", HURRIED_SERVERS.values(), ids=list(HURRIED_SERVERS))
def test_tabs_that_vanish_without_a_word_are_noticed(
    make: Callable[..., RunningShop], released: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(released, tmp_path / "instance")
    with Network("server") as network, ExitStack() as stack:
        machine = network["server"]
        everywhere = {"SHOP_METRICS_ALLOW": "0.0.0.0/0"}
        shop = make(folder, machine=machine, SHOP_DEMO="off", **everywhere, **SHORT)
        stack.callback(shop.end)
        shop.start()
        tabs = [stack.enter_context(kind(shop, products=[1])) for kind in (Tab, SocketTab)]
        for tab in tabs:
            tab.next()
        assert open_tabs(shop) == 2
        complaints = len(shop.output)
        network.cut("here", "server")
        eventually(partial(holds_no_connection, shop))
        network.mend("here", "server")
        assert open_tabs(shop) == 0
        assert "Traceback" not in "".join(shop.output[complaints:])


def holds_no_connection(shop: RunningShop) -> bool:
    """Tell whether a server on another machine has no connection, without asking it over a line."""
    assert shop.process is not None
    pid = (shop.workers() or [shop.process.pid])[0]
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return not any(line.split()[3] == ESTABLISHED for line in lines)
