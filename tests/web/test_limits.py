"""How many actions are too many, and what happens then: with Redis, without, and when it goes."""

from __future__ import annotations

import re
import shutil
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shop import create_app
from shop.shared_table import SharedTable
from shop.web.rate_limit_storage import MachineStorage
from tests.support.machines.redis import Redis
from tests.support.running import HURRIED, ROOT, RunningShop, eventually
from tests.support.shopper import Answer, Shopper, Tab, items_in, notices_in, text_of

KEY = "a key that all servers of a shop share"

#: The longest that an action may wait for a Redis that says nothing, in seconds, and what a busy
#: machine may add to it.
TIMEOUT, SLACK = 0.3, 0.3

WORDS = r"That was a lot at once\. Try again in (\d+) seconds?: your cart is as it was\."


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as server:
        yield server


def counted_in(redis: Redis) -> list[str]:
    """Return the names that a Redis counts actions under."""
    with redis.client() as client:
        return sorted(client.scan_iter("*:actions:*"))


Open = Callable[..., RunningShop]


@pytest.fixture
def open_drop_with(released: Path, tmp_path: Path, open_shop: Open) -> Open:
    """Give a function that opens the shop after the drop, with settings."""

    def start(name: str = "instance", main: Path = ROOT / "wsgi.py", **more: Any) -> RunningShop:
        if not (tmp_path / name).exists():
            shutil.copytree(released, tmp_path / name)
        return open_shop(name, main, SHOP_DEMO="off", SHOP_SECRET_KEY=KEY, **more)

    return start


@pytest.fixture(params=["memory", "redis"])
def limited(request: pytest.FixtureRequest, open_drop_with: Open) -> Open:
    """Give the same function, for a shop that counts in its memory, and for one that uses Redis."""
    if request.param == "memory":
        return open_drop_with
    url = request.getfixturevalue("redis").url
    return lambda **settings: open_drop_with(SHOP_REDIS_URL=url, **settings)


def hammering(shop: RunningShop, times: int) -> Shopper:
    """Return a shopper who has done so many actions already."""
    shopper = Shopper(shop)
    for item_id in range(1, times + 1):
        assert shopper.add(item_id, hx=True).status == 200
    return shopper


def seconds_in(answer: Answer) -> int:
    """Return for how long a refusal asks to wait."""
    assert answer.status == 429, (answer.status, answer.text)
    assert answer.headers["Retry-After"].isdigit()
    return int(answer.headers["Retry-After"])


# --- What is refused, and how ------------------------------------------------------------------


def test_too_many_actions_of_a_cart_are_refused_with_a_notice(limited: Open) -> None:
    shopper = hammering(limited(SHOP_ACTIONS_PER_CART="3"), 3)
    refused = shopper.add(4, hx=True)
    assert 50 <= seconds_in(refused) <= 60
    [notice] = notices_in(refused.text)
    said = re.fullmatch(WORDS, notice)
    assert said and int(said[1]) == seconds_in(refused)
    assert refused.headers["Set-Cookie"] is None
    assert shopper.cart() == [1, 2, 3]


def test_without_javascript_the_refusal_is_a_page_with_the_cart(limited: Open) -> None:
    shopper = hammering(limited(SHOP_ACTIONS_PER_CART="3"), 3)
    refused = shopper.add(4)
    assert 50 <= seconds_in(refused) <= 60
    assert re.search(WORDS, text_of(refused.text))
    assert items_in(refused.text) == [1, 2, 3]
    assert refused.headers["Set-Cookie"] is None


def test_the_carts_of_others_are_unharmed(limited: Open) -> None:
    shop = limited(SHOP_ACTIONS_PER_CART="2", SHOP_ACTIONS_PER_ADDRESS="6")
    shopper = hammering(shop, 2)
    for _ in range(10):
        assert shopper.add(3, hx=True).status == 429
    # What was refused to one cart counts for nobody else of the same address: four are left.
    hammering(shop, 2)
    hammering(shop, 2)
    assert Shopper(shop).add(1, hx=True).status == 429, "by now it is too much for the address"


def test_who_brings_no_cart_is_counted_by_address_alone(limited: Open) -> None:
    shop = limited(SHOP_ACTIONS_PER_CART="1", SHOP_ACTIONS_PER_ADDRESS="3")
    strange = [post_without_cookies(shop) for _ in range(5)]
    assert [answer.status for answer in strange] == [400, 400, 400, 429, 429]
    assert strange[-1].headers["Set-Cookie"] is None, "a refusal gives nobody a cart"


def post_without_cookies(shop: RunningShop, **headers: str) -> Answer:
    return Shopper(shop).send("POST", "/cart/items", headers, [("item_id", "1")])


def test_no_action_is_forgotten(open_drop_with: Open, tmp_path: Path) -> None:
    shopper = hammering(open_drop_with(SHOP_ACTIONS_PER_CART="1"), 1)
    app = create_app({"SHOP_INSTANCE": str(tmp_path / "app")})
    actions = [rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    assert len(actions) >= 4
    for rule in actions:
        path = re.sub("<.*?>", "1", rule.rule)
        assert shopper.post(path, {"item_id": "2"}, hx=True).status == 429, path


def test_looking_and_following_are_never_limited(limited: Open) -> None:
    shop = limited(SHOP_ACTIONS_PER_CART="1", SHOP_ACTIONS_PER_ADDRESS="1")
    shopper = hammering(shop, 1)
    assert shopper.add(2, hx=True).status == 429
    for path in ("/", "/cart", "/checkout", "/healthz"):
        assert {shopper.get(path).status for _ in range(5)} == {200}
    for _ in range(3):
        with Tab(shop, shopper, [1]) as tab:
            tab.until(lambda tab: "cart" in tab.shown)
            assert tab.cart == [1]


def test_zero_is_no_limit(limited: Open) -> None:
    shop = limited(SHOP_ACTIONS_PER_CART="0", SHOP_ACTIONS_PER_ADDRESS="0")
    shopper = Shopper(shop)
    assert {shopper.add(1, hx=True).status for _ in range(10)} == {200, 409}


def test_after_the_time_that_was_told_it_works_again(limited: Open) -> None:
    shop = limited(main=HURRIED, SHOP_ACTIONS_PER_CART="1", WINDOW="2")
    shopper = hammering(shop, 1)
    refused = shopper.add(2, hx=True)
    wait = seconds_in(refused)
    assert 1 <= wait <= 2
    time.sleep(wait)  # what a polite client does
    assert shopper.add(2, hx=True).status == 200
    assert shopper.add(3, hx=True).status == 429, "and the new window has its limit"


# --- Whose actions they are ---------------------------------------------------------------------


def test_nobody_chooses_their_own_address(open_drop_with: Open) -> None:
    shop = open_drop_with(SHOP_ACTIONS_PER_ADDRESS="2")
    answers = [post_without_cookies(shop, X_Forwarded_For=f"198.51.100.{n}") for n in range(3)]
    assert [answer.status for answer in answers] == [400, 400, 429]


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_saw(open_drop_with: Open) -> None:
    shop = open_drop_with(SHOP_ACTIONS_PER_ADDRESS="2", SHOP_HTTPS="on")

    def statuses(*seen: str) -> list[int]:
        return [post_without_cookies(shop, X_Forwarded_For=text).status for text in seen]

    forged = [f"203.0.113.{n}, 198.51.100.7" for n in range(3)]
    assert statuses(*forged) == [400, 400, 429]
    assert statuses("198.51.100.8") == [400], "another address is another count"


def test_a_home_of_ipv6_is_one_address(open_drop_with: Open) -> None:
    shop = open_drop_with(SHOP_ACTIONS_PER_ADDRESS="2", SHOP_HTTPS="on")

    def statuses(*seen: str) -> list[int]:
        return [post_without_cookies(shop, X_Forwarded_For=text).status for text in seen]

    assert statuses("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::3") == [400, 400, 429]
    assert statuses("2001:db8:1:3::1") == [400], "the neighbours have another"
    assert statuses("::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1") == [400, 400, 429]
    assert statuses("::ffff:192.0.2.2") == [400], "IPv4 within IPv6 isn't one home"


#: Ways to write one address; and what is none, which is all counted as one.
ONE_ADDRESS = {
    "with a port": ["203.0.113.9:51234", "203.0.113.9:51235", " 203.0.113.9"],
    "IPv6 with a port": ["[2001:db8:7::1]:4711", "[2001:db8:7::2]", "2001:db8:7::3"],
    "IPv6 with a zone": ["fe80::1%eth0", "fe80::2%25en1", "[fe80::3%eth0]:80"],
    "IPv4 by a translator": ["64:ff9b::192.0.2.33", "[64:ff9b::c000:221]:80", "192.0.2.33"],
    "no address": ["unknown", "_hidden", "203.0.113.9:port"],
    "none either": ["1.2.3.4.5", "[::1", "[203.0.113.9", "999.0.0.1:80", "Kim", "\xff"],
}


def test_however_an_address_is_written_it_is_one(open_drop_with: Open) -> None:
    shop = open_drop_with(SHOP_ACTIONS_PER_ADDRESS="2", SHOP_HTTPS="on")

    def statuses(*seen: str) -> list[int]:
        return [post_without_cookies(shop, X_Forwarded_For=text).status for text in seen]

    for name, written in ONE_ADDRESS.items():
        limited = [429] * len(written) if name == "none either" else [400, 400, 429]
        assert statuses(*written) == limited, name
    assert statuses("64:ff9b::192.0.2.34", "203.0.113.10:51234") == [400, 400], "others"


# --- What one address may take ------------------------------------------------------------------


def test_workers_of_a_machine_count_together(open_drop_with: Open) -> None:
    shop = open_drop_with(workers=3, SHOP_ACTIONS_PER_CART="12")
    shopper = Shopper(shop)
    shopper.get("/")
    with ThreadPoolExecutor(12) as hands:
        answers = list(hands.map(lambda n: shopper.add(n, hx=True).status, range(1, 41)))
    assert answers.count(429) == 40 - 12


def test_one_address_begins_so_many_carts_in_a_minute(limited: Open) -> None:
    shop = limited(SHOP_NEW_CARTS_PER_ADDRESS="3")
    early = hammering(shop, 2)
    hammering(shop, 2)
    hammering(shop, 1)
    late = Shopper(shop)
    refused = late.add(1, hx=True)
    assert 50 <= seconds_in(refused) <= 60
    assert "carts were begun from your network" in notices_in(refused.text)[0]
    assert early.add(3, hx=True).status == 200, "who has a cart goes on"
    assert late.get("/").status == 200
    assert shop.sql("SELECT count(*) FROM carts") == [(3,)]


def test_looking_with_many_cookies_makes_no_carts(limited: Open) -> None:
    shop = limited()
    shopper = Shopper(shop)
    for _ in range(40):
        shopper.keep_cookies(Shopper(shop).get("/"))
    for path in ("/", "/cart", "/nothing/here"):
        shopper.get(path)
    with Tab(shop, shopper, [1]) as tab:
        tab.next()
    assert shop.sql("SELECT count(*) FROM carts") == [(0,)]


def test_carts_that_are_merged_count_as_begun(limited: Open) -> None:
    shop = limited(SHOP_NEW_CARTS_PER_ADDRESS="20")
    shopper = hammering(shop, 1)
    for _ in range(30):
        shopper.keep_cookies(Shopper(shop).get("/"))
    assert shopper.get("/").status == 200
    assert shopper.add(2, hx=True).status == 429
    assert shop.sql("SELECT count(*) FROM carts") == [(1,)]


def test_one_address_buys_so_many_pairs_in_a_minute(limited: Open) -> None:
    shop = limited(SHOP_PAIRS_PER_ADDRESS="5")
    first, second = hammering(shop, 3), hammering(shop, 3)
    assert first.buy().location == "/checkout/complete"
    refused = second.buy()
    assert 50 <= seconds_in(refused) <= 60
    assert "pairs were bought from your network" in text_of(refused.text)
    assert second.cart() == [1, 2, 3]
    assert len(shop.orders()) == 1


def test_an_order_may_be_limited_to_so_many_pairs(open_drop_with: Open) -> None:
    shop = open_drop_with(SHOP_MAX_PER_ORDER="2")
    shopper = hammering(shop, 3)
    (said,) = notices_in(shopper.follow(shopper.buy()).text)
    assert said == "One order may hold 2 at most, and your cart holds 3. Nothing was bought."
    shopper.remove(1)
    assert shopper.buy().location == "/checkout/complete"


# --- Several servers, and a Redis that comes and goes -------------------------------------------


def test_servers_with_one_redis_count_together(redis: Redis, open_drop_with: Open) -> None:
    settings = {"SHOP_REDIS_URL": redis.url, "SHOP_ACTIONS_PER_CART": "3"}
    here, there = (open_drop_with(**settings) for _ in range(2))
    shopper = hammering(here, 2)
    shopper.shop = there
    assert shopper.add(3, hx=True).status == 200
    assert shopper.add(4, hx=True).status == 429
    shopper.shop = here
    assert shopper.add(4, hx=True).status == 429


def test_shops_that_share_a_redis_leave_one_another_alone(
    redis: Redis, open_shop: Open, released: Path, tmp_path: Path
) -> None:
    shops = []
    for name in ("one", "two"):
        shutil.copytree(released, tmp_path / name)
        settings = {"SHOP_REDIS_URL": redis.url, "SHOP_ACTIONS_PER_ADDRESS": "2"}
        shops.append(open_shop(name, SHOP_SECRET_KEY=f"{name} {KEY}", **settings))
    for shop in shops:
        hammering(shop, 2)
    prefixes = {re.match("shop:[0-9a-f]{8}:", key) for key in counted_in(redis)}
    assert None not in prefixes
    assert len({found[0] for found in prefixes if found}) == 2


def test_redis_learns_no_address_and_forgets_the_counts(redis: Redis, open_drop_with: Open) -> None:
    hammering(open_drop_with(SHOP_REDIS_URL=redis.url), 1)
    keys = counted_in(redis)
    kinds = [re.sub(r".*:actions:([a-z-]+)/.*", r"\1", key) for key in keys]
    assert kinds == ["address", "cart", "new-carts"]
    assert "127.0.0.1" not in "".join(keys)
    with redis.client() as client:
        assert all(0 < client.ttl(key) <= 60 for key in keys)


@pytest.mark.parametrize("trouble", ["freeze", "kill"])
def test_shopping_goes_on_while_redis_is_away(
    trouble: str, redis: Redis, open_drop_with: Open
) -> None:
    shop = open_drop_with(SHOP_REDIS_URL=redis.url, SHOP_ACTIONS_PER_CART="30")
    shopper, neighbour = hammering(shop, 2), hammering(shop, 1)
    with Tab(shop, shopper, [1]):
        getattr(redis, trouble)()
        first = seconds_for(lambda: shopper.add(3, hx=True))
        rest = [seconds_for(lambda: neighbour.add(2, hx=True)) for _ in range(20)]
    print(f"{trouble}: first {first * 1000:.0f} ms, then at most {max(rest) * 1000:.0f} ms")
    assert first < TIMEOUT + SLACK
    assert max(rest) < SLACK, "only what was under way when Redis went has to wait"
    while shopper.add(3, hx=True).status != 429:  # ends: the server still counts, for itself
        pass
    eventually(lambda: "Redis does not count" in "".join(shop.output))
    redis.thaw() if trouble == "freeze" else redis.start()
    eventually(lambda: "Redis counts again" in "".join(shop.output))
    before = counted_in(redis)
    assert Shopper(shop).add(1, hx=True).status == 200
    assert len(set(counted_in(redis)) - set(before)) >= 1, "it counts in Redis again"


def seconds_for(act: Callable[[], Answer]) -> float:
    begin = time.monotonic()
    assert act().status in (200, 409)
    return time.monotonic() - begin


def test_nobody_waits_to_find_out_whether_redis_is_back(redis: Redis, open_drop_with: Open) -> None:
    shop = open_drop_with(SHOP_REDIS_URL=redis.url, SHOP_ACTIONS_PER_CART="0")
    shopper = hammering(shop, 1)
    with Tab(shop, shopper, [1]):
        redis.freeze()
        shopper.add(2, hx=True)
        slowest, end = 0.0, time.monotonic() + 3  # for several tries of connecting
        while time.monotonic() < end:
            slowest = max(slowest, seconds_for(lambda: shopper.add(2, hx=True)))
    print(f"slowest action in 3 s without Redis: {slowest * 1000:.0f} ms")
    assert slowest < 0.5
    redis.thaw()


# --- What it costs ------------------------------------------------------------------------------


def test_refusals_are_said_once_a_second_and_name_nobody(open_drop_with: Open) -> None:
    shop = open_drop_with(SHOP_ACTIONS_PER_CART="1")
    shopper = hammering(shop, 1)
    begin = time.monotonic()
    for _ in range(100):
        assert shopper.add(2, hx=True).status == 429
    seconds = time.monotonic() - begin
    lines = [line for line in shop.output if "refused" in line]
    assert 1 <= len(lines) <= 1 + seconds
    assert not re.search(r"127\.0\.0\.1|[0-9a-f]{18}", "".join(lines))


class Clock:
    """A clock that stands until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def processes(file: Path, clock: Clock, number: int = 1) -> list[MachineStorage]:
    """Return the counts of as many processes of one machine."""
    return [
        MachineStorage(table=SharedTable(file, "Q"), secret=KEY, clock=clock) for _ in range(number)
    ]


def test_a_window_begins_with_its_first_hit(tmp_path: Path) -> None:
    clock = Clock()
    (counts,) = processes(tmp_path / "counts", clock)
    assert [counts.incr("a", 60) for _ in range(3)] == [1, 2, 3]
    clock.now += 59.9
    assert counts.incr("a", 60) == 4
    assert 0 < counts.get_expiry("a") - time.time() < 0.2
    clock.now += 0.1
    assert counts.incr("a", 60) == 1
    clock.now += 59.9
    assert (counts.incr("a", 60), counts.get("a"), counts.get("b")) == (2, 2, 0)


def test_processes_of_a_machine_count_in_one_window(tmp_path: Path) -> None:
    clock = Clock()
    one, other = processes(tmp_path / "counts", clock, 2)
    assert [one.incr("a", 60), one.incr("a", 60)] == [1, 2]
    clock.now += 50
    assert [other.incr("a", 60), one.incr("a", 60), other.get("a")] == [3, 4, 4]
    assert other.get_expiry("a") - time.time() == pytest.approx(10, abs=0.5)
    clock.now += 10
    assert [other.incr("a", 60), one.incr("a", 60)] == [1, 2]


def test_where_no_file_can_be_made_a_process_counts_for_itself(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    one, other = processes(tmp_path / "file" / "counts", Clock(), 2)
    assert [one.incr("a", 60), one.incr("a", 60), other.incr("a", 60)] == [1, 2, 1]


def test_a_million_addresses_take_no_more_room_than_one(tmp_path: Path) -> None:
    (counts,) = processes(tmp_path / "counts", Clock())
    counts.incr("first", 60)
    tracemalloc.start()
    for number in range(100_000):
        counts.incr(str(number), 60)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000


def test_operators_are_offered_the_shops_commands_only(stocked: Path) -> None:
    said = RunningShop(stocked).flask("--help").stdout
    assert "sell-out" in said
    assert "limiter" not in said
