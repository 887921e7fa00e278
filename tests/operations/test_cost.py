"""What a request costs that anybody can send, measured: the table in SECURITY.md is from here.

bin/test tests/operations/test_cost.py --drills -s
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.interior import can_be_looked_into, look_into
from tests.support.running import RunningShop, eventually
from tests.support.shopper import Shopper, SocketTab, Tab

pytestmark = pytest.mark.drill

#: How often each request is sent.
TIMES = 300

#: 8 KB of products that aren't there, and a form as large as the shop reads.
MADE_UP = range(10**6, 10**6 + 450)
LARGE = [("item_id", "1"), ("more", "x" * 60_000)]


@dataclass(frozen=True)
class Cost:
    """What one request came to, on average."""

    milliseconds: float
    kilobytes: float
    rows: float
    descriptors: float
    log_bytes: float
    answer_bytes: float


@pytest.fixture(scope="module")
def shop(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    folder = tmp_path_factory.mktemp("cost")
    shutil.copytree(released, folder / "instance")
    settings: dict[str, Any] = {"SHOP_DEMO": "off", "SHOP_LOG_LEVEL": "INFO"}
    unlimited = dict.fromkeys(("SHOP_NEW_CARTS_PER_ADDRESS", "SHOP_ACTIONS_PER_ADDRESS"), "0")
    shop = RunningShop(folder / "instance", **settings | unlimited | can_be_looked_into(folder))
    yield shop.start()
    shop.end()


def with_many_cookies(shop: RunningShop) -> Shopper:
    """Return somebody who sends 40 carts along."""
    shopper = Shopper(shop)
    for _ in range(40):
        shopper.keep_cookies(Shopper(shop).get("/"))
    return shopper


def follow(shop: RunningShop, kind: type[Tab], products: range) -> int:
    with kind(shop, products=products) as tab:
        return len(tab.next().data)


def requests(shop: RunningShop) -> dict[str, Callable[[], int]]:
    """Return what anybody can send, by a name; each tells how many bytes came back."""
    hoarder, regular = with_many_cookies(shop), Shopper(shop)
    assert regular.token

    def get(path: str, shopper: Shopper | None = None) -> int:
        return len((shopper or Shopper(shop)).get(path).body)

    def post(path: str, fields: list[tuple[str, str]], shopper: Shopper | None = None) -> int:
        asking = shopper or Shopper(shop)
        return len(asking.send("POST", path, {}, [*fields, ("csrf_token", asking._token)]).body)

    def add_to_a_new_cart() -> int:
        return len(Shopper(shop).add(1, hx=True).body)

    return {
        "`GET /`": lambda: get("/"),
        "`GET /`, 40 carts in its cookies": lambda: get("/", hoarder),
        "a page that isn't there": lambda: get("/nowhere"),
        "a file that isn't there": lambda: get("/wp-login.php"),
        "`GET /stream`, opened and left": lambda: follow(shop, Tab, range(1, 3)),
        "`GET /stream`, 8 KB of made-up products": lambda: follow(shop, Tab, MADE_UP),
        "`GET /socket`, opened and left": lambda: follow(shop, SocketTab, range(1, 3)),
        "`POST`, no token": lambda: post("/cart/items", [("item_id", "1")]),
        "`POST` of 60 KB, no token": lambda: post("/cart/items", LARGE),
        "`POST`, item not in the cart": lambda: post("/cart/items/1/remove", [], regular),
        "first visit and first add": add_to_a_new_cart,
    }


def rows(shop: RunningShop) -> int:
    tables = ("carts", "cart_items", "orders", "order_lines")
    return sum(shop.sql(f"SELECT count(*) FROM {table}")[0][0] for table in tables)


def cpu_seconds(shop: RunningShop) -> float:
    """Return for how long a shop's threads have run until now."""
    assert shop.process is not None
    tasks = Path(f"/proc/{shop.process.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def cost_of(shop: RunningShop, send: Callable[[], int]) -> Cost:
    for _ in range(20):  # what is kept from now on is not this one's
        send()
    eventually(lambda: look_into(shop).tabs == 0)
    before, rows_before, said = look_into(shop), rows(shop), sum(map(len, shop.output))
    cpu, answered = cpu_seconds(shop), 0
    for _ in range(TIMES):
        answered += send()
    cpu = cpu_seconds(shop) - cpu
    eventually(lambda: look_into(shop).tabs == 0)
    after = look_into(shop)
    return Cost(
        milliseconds=cpu / TIMES * 1000,
        kilobytes=max(0, after.memory - before.memory) / TIMES / 1000,
        rows=(rows(shop) - rows_before) / TIMES,
        descriptors=(after.descriptors - before.descriptors) / TIMES,
        log_bytes=(sum(map(len, shop.output)) - said) / TIMES,
        answer_bytes=answered / TIMES,
    )


def test_what_anybody_can_send_costs_little_and_leaves_nothing_behind(shop: RunningShop) -> None:
    costs = {name: cost_of(shop, send) for name, send in requests(shop).items()}
    print("\n| request | CPU, ms | memory, KB | rows | descriptors | log, bytes | answer, bytes |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, cost in costs.items():
        print(
            f"| {name} | {cost.milliseconds:.1f} | {cost.kilobytes:.1f} | {cost.rows:.0f} "
            f"| {cost.descriptors:.0f} | {cost.log_bytes:.0f} | {cost.answer_bytes:,.0f} |"
        )
    for name, cost in costs.items():
        assert cost.milliseconds < 30, name
        assert cost.kilobytes < 20, name
        assert cost.rows <= (2 if "add" in name else 0), name
        assert cost.descriptors < 0.05, name
        assert cost.log_bytes < 1500, name
