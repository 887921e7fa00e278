"""Shoppers act while tabs listen: what a tab is told never goes back, and ends with what is."""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.streams.test_streams import looks_like
from tests.support.databases import Clusters, shop_in
from tests.support.running import NeverHappened, RunningShop
from tests.support.shopper import (
    DeafSocketTab,
    DeafTab,
    Shopper,
    SocketTab,
    Tab,
    element,
    partials_in,
    ref_in,
)

#: The kinds of tabs that each shopper has open; the deaf ones read when all is over.
TABS = (Tab, DeafTab, SocketTab, DeafSocketTab)

ITEMS = range(1, 27)


def act(shop: RunningShop, shopper: Shopper, chance: random.Random) -> object:
    """Do one thing of those that change what tabs show."""
    item_id, other = chance.sample(ITEMS, 2)
    ways: list[Callable[[], object]] = [
        lambda: shopper.add(item_id, hx=True),
        lambda: shopper.remove(item_id, hx=True),
        lambda: shopper.post(f"/cart/items/{item_id}/swap", {"item_id": str(other)}, hx=True),
        lambda: change(shop, "items", "available = ?", chance.choice([0, 9, 300, 900]), item_id),
        lambda: change(shop, "products", "price = ?", chance.randrange(100, 99_999), 1),
    ]
    return chance.choices(ways, weights=[6, 4, 1, 3, 1])[0]()


def change(shop: RunningShop, table: str, how: str, value: int, row: int) -> None:
    """Change a row as the models do: its version grows."""
    shop.sql(f"UPDATE {table} SET {how}, version = version + 1 WHERE id = ?", value, row)


class Listener(threading.Thread):
    """Takes in what a tab is told, at the pace of its reader."""

    def __init__(self, tab: Tab, chance: random.Random) -> None:
        super().__init__()
        self.tab = tab
        self.over = threading.Event()
        self._pauses = [chance.choice([0, 0, 0.002, 0.05]) for _ in range(500)]

    def run(self) -> None:
        for pause in self._pauses:
            if self.over.wait(pause):
                return
            try:
                self.tab.next(0.05)
            except NeverHappened:
                continue

    def finish(self) -> None:
        self.over.set()
        self.join()


def versions_told(tab: Tab) -> dict[str, list[int]]:
    """Return the versions of each element of a tab's page, in the order they came."""
    told: defaultdict[str, list[int]] = defaultdict(list)
    for event in tab.events:
        for name, html in partials_in(event.data):
            versions = re.findall(r'^<[^>]* data-version="(\d+)"', html)
            told[name] += [int(version) for version in versions]
    return told


@pytest.mark.parametrize("seed", [1, 2])
def test_what_tabs_are_told_never_goes_back_and_ends_with_what_is(
    each_server: RunningShop, seed: int
) -> None:
    act_and_listen(each_server, seed)


@pytest.mark.parametrize("seed", [1, 2])
def test_nor_do_they_where_readings_of_the_database_overtake_one_another(
    on_postgresql: Clusters, tmp_path: Path, seed: int
) -> None:
    with shop_in(on_postgresql, tmp_path / "instance", "released") as shop:
        act_and_listen(shop.start(), seed)


def act_and_listen(shop: RunningShop, seed: int) -> None:
    """Have some shoppers act with both hands, and check what each of their tabs was told."""
    shoppers = [Shopper(shop) for _ in range(3)]
    for shopper in shoppers:
        for item_id in range(1, 20):  # what takes kilobytes to tell of waits now and then
            shopper.add(item_id)
    with ExitStack() as stack:
        tabs = {s: [stack.enter_context(kind(shop, s, [1, 2])) for kind in TABS] for s in shoppers}
        for tab in itertools.chain(*tabs.values()):
            tab.next()
        listeners = [
            Listener(tab, random.Random(f"{seed} {number}"))
            for number, tab in enumerate(itertools.chain(*tabs.values()))
            if tab.room is None
        ]
        for listener in listeners:
            stack.callback(listener.finish)
            listener.start()
        with ThreadPoolExecutor(6) as crowd:
            acting = [
                crowd.submit(act_often, shop, shopper, random.Random(f"{seed} {hand} {number}"))
                for number, shopper in enumerate(shoppers)
                for hand in "lr"
            ]
        for hand in acting:
            hand.result()
        for listener in listeners:
            listener.finish()
        for shopper, own in tabs.items():
            check_tabs(shopper, own)


def act_often(shop: RunningShop, shopper: Shopper, chance: random.Random) -> None:
    # Two hands of one shopper share the cookies, which are made by now.
    for _ in range(30):
        act(shop, shopper, chance)


def check_tabs(shopper: Shopper, tabs: list[Tab]) -> None:
    assert max(len(tab.events) for tab in tabs) > 5, "something was told"
    fresh = shopper.get("/").text
    names = ("cart", "cart-bar", "notices-cart", "stock-1", "stock-2")
    parts = {name: element(fresh, name) for name in names}
    for tab in tabs:
        tab.until(partial(looks_like, parts))
        told = versions_told(tab)
        assert {"cart", "stock-1", "stock-2"} <= set(told)
        for name, versions in told.items():
            assert versions == sorted(versions), f"{type(tab).__name__}: {name}"
        assert {ref_in(html) for event in tab.events for html in carts_in(event.data)} == {
            ref_in(fresh)
        }, "nobody else's"


def carts_in(message: str) -> list[str]:
    return [html for name, html in partials_in(message) if name == "cart"]
