"""One shop on several servers: PostgreSQL, Redis, and what may happen to them in a drop."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import func, select

from shop.db import Transaction, open_database
from shop.models import stock_up
from tests.support.cluster import Cluster
from tests.support.databases import Clusters
from tests.support.running import RunningShop, eventually
from tests.support.shopper import Answer, Shopper, Tab, hidden_in, items_in, level_in, notices_in

pytestmark = pytest.mark.drill

#: Sizes that are there in the drop of these tests.
HELD, OTHER, THIRD = 2, 3, 5


@pytest.fixture(scope="module")
def shared_cluster(
    on_postgresql: Clusters, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Two servers of the drop for the tests that leave them as they were."""
    dump = on_postgresql.server.dump("released")
    with Cluster(tmp_path_factory.mktemp("cluster"), dump) as both:
        yield connected(both.start())


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    """Two servers after the drop, each of which hears the other; no cart, no order yet."""
    operator = shared_cluster.operator
    operator.empty_books()
    for table in ("order_lines", "orders", "cart_items", "carts"):
        operator.sql(f"DELETE FROM {table}")
    operator.sql("UPDATE items SET available = 700, version = version + 1 WHERE available <> 700")
    return shared_cluster


def connected(cluster: Cluster) -> Cluster:
    """Wait until every server hears the others: each has to have a tab for that."""
    for server in cluster.servers:
        with Tab(server) as tab:
            tab.next()
    eventually(lambda: listeners(cluster) == len(cluster.servers))
    return cluster


def listeners(cluster: Cluster) -> int:
    """How many servers Redis tells of changes."""
    with cluster.redis.client() as client:
        channels = [str(name) for name in client.pubsub_channels()]
        return sum(count for _, count in client.pubsub_numsub(*channels)) if channels else 0


def elsewhere(shopper: Shopper, server: RunningShop) -> Shopper:
    """The same browser, served by another server."""
    same = Shopper(server)
    same.cookies = shopper.cookies
    same.token = shopper.token
    return same


@contextmanager
def tabs_of(shopper: Shopper, servers: list[RunningShop], each: int = 1) -> Iterator[list[Tab]]:
    """Open tabs of one cart on every server, which show both products."""
    with ExitStack() as stack:
        tabs = [
            stack.enter_context(Tab(server, shopper, [1, 2]))
            for server in servers
            for _ in range(each)
        ]
        for tab in tabs:
            tab.next()
        yield tabs


def all_show(tabs: list[Tab], cart: list[int], seconds: float = 5.0) -> None:
    for tab in tabs:
        tab.until(lambda tab: tab.cart == cart, seconds)


# --- Two servers and the way between them ---------------------------------------------------


def test_a_cart_is_the_same_in_its_tabs_on_two_servers_whichever_acts(cluster: Cluster) -> None:
    one = Shopper(cluster.servers[0])
    one.add(HELD)
    two = elsewhere(one, cluster.servers[1])
    waits = []
    with tabs_of(one, cluster.servers, each=3) as tabs:
        for _ in range(15):
            for shopper in (one, two):
                for act, cart in ((shopper.add, [HELD, OTHER]), (shopper.remove, [HELD])):
                    begun = time.perf_counter()
                    assert act(OTHER, hx=True).status == 200
                    all_show(tabs, cart)
                    waits.append(1000 * (time.perf_counter() - begun))
    p95 = statistics.quantiles(waits, n=20)[-1]
    print(f"six tabs on two servers follow a click after {statistics.median(waits):.0f} ms "
          f"(median), p95 {p95:.0f} ms, most {max(waits):.0f} ms")  # fmt: skip
    assert p95 < 600, "150 ms is the aim; this bears a loaded machine"


def test_an_operators_command_reaches_the_tabs_of_every_server(cluster: Cluster) -> None:
    shopper = Shopper(cluster.servers[0])
    shopper.add(HELD)
    with tabs_of(shopper, cluster.servers) as tabs:
        cluster.operator.flask("stock", "set", cluster.operator.sku(HELD), "0")
        for tab in tabs:
            tab.until(lambda tab: tab.level(1, HELD) == "out")
            tab.until(lambda tab: "cart-item--out-of-stock" in tab.shown["cart"])
        cluster.operator.flask("stock", "add", cluster.operator.sku(HELD), "7")
        for tab in tabs:
            tab.until(lambda tab: tab.level(1, HELD) == "low")


def test_the_drop_opens_on_every_server(open_cluster: Callable[..., Cluster]) -> None:
    cluster = connected(open_cluster(stage="stocked"))
    with tabs_of(Shopper(cluster.servers[0]), cluster.servers) as tabs:
        assert all("coming soon" in tab.shown["stock-1"] for tab in tabs)
        cluster.operator.flask("release", "1", "2")
        for tab in tabs:
            tab.until(lambda tab: "size-container" in tab.shown["stock-2"])
    for server in cluster.servers:
        assert "coming soon" not in server.page()


def test_a_page_shows_what_was_committed_through_another_server(cluster: Cluster) -> None:
    one, two = cluster.servers
    for left, level in (("0", "out"), ("5", "low")):
        cluster.operator.flask("stock", "set", cluster.operator.sku(HELD), left)
        for server in (one, two):
            assert level_in(server.page(), HELD) == level


def test_a_hundred_shoppers_on_two_servers_for_the_last_ten_pairs(cluster: Cluster) -> None:
    pairs, shoppers = 10, 100
    cluster.operator.flask("stock", "set", cluster.operator.sku(HELD), str(pairs))
    at_once = threading.Barrier(shoppers, timeout=60)

    def shopping(number: int) -> Answer:
        shopper = Shopper(cluster.servers[number % 2])
        assert shopper.add(HELD).status == 303
        form = shopper.checkout_form()
        at_once.wait()
        return elsewhere(shopper, cluster.servers[number // 2 % 2]).buy(form, hx=True)

    with ThreadPoolExecutor(shoppers) as crowd:
        answers = list(crowd.map(shopping, range(shoppers)))
    assert sorted(a.status for a in answers) == [303] * pairs + [409] * (shoppers - pairs)
    assert cluster.operator.stock()[HELD]["available"] == 0
    assert len(cluster.operator.orders()) == pairs


def test_a_purchase_sent_through_two_servers_at_once_is_one(cluster: Cluster) -> None:
    one = Shopper(cluster.servers[0])
    one.add(HELD)
    one.add(OTHER)
    form = one.checkout_form()
    both = [one, elsewhere(one, cluster.servers[1])] * 4
    with ThreadPoolExecutor(len(both)) as crowd:
        answers = list(crowd.map(lambda shopper: shopper.buy(form, hx=True), both))
    assert {(a.status, a.location) for a in answers} == {(303, "/checkout/complete")}
    assert len(cluster.operator.orders()) == 1


def test_shoppers_who_want_the_same_pairs_never_block_one_another_for_good(
    cluster: Cluster,
) -> None:
    wanted = [HELD, OTHER, THIRD]
    before = {i: row["available"] for i, row in cluster.operator.stock().items()}

    def shopping(number: int) -> int:
        shopper = Shopper(cluster.servers[number % 2])
        for item_id in wanted[number % 3 :] + wanted[: number % 3]:
            assert shopper.add(item_id, hx=True).status == 200
        return shopper.buy(hx=True).status

    with ThreadPoolExecutor(24) as crowd:
        assert set(crowd.map(shopping, range(72))) == {303}
    after = {i: row["available"] for i, row in cluster.operator.stock().items()}
    assert [before[i] - after[i] for i in wanted] == [72] * 3


def test_a_purchase_that_the_database_ends_for_anothers_sake_is_tried_again(
    cluster: Cluster,
) -> None:
    shopper = Shopper(cluster.servers[0])
    shopper.add(HELD)
    shopper.add(OTHER)
    form = shopper.checkout_form()
    lock = "UPDATE items SET available = available WHERE id = %s"
    with cluster.operator.connect() as rival, ThreadPoolExecutor(1) as pool:
        rival.autocommit = False
        rival.execute("SET LOCAL deadlock_timeout = '20s'")  # whoever asks first is ended
        rival.execute(lock, (OTHER,))
        purchase = pool.submit(shopper.buy, form, hx=True)
        eventually(lambda: waiting_for_locks(cluster) == 1)
        rival.execute(lock, (HELD,))  # each waits for the other, until the shop's has to give way
        rival.rollback()
        assert purchase.result(30).location == "/checkout/complete"
    assert len(cluster.operator.orders()) == 1
    assert deadlocks(cluster) == 1


def test_buyers_who_all_fetch_their_receipts_at_once_get_them(cluster: Cluster) -> None:
    """More than the database gives a server connections."""
    buyers = [Shopper(cluster.servers[0]) for _ in range(40)]
    for buyer in buyers:
        buyer.add(HELD)
        assert buyer.buy().location == "/checkout/complete"
    with ThreadPoolExecutor(len(buyers)) as crowd:
        answers = list(crowd.map(lambda buyer: buyer.get("/checkout/complete"), buyers))
    assert {answer.status for answer in answers} == {200}


def waiting_for_locks(cluster: Cluster) -> int:
    question = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return int(cluster.operator.sql(question)[0][0])


def deadlocks(cluster: Cluster) -> int:
    return cluster.postgresql.said().count("deadlock detected")


def test_a_buyer_who_waits_too_long_for_a_pair_is_told_so_and_nothing_is_bought(
    cluster: Cluster,
) -> None:
    shopper = Shopper(cluster.servers[0])
    shopper.add(HELD)
    form = shopper.checkout_form()
    with cluster.operator.connect() as rival:
        rival.autocommit = False
        rival.execute("UPDATE items SET available = available WHERE id = %s", (HELD,))
        begun = time.monotonic()
        answer = shopper.buy(form, hx=True)
        assert answer.status == 503
        assert time.monotonic() - begun < 20
        assert "try again" in notices_in(answer.text)[0]
        other = Shopper(cluster.servers[0])
        assert other.add(HELD, hx=True).status == 200, "who only puts it into a cart needn't wait"
        rival.rollback()
    assert shopper.buy(form, hx=True).location == "/checkout/complete"


def test_resetting_the_shop_empties_the_tabs_of_every_server(cluster: Cluster) -> None:
    shopper = Shopper(cluster.servers[0])
    shopper.add(HELD)
    with tabs_of(shopper, cluster.servers) as tabs:
        cluster.operator.flask("reset", "--yes")
        all_show(tabs, [], 10)
        cluster.operator.flask("seed", "--random-seed", "7")
        cluster.operator.flask("release", "1", "2")
        for tab in tabs:
            tab.until(lambda tab: "size-container" in tab.shown.get("stock-1", ""))
    assert min(cluster.operator.stock()) == 1, "numbers begin anew"


# --- Redis goes away ------------------------------------------------------------------------


def test_redis_stops_in_a_drop_and_comes_back(cluster: Cluster) -> None:
    one = Shopper(cluster.servers[0])
    one.add(HELD)
    two = elsewhere(one, cluster.servers[1])
    with tabs_of(one, cluster.servers) as tabs:
        cluster.redis.stop()
        waits = []
        for shopper in (one, two) * 3:
            for act, cart in ((shopper.add, [HELD, OTHER]), (shopper.remove, [HELD])):
                begun = time.perf_counter()
                assert act(OTHER, hx=True).status == 200
                all_show(tabs, cart)
                waits.append(1000 * (time.perf_counter() - begun))
        print(f"without Redis, tabs follow a click after {statistics.median(waits):.0f} ms "
              f"(median), most {max(waits):.0f} ms")  # fmt: skip
        bought = two.buy(hx=True)
        assert bought.location == "/checkout/complete"
        done = cluster.operator.flask("stock", "set", cluster.operator.sku(THIRD), "0")
        assert "Redis does not answer" in done.stderr
        all_show(tabs, [])

        cluster.redis.start()
        begun = time.perf_counter()
        eventually(lambda: listeners(cluster) == 2, seconds=3)
        one.add(OTHER)
        all_show(tabs, [OTHER], 3)
        for tab in tabs:
            tab.until(lambda tab: tab.level(1, THIRD) == "out", 3)
        print(f"all is as before {1000 * (time.perf_counter() - begun):.0f} ms after its return")


def test_a_redis_that_stands_still_holds_nobody_up(cluster: Cluster) -> None:
    one = Shopper(cluster.servers[0])
    one.add(HELD)
    with tabs_of(one, cluster.servers) as tabs:
        cluster.redis.freeze()
        begun = time.perf_counter()
        assert one.add(OTHER, hx=True).status == 200
        acted = time.perf_counter() - begun
        all_show(tabs, [HELD, OTHER], 6)
        waited = time.perf_counter() - begun
        print(f"frozen Redis: a click takes {1000 * acted:.0f} ms, other servers follow after "
              f"{waited:.1f} s")  # fmt: skip
        assert acted < 1.5
        cluster.redis.thaw()
        one.add(THIRD)
        all_show(tabs, [HELD, OTHER, THIRD])


def test_a_lost_message_heals(cluster: Cluster) -> None:
    shopper = Shopper(cluster.servers[0])
    shopper.add(HELD)
    with tabs_of(shopper, cluster.servers) as tabs:
        # By hand, so that nobody announces it.
        cluster.operator.sql("UPDATE items SET available = 0 WHERE id = ?", HELD)
        for tab in tabs:
            tab.until(lambda tab: tab.level(1, HELD) == "out", 8)
            tab.until(lambda tab: "cart-item--out-of-stock" in tab.shown["cart"], 8)


def test_a_server_does_not_start_without_its_redis(cluster: Cluster) -> None:
    server = cluster.shop_on("late", SHOP_REDIS_URL="redis://:hidden@127.0.0.1:1/0")
    with pytest.raises(AssertionError) as refused:
        server.start()
    (line,) = [line for line in str(refused.value).splitlines() if "SHOP_REDIS_URL" in line]
    assert "hidden" not in line
    assert "Traceback" not in str(refused.value)
    assert server.process is not None and server.process.wait(5) == 2


# --- PostgreSQL goes away -------------------------------------------------------------------


def test_postgresql_restarts_in_a_drop(open_cluster: Callable[..., Cluster]) -> None:
    cluster = connected(open_cluster(fsync=True))
    buyers = [Shopper(cluster.servers[number % 2]) for number in range(8)]
    before = cluster.operator.stock()[HELD]["available"]
    going, outcome = threading.Event(), []
    going.set()

    def shopping(shopper: Shopper) -> None:
        while going.is_set():
            if (status := shopper.add(HELD, hx=True).status) in (200, 409):
                page = shopper.get("/checkout")
                status = page.status
                if status == 200:
                    status = shopper.buy(hidden_in(page), hx=True).status
            outcome.append(status)

    buyers[0].get("/")  # who has no cart yet has no tabs of it
    with ExitStack() as stack:
        tabs = stack.enter_context(tabs_of(buyers[0], cluster.servers))
        crowd = stack.enter_context(ThreadPoolExecutor(8))
        stack.callback(going.clear)
        work = [crowd.submit(shopping, buyer) for buyer in buyers]
        eventually(lambda: outcome.count(303) >= 10)
        cluster.postgresql.stop()
        eventually(lambda: 503 in outcome)
        pages = [(path, server) for server in cluster.servers for path in ("/", "/cart")]
        for path, server in pages:
            begun = time.perf_counter()
            answer = Shopper(server).get(path)
            assert answer.status == 200 and "reach our stock" in notices_in(answer.text)[-1]
            assert time.perf_counter() - begun < 2
        assert "size-container" in Shopper(cluster.servers[0]).get("/").text
        for server in cluster.servers:
            ready = Shopper(server).get("/readyz")
            assert (ready.status, ready.text) == (503, "database: does not answer\n")

        sold, back = outcome.count(303), time.perf_counter()
        cluster.postgresql.start()
        came_up = time.perf_counter()
        eventually(lambda: outcome.count(303) >= sold + 10, seconds=3)
        print(f"purchases succeed {time.perf_counter() - came_up:.2f} s after its return "
              f"({time.perf_counter() - back:.2f} s after it was started)")  # fmt: skip
        going.clear()
        for done in work:
            done.result(30)
        begun = time.perf_counter()
        all_show(tabs, buyers[0].cart(), 5)
        print(f"tabs are right {time.perf_counter() - begun:.2f} s after the last purchase")
    assert set(outcome) == {303, 503}
    orders = cluster.operator.orders()
    left = cluster.operator.stock()[HELD]["available"]
    assert before - left == len(orders), "sold is what was ordered"
    assert len(orders) >= outcome.count(303)
    assert all(len(order["lines"]) == 1 for order in orders), "none half-done"


def test_pages_do_not_wait_for_a_postgresql_that_stands_still(
    open_cluster: Callable[..., Cluster],
) -> None:
    cluster = connected(open_cluster())
    shopper = Shopper(cluster.servers[0])
    shopper.add(HELD)
    crowd = [shopper, *(Shopper(cluster.servers[0]) for _ in range(9))]
    with Tab(cluster.servers[0], shopper, [1]) as tab, ThreadPoolExecutor(len(crowd)) as pool:
        tab.next()
        cluster.postgresql.freeze()
        begun = time.perf_counter()
        for _ in range(3):
            answers = list(pool.map(lambda one: one.get("/"), crowd))
            assert {answer.status for answer in answers} == {200}
            assert items_in(answers[0].text) == [HELD]
        assert "reach our stock" in notices_in(answers[0].text)[-1]
        waited = time.perf_counter() - begun
        print(f"thirty pages beside a frozen PostgreSQL: {waited:.1f} s for all")
        assert waited < 12
        heard = tab.heartbeats
        while tab.heartbeats == heard:
            tab.listen(8)  # its heart beats on
        cluster.postgresql.thaw()
        eventually(lambda: shopper.add(OTHER, hx=True).status in (200, 409), seconds=20)
        tab.until(lambda tab: tab.cart == [HELD, OTHER], 20)


# --- Servers go away ------------------------------------------------------------------------


def test_a_killed_server_harms_no_tab_of_the_others(cluster: Cluster) -> None:
    one, two = cluster.shop_on("server3").start(), cluster.servers[1]
    shopper = Shopper(two)
    shopper.add(HELD)
    with Tab(one, shopper, [1]) as lost, Tab(two, shopper, [1]) as kept:
        lost.next(), kept.next()
        one.kill()
        assert shopper.add(OTHER, hx=True).status == 200
        kept.until(lambda tab: tab.cart == [HELD, OTHER])
        with pytest.raises((EOFError, ConnectionError)):
            lost.until(lambda tab: False)
        with Tab(two, shopper, [1]) as back:  # as its browser does, behind nginx
            back.next()
            assert back.cart == [HELD, OTHER]


def test_a_frozen_server_holds_up_no_other_and_its_tabs_come_right(cluster: Cluster) -> None:
    one, two = cluster.servers
    shopper = Shopper(two)
    shopper.add(HELD)
    with Tab(one, shopper, [1]) as frozen, Tab(two, shopper, [1]) as kept:
        frozen.next(), kept.next()
        buyers = [Shopper(server) for server in (one, two) for _ in range(4)]
        with ThreadPoolExecutor(8) as crowd:
            trying = [crowd.submit(_buys, buyer) for buyer in buyers]
            one.freeze()  # with purchases on their way
            assert shopper.add(OTHER, hx=True).status == 200
            kept.until(lambda tab: tab.cart == [HELD, OTHER])
            begun = time.perf_counter()
            assert _buys(Shopper(two)) == 303
            waited = time.perf_counter() - begun
            one.thaw()
            begun = time.perf_counter()
            frozen.until(lambda tab: tab.cart == [HELD, OTHER], 10)
            print(f"beside a frozen server a purchase takes {waited:.2f} s; its tabs are right "
                  f"{time.perf_counter() - begun:.2f} s after it goes on")  # fmt: skip
            assert {done.result(30) for done in trying} <= {303, 503}


def _buys(shopper: Shopper) -> int:
    shopper.add(THIRD, hx=True)
    return shopper.buy(hx=True).status


def test_a_transaction_that_stands_still_does_not_hold_up_buyers_for_good(
    cluster: Cluster,
) -> None:
    database = open_database(cluster.servers[0].database_url.set(drivername="postgresql+psycopg"))
    going_on = threading.Event()
    backends: list[int] = []

    def stands_still(transaction: Transaction) -> None:
        backends.extend(pid for (pid,) in transaction.execute(select(func.pg_backend_pid())))
        stock_up(transaction, HELD, 1)
        going_on.wait(30)

    shopper = Shopper(cluster.servers[0])
    shopper.add(HELD)
    try:
        with ThreadPoolExecutor(1) as pool:
            frozen = pool.submit(database.transact, stands_still)
            eventually(lambda: backends and is_idle_in_transaction(cluster, backends[0]))
            assert shopper.buy(hx=True).location == "/checkout/complete"
            assert not is_idle_in_transaction(cluster, backends[0])
            going_on.set()
            frozen.result(30)  # its connection is gone, so it was tried again, in whole
    finally:
        database.close()
    assert cluster.operator.stock()[HELD]["available"] == 700


def is_idle_in_transaction(cluster: Cluster, backend: int) -> bool:
    """Tell so of one connection: the servers' own may be for a moment."""
    question = "SELECT state = 'idle in transaction' FROM pg_stat_activity WHERE pid = ?"
    return cluster.operator.sql(question, backend) == [(True,)]


def test_a_server_that_is_cut_off_from_redis_is_right_within_seconds(
    open_cluster: Callable[..., Cluster],
) -> None:
    cluster = connected(open_cluster(apart=True))
    one = Shopper(cluster.servers[0])
    one.add(HELD)
    two = elsewhere(one, cluster.servers[1])
    with tabs_of(one, cluster.servers) as tabs:
        begun = time.perf_counter()
        cluster.network.cut("server1", "store")  # PostgreSQL is there as well
        assert two.add(OTHER, hx=True).status == 200
        all_show(tabs[1:], [HELD, OTHER])
        page = one.get("/")
        assert page.status == 200 and items_in(page.text)[:1] == [HELD]
        cluster.network.mend("server1", "store")
        all_show(tabs, [HELD, OTHER], 10)
        print(f"cut off from both and back: right after {time.perf_counter() - begun:.1f} s")
