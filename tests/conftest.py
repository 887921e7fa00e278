"""Real parts for every test: a server process, a database on disk, a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running import RunningShop


@pytest.fixture
def open_shop(tmp_path: Path) -> Iterator[Callable[..., RunningShop]]:
    """Give a function that starts a shop with the settings it is given, all ended afterwards."""
    shops: list[RunningShop] = []

    def start(name: str = "instance", **settings: str) -> RunningShop:
        shop = RunningShop(tmp_path / name, **settings)
        shops.append(shop)
        return shop.start()

    yield start
    for shop in shops:
        shop.end()


@pytest.fixture
def shop(open_shop: Callable[..., RunningShop]) -> RunningShop:
    """A shop with the demo catalogue, coming soon; the same stock in every run."""
    running = open_shop(SHOP_DEMO="off")
    running.flask("seed", "--random-seed", "7")
    return running


@pytest.fixture
def drop(shop: RunningShop) -> RunningShop:
    """The shop after the drop: both products are released."""
    shop.flask("release", "1", "2")
    return shop
