"""Many streams at once: what they must not take, how many there may be, and how they come back."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import pytest
import websocket

from shop.db.connecting import OVERFLOW, POOL
from shop.serving.server import OPENING_AT_ONCE
from tests.serving.test_metrics import scrape, since
from tests.serving.test_server import connect, read_to_the_end
from tests.streams.test_streams import looks_like
from tests.support.interior import can_be_looked_into, look_into
from tests.support.running import RunningShop, eventually
from tests.support.shopper import Shopper, SocketTab, Tab, element

pytestmark = pytest.mark.both_databases

OpenShop = Callable[..., RunningShop]

#: More than there are connections to a database.
MANY = 4 * (POOL + OVERFLOW)


class TabElsewhere(Tab):
    """A tab that comes from another address of this machine."""

    address = "127.0.0.2"


class SocketTabElsewhere(SocketTab):
    address = "127.0.0.2"


# --- What they must not take --------------------------------------------------------------------


def connections(shop: RunningShop) -> dict[str, int]:
    """Count the connections of others to a shop's PostgreSQL database, by what they do."""
    rows = shop.sql(
        "SELECT state, count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() GROUP BY state"
    )
    return dict(rows)


def test_a_stream_pins_no_database_connection(open_shop: OpenShop, tmp_path: Path) -> None:
    shop = open_shop(stage="released", SHOP_SSE_PER_CART="1000", **can_be_looked_into(tmp_path))
    shopper = Shopper(shop)
    shopper.add(1)
    with ExitStack() as stack:
        kinds = (Tab, SocketTab)
        tabs = [stack.enter_context(kinds[n % 2](shop, shopper, [1, 2])) for n in range(MANY)]
        for tab in tabs:
            tab.next()
        eventually(lambda: look_into(shop).checked_out <= POOL)  # those that are kept at hand
        if not shop.on_sqlite:
            eventually(lambda: set(connections(shop)) <= {"idle"})
            assert sum(connections(shop).values()) <= POOL + 1
        shopper.add(2)
        for tab in tabs:
            tab.until(lambda tab: "cart" in tab.shown and tab.cart == [1, 2])


# --- How many there may be ----------------------------------------------------------------------


@pytest.mark.sqlite_only("about streams, whatever they tell of")
def test_an_address_has_no_more_streams_than_its_limit(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(stage="released", SHOP_STREAMS_PER_ADDRESS="3")
    with ExitStack() as stack:
        tabs = [stack.enter_context(kind(shop, products=[1])) for kind in (Tab, Tab, SocketTab)]
        for tab in tabs:
            tab.next()
        with Tab(shop, products=[1]) as fourth:
            assert fourth.status == 503
            assert int(fourth.headers["retry-after"]) > 0
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            SocketTab(shop, products=[1])
        assert refused.value.status_code == 503
        assert Shopper(shop).get("/").status == 200, "pages are served as before"
        for kind in (TabElsewhere, SocketTabElsewhere):
            stack.enter_context(kind(shop, products=[1])).next()
        tabs[2].close()
        eventually(partial(is_let_in, shop))


def is_let_in(shop: RunningShop) -> bool:
    with Tab(shop, products=[1]) as tab:
        return tab.status == 200


@pytest.mark.sqlite_only("about streams, whatever they tell of")
@pytest.mark.parametrize("limit", ["SHOP_MAX_STREAMS", "SHOP_STREAMS_PER_ADDRESS"])
def test_streams_that_are_refused_take_nothing(
    open_shop: OpenShop, tmp_path: Path, limit: str
) -> None:
    shop = open_shop(stage="released", **{limit: "2"}, **can_be_looked_into(tmp_path))
    shopper = Shopper(shop)
    shopper.add(1)
    with ExitStack() as stack, ThreadPoolExecutor(8) as crowd:
        for _ in range(2):
            stack.enter_context(Tab(shop, shopper, [1, 2])).next()
        list(crowd.map(lambda _: refused_status(shop, shopper), range(20)))
        held = look_into(shop)
        asked = scrape(shop)
        statuses = crowd.map(lambda _: refused_status(shop, shopper), range(200))
        assert set(statuses) == {503}
        eventually(lambda: look_into(shop).is_within(held))
        grown = look_into(shop).grown(held)
        del grown["weakref.ReferenceType"]  # of sqlite3, see test_leaving
        assert grown.total() < 100, grown
        assert since(asked, scrape(shop))["shop_refusals_total", "no_place"] == 200


def refused_status(shop: RunningShop, shopper: Shopper) -> int:
    with Tab(shop, shopper, [1, 2]) as tab:
        return tab.status


@pytest.mark.sqlite_only("about streams, whatever they tell of")
@pytest.mark.parametrize(
    "request_",
    [
        b"GET /streams HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe",
        b"GET /stream HTTP/1.1\r\nHost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
        b"GET /stream HTTP/1.1\r\nHost: x\r\nX: y\nContent-Length: 5\r\n\r\nhe",
    ],
)
def test_who_opens_no_stream_keeps_nobody_from_opening_one(
    open_drop: RunningShop, request_: bytes
) -> None:
    with ExitStack() as stack:
        for _ in range(2 * OPENING_AT_ONCE):
            connection = stack.enter_context(closing(connect(open_drop)))
            connection.sendall(request_)
        time.sleep(0.3)
        with Tab(open_drop, products=[1]) as tab:
            tab.next(3)


@pytest.mark.sqlite_only("about streams, whatever they tell of")
@pytest.mark.parametrize("setting", ["SHOP_SSE_PER_CART", "SHOP_STREAMS_PER_ADDRESS"])
def test_a_refused_stream_ends_its_connection(open_shop: OpenShop, setting: str) -> None:
    shop = open_shop(stage="released", **{setting: "1"})
    shopper = Shopper(shop)
    shopper.add(1)
    request = f"GET /stream HTTP/1.1\r\nHost: x\r\nCookie: {shopper.cookie_header}\r\n\r\n"
    with Tab(shop, shopper, [1]) as only, ExitStack() as stack:
        only.next()
        for _ in range(2 * OPENING_AT_ONCE):  # as many as would keep everybody else waiting
            connection = stack.enter_context(closing(connect(shop)))
            connection.sendall(request.encode())
            answer = read_to_the_end(connection)
            assert b"\r\nConnection: close\r\n" in answer
            assert b"event: overflow" in answer or answer.startswith(b"HTTP/1.1 503 ")
        with TabElsewhere(shop, products=[1]) as other:
            other.next(3)


# --- How they come back -------------------------------------------------------------------------


def listen_to_the_end(tab: Tab) -> float:
    with suppress(EOFError):
        while True:
            tab.next(20)
    return time.monotonic()


@pytest.mark.sqlite_only("about streams, whatever they tell of")
def test_two_hundred_streams_are_let_go_over_a_while_and_come_back_to_what_is(
    make_shop: OpenShop,
) -> None:
    shop = make_shop("released", SHOP_DRAIN_SECONDS="2").start()
    assert shop.process
    shoppers = [Shopper(shop) for _ in range(50)]
    for number, shopper in enumerate(shoppers):
        shopper.add(1 + number % 20)
    open_tabs = [(s, kind) for s in shoppers for kind in (Tab, Tab, Tab, SocketTab)]
    with ExitStack() as stack, ThreadPoolExecutor(len(open_tabs)) as crowd:
        tabs = [stack.enter_context(kind(shop, shopper, [1])) for shopper, kind in open_tabs]
        for tab in tabs:
            tab.next()
        began = time.monotonic()
        ends = [crowd.submit(listen_to_the_end, tab) for tab in tabs]
        shop.process.send_signal(signal.SIGTERM)
        ended = sorted(end.result(20) - began for end in ends)
        assert shop.process.wait(15) == 0
    print(f"200 streams went from {ended[0]:.2f} to {ended[-1]:.2f} s")
    assert ended[-1] - ended[0] > 1 and ended[-1] < 2 + 3, "one after another, within the time"

    shop.sql("UPDATE items SET available = 0 WHERE id = 1")
    shop.start()
    with ExitStack() as stack, ThreadPoolExecutor(40) as crowd:
        again = crowd.map(lambda one: one[1](shop, one[0], [1]), open_tabs)
        tabs = [stack.enter_context(tab) for tab in again]
        pages = {shopper: shopper.get("/").text for shopper in shoppers}
        for tab, (shopper, _) in zip(tabs, open_tabs, strict=True):
            parts = {name: element(pages[shopper], name) for name in ("cart", "stock-1")}
            tab.next()
            tab.until(partial(looks_like, parts))
            assert tab.level(1, 1) == "out"
