"""/metrics: what happened is counted once, over all processes, and only operators read it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shop import tabs
from shop.framing import Message
from shop.streams import Hub
from shop.tabs import QueueTab
from shop.web.health import TIMEOUT, Check
from tests.support.machines.postgresql import PostgreSQL
from tests.support.machines.redis import Redis
from tests.support.running import ROOT, RunningShop, eventually
from tests.support.shopper import Shopper, SocketTab, Tab

OpenShop = Callable[..., RunningShop]
MachineStorage = dict[tuple[str, ...], float]

#: Long enough for a secret that machines share.
KEY = "a-key-for-tests-that-machines-share"


def scrape(shop: RunningShop) -> MachineStorage:
    """Return all samples, by name and the values of the labels in the order of their names."""
    answer = Shopper(shop).get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def since(before: MachineStorage, after: MachineStorage) -> MachineStorage:
    """Return what has grown, times and /metrics itself aside."""
    left = ("_bucket", "_sum")
    return {
        key: value - before.get(key, 0)
        for key, value in after.items()
        if value != before.get(key, 0) and not key[0].endswith(left) and "/metrics" not in key
    }


def test_what_shoppers_do_is_counted(drop: RunningShop) -> None:
    before = scrape(drop)
    shopper = Shopper(drop)
    shopper.add(1)
    shopper.add(1)
    shopper.add(2)
    form = shopper.checkout_form()
    assert shopper.buy(form).location == "/checkout/complete"
    assert shopper.buy(form).location == "/checkout/complete"
    shopper.get("/products/OST-KILN")
    shopper.get("/nowhere")
    grown = since(before, scrape(drop))
    requests = {key[1:]: count for key, count in grown.items() if key[0].endswith("requests_total")}
    assert requests == {
        ("GET", "/", "200"): 1,
        ("POST", "/cart/items", "303"): 3,
        ("GET", "/checkout", "200"): 1,
        ("POST", "/checkout", "303"): 2,
        ("GET", "/products/<path:sku>", "200"): 1,
        ("GET", "none", "404"): 1,
    }
    assert grown["shop_http_request_duration_seconds_count", "POST", "/cart/items"] == 3
    assert grown["shop_orders_total",] == 1, "sent twice, bought once"
    assert grown["shop_pieces_sold_total",] == 2
    assert grown["shop_refusals_total", "already_in_cart"] == 1
    assert grown["shop_inventory_refresh_seconds_count",] >= 1


def test_each_refusal_is_counted_under_its_reason(shop: RunningShop) -> None:
    before = scrape(shop)
    shopper = Shopper(shop)
    shopper.add(1)
    shopper.add(99_999)
    shopper.remove(1)
    shopper.post("/cart/items", {"item_id": "1", "csrf_token": "forged"})
    shopper.send("POST", "/cart/items", fields=[("item_id", "1")])
    shop.flask("release", "1", "2")
    sold_out = next(i for i, row in shop.stock().items() if not row["available"])
    shopper.add(sold_out)
    shopper.buy([("purchase", "0")])
    shopper.add(1)
    form = shopper.checkout_form()
    shopper.buy(form, {"email": "nobody"})
    shopper.buy([form[0]])
    shop.sql("UPDATE products SET price = price + 1")
    shopper.buy(form)
    shop.sql("UPDATE items SET available = 0 WHERE id = 1")
    shopper.buy(form)
    grown = since(before, scrape(shop))
    refusals = {key[1]: count for key, count in grown.items() if key[0] == "shop_refusals_total"}
    assert refusals == {
        "not_released": 1,
        "unknown_item": 1,
        "not_in_cart": 1,
        "bad_token": 2,
        "sold_out": 2,
        "empty": 1,
        "wrong_details": 1,
        "cart_changed": 1,
        "price_changed": 1,
    }


def test_too_many_actions_are_counted_as_such(open_shop: OpenShop) -> None:
    shop = open_shop(SHOP_ACTIONS_PER_CART="2")
    shopper = Shopper(shop)
    assert [shopper.add(1, hx=True).status for _ in range(4)] == [409, 409, 429, 429]
    assert scrape(shop)["shop_refusals_total", "rate_limited"] == 2


def test_open_tabs_and_what_they_are_told_is_counted(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    shopper.get("/")
    with Tab(drop, shopper) as tab, Tab(drop, shopper) as other, SocketTab(drop, shopper) as third:
        for live in (tab, other, third):
            live.next()
        before = scrape(drop)
        assert before["shop_open_streams", "sse"] == 2
        assert before["shop_open_streams", "websocket"] == 1
        shopper.add(1)
        for live in (tab, other, third):
            live.until(lambda live: live.cart == [1])
        after = scrape(drop)
        grown = since(before, after)
        assert grown["shop_deliveries_total",] == 3
        assert grown["shop_delivery_lag_seconds_count",] == 1
        assert not [
            key for key in grown if key[0].endswith("duration_seconds_count") and "/stream" in key
        ]
    eventually(lambda: has_open(drop, sse=0, websocket=0))
    eventually(lambda: scrape(drop)["shop_sweep_seconds_count",] >= 1)


def test_the_lag_is_the_time_from_the_commit_to_the_tabs(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    shopper.get("/")
    with Tab(drop, shopper) as tab:
        tab.next()
        before = scrape(drop)
        started = time.monotonic()
        for item_id in (1, 2, 3):
            shopper.add(item_id)
        tab.until(lambda tab: tab.cart == [1, 2, 3])
        lasted = time.monotonic() - started
        after = scrape(drop)
    lag = after["shop_delivery_lag_seconds_sum",] - before["shop_delivery_lag_seconds_sum",]
    assert 0 < lag < lasted


def test_a_tab_dropped_for_being_slow_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tabs, "STALLED", 0.0)
    hub = Hub()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    slow = tabs.SocketTab(hub, ours.detach(), ("news",))
    slow.open(b"")
    QueueTab(hub, ("news",), threading.Event(), is_event_stream=False)
    assert (hub.statistics.event_streams, hub.statistics.sockets) == (1, 1)
    hub.send("news", Message("x" * 4_000_000))
    hub.beat()
    theirs.close()
    assert (hub.statistics.event_streams, hub.statistics.sockets) == (0, 1)
    assert (hub.statistics.deliveries, hub.statistics.slow_dropped) == (2, 1)


def test_trouble_with_the_database_is_counted(drop: RunningShop) -> None:
    before = scrape(drop)
    away = drop.database.rename(drop.database.with_name("away"))
    assert Shopper(drop).get("/readyz").status == 503
    away.rename(drop.database)
    assert since(before, scrape(drop))["shop_backend_troubles_total", "database"] >= 1


# --- Who may read it ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Proto"]
)
def test_nothing_is_told_through_a_proxy_that_nobody_trusts(
    open_drop: RunningShop, name: str
) -> None:
    assert Shopper(open_drop).send("GET", "/metrics", {name: "127.0.0.1"}).status == 404


def test_it_is_told_to_this_machine_alone_unless_a_setting_says_more(open_shop: OpenShop) -> None:
    def asked_by(shop: RunningShop, **headers: str) -> int:
        return Shopper(shop).get("/metrics", **headers).status

    shop = open_shop("usual", SHOP_HTTPS="on")
    for own in ("127.0.0.1", "127.8.8.8:1234", "::1", "[::1]:1234", "::ffff:127.0.0.1"):
        assert asked_by(shop, X_Forwarded_For=own) == 200, own
    gateways = ("172.17.0.1", "10.1.2.3", "192.168.7.7", "fd00::1", "169.254.1.1")
    for other in (*gateways, "8.8.8.8", "::ffff:8.8.8.8", "unknown", "127.0.0.1.evil.example"):
        assert asked_by(shop, X_Forwarded_For=other) == 404, other
    assert asked_by(shop, X_Forwarded_For="127.0.0.1, 8.8.8.8") == 404, "the proxy's word is last"
    assert asked_by(shop, Forwarded="for=127.0.0.1") == 404
    assert asked_by(shop) == 200, "asked directly, on this machine"

    allowed = "10.0.0.0/24, 2001:db8::/32,192.0.2.7"
    shop = open_shop("set", SHOP_HTTPS="on", SHOP_METRICS_ALLOW=allowed)
    for inside in ("10.0.0.7", "::ffff:10.0.0.7", "[2001:db8::1]:80", "192.0.2.7"):
        assert asked_by(shop, X_Forwarded_For=inside) == 200, inside
    for outside in ("127.0.0.1", "10.0.1.7", "::1", "192.0.2.8"):
        assert asked_by(shop, X_Forwarded_For=outside) == 404, outside
    assert asked_by(shop) == 404


def test_reading_it_makes_nobody_a_visitor(open_drop: RunningShop) -> None:
    answer = Shopper(open_drop).get("/metrics")
    assert answer.status == 200 and "Set-Cookie" not in answer.headers
    assert Shopper(open_drop).get("/metrics", method="POST").status != 200


# --- Several processes ----------------------------------------------------------------------


def test_two_processes_count_together_and_one_that_dies_has_nothing_open(
    released: Path, tmp_path: Path, open_shop: OpenShop
) -> None:
    shutil.copytree(released, tmp_path / "instance")
    folder = tmp_path / "counts"
    folder.mkdir()
    one, two = (open_shop(PROMETHEUS_MULTIPROC_DIR=str(folder)) for _ in range(2))
    before = scrape(one)
    with (
        Tab(one) as tab,
        Tab(two) as other,
        Tab(two) as third,
        SocketTab(two, products=[1]) as fourth,
    ):
        for live in (tab, other, third, fourth):
            live.next()
        for shop in (one, two):
            shopper = Shopper(shop)
            shopper.add(1)
            shopper.add(1)
            assert shopper.buy().location == "/checkout/complete"
        for shop in (one, two):
            eventually(partial(has_open, shop, sse=3, websocket=1))
            grown = since(before, scrape(shop))
            assert grown["shop_orders_total",] == 2
            assert grown["shop_refusals_total", "already_in_cart"] == 2
            assert grown["shop_http_requests_total", "POST", "/cart/items", "303"] == 4
            assert grown["shop_http_request_duration_seconds_count", "POST", "/checkout"] == 2
        assert two.process
        two.kill()
        run(f"from shop.metrics.folder import forget; forget({two.process.pid})", folder)
        assert has_open(one, sse=1, websocket=0)
        assert scrape(one)["shop_orders_total",] == 2, "what is sold stays sold"


def has_open(shop: RunningShop, sse: int, websocket: int) -> bool:
    counts = scrape(shop)
    kinds = [counts["shop_open_streams", kind] for kind in ("sse", "websocket")]
    return kinds == [sse, websocket]


SHARE = """
import sys; from pathlib import Path
from shop.metrics.folder import share
folder = share(Path(sys.argv[1]))
from shop.metrics.counters import Metrics
metrics = Metrics(); metrics.sold(2)
print(folder, flush=True); sys.stdin.read()
"""


def test_each_parent_counts_from_zero_and_leaves_what_others_count(tmp_path: Path) -> None:
    first, folder = sharing(tmp_path)
    second, other = sharing(tmp_path)
    assert folder != other and folder.is_dir() and other.is_dir(), "both serve"
    first.communicate()
    second.kill()
    second.communicate()
    third, newest = sharing(tmp_path)
    assert [path for path in newest.parent.iterdir() if path.is_dir()] == [newest]
    assert list(newest.glob("counter_*.db"))
    third.communicate()


def sharing(instance: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a process that counts in a folder, and return it with that folder."""
    parent = subprocess.Popen(
        [sys.executable, "-c", SHARE, str(instance)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    return parent, Path(parent.stdout.readline().strip())


def run(program: str, folder: Path) -> None:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environ, check=True)


# --- Readiness ------------------------------------------------------------------------------


def test_a_redis_that_does_not_answer_is_named_within_two_seconds(open_shop: OpenShop) -> None:
    with Redis() as redis:
        shop = open_shop(SHOP_REDIS_URL=redis.url, SHOP_SECRET_KEY=KEY)
        assert Shopper(shop).get("/readyz").status == 200
        redis.freeze()
        assert names_within_two_seconds(shop) == "redis: does not answer\n"
        redis.thaw()
        eventually(lambda: Shopper(shop).get("/readyz").status == 200)
        redis.kill()
        assert names_within_two_seconds(shop) == "redis: does not answer\n"
        assert scrape(shop)["shop_backend_troubles_total", "redis"] >= 2


def test_a_database_that_hangs_is_named_within_two_seconds(open_shop: OpenShop) -> None:
    with PostgreSQL() as database, Redis() as redis:
        settings = {"SHOP_DATABASE_URL": database.url, "SHOP_REDIS_URL": redis.url}
        shop = open_shop(**settings, SHOP_SECRET_KEY=KEY)
        assert Shopper(shop).get("/readyz").status == 200
        database.freeze()
        for _ in range(3):
            assert names_within_two_seconds(shop) == "database: does not answer\n"
        redis.freeze()
        both = "database: does not answer\nredis: does not answer\n"
        assert names_within_two_seconds(shop) == both
        for service in (database, redis):
            service.thaw()
        eventually(lambda: Shopper(shop).get("/readyz").status == 200)


def names_within_two_seconds(shop: RunningShop) -> str:
    started = time.monotonic()
    answer = Shopper(shop).get("/readyz")
    lasted = time.monotonic() - started
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    print(f"/readyz said so after {lasted:.2f} s")
    assert lasted < 2
    return answer.text


def test_while_a_question_hangs_nobody_asks_another() -> None:
    asked: list[None] = []
    over = threading.Event()

    def hang() -> None:
        asked.append(None)
        assert over.wait(10)

    check = Check("something", hang)
    first, second = check.start(), check.start()
    assert first is second and not first.done()
    over.set()
    assert first.result(10) == ""
    assert check.start().result(10) == ""
    assert len(asked) == 2 and TIMEOUT < 2


def test_what_many_ended_workers_counted_stays_and_lies_in_one_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _COUNTING_IN_TURN],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    texts = done.stdout.split("# next\n")[1:]
    orders = [float(text.split("\nshop_orders_total ")[1].split()[0]) for text in texts]
    assert orders == [1, 2, 5, 5], "two live at once, and one that lives is not touched"
    counts = [float(text.split("\nshop_sweep_seconds_count ")[1].split()[0]) for text in texts]
    assert counts == orders
    buckets = [
        float(text.split('\nshop_sweep_seconds_bucket{le="0.01"} ')[1].split()[0]) for text in texts
    ]
    assert buckets == orders, "buckets aren't added up twice"
    names = {file.name for file in tmp_path.glob("*.db")}
    assert {"counter_ended.db", "histogram_ended.db"} <= names
    assert len([name for name in names if name.startswith("counter")]) == 3, "and two that live"


#: Workers count and end, one after another; the counts are read in between.
_COUNTING_IN_TURN = """
import os, sys, time
from shop.metrics.counters import Metrics

def work(end=True):
    pid = os.fork()
    if not pid:
        metrics = Metrics()
        metrics.sold(1)
        metrics.sweep.observe(0.006)
        told.write(b"."); told.flush()
        if not end:
            time.sleep(60)
        os._exit(0)
    heard.read(1)
    if end:
        os.waitpid(pid, 0)
    return pid

def show():
    print("# next", flush=True)
    sys.stdout.buffer.write(reader.expose("")[0]); sys.stdout.flush()

ends = os.pipe()
heard, told = os.fdopen(ends[0], "rb", 0), os.fdopen(ends[1], "wb", 0)
reader = Metrics()
work(); show()
work(); show()
work(); work(); living = work(end=False); show()
show()
os.kill(living, 9)
"""
