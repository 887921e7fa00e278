"""PostgreSQL changes under the shop: read only for a while, restarted, its sessions ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.databases import Clusters, shop_in
from tests.support.faults import only_read
from tests.support.running import RunningShop, eventually
from tests.support.shopper import Shopper

#: More than one process keeps connections to the database.
CROWD = 12


@pytest.fixture(scope="module")
def shop(
    on_postgresql: Clusters, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningShop]:
    folder = tmp_path_factory.mktemp("on postgresql")
    with shop_in(on_postgresql, folder, "released") as made:
        yield made.start()


@pytest.fixture
def crowd(shop: RunningShop) -> list[Shopper]:
    shoppers = [Shopper(shop) for _ in range(CROWD)]
    assert all(shopper.token for shopper in shoppers)
    return shoppers


def all_at_once(crowd: list[Shopper], act: Callable[[Shopper], Any]) -> list[int]:
    """Have all of them act, so that the shop takes all of its connections."""
    with ThreadPoolExecutor(len(crowd)) as hands:
        return [answer.status for answer in hands.map(act, crowd)]


def test_sessions_that_can_only_read_are_gone_when_the_database_can_be_written_again(
    shop: RunningShop, crowd: list[Shopper]
) -> None:
    with only_read(shop):
        assert set(all_at_once(crowd, lambda shopper: shopper.add(1))) == {503}
        assert set(all_at_once(crowd, lambda shopper: shopper.get("/cart"))) == {200}
        ready = crowd[0].get("/readyz")
        assert (ready.status, ready.text) == (
            503,
            "database: can only be read, nothing can be changed\n",
        )
    eventually(lambda: crowd[0].add(2).status == 303, seconds=2)
    assert set(all_at_once(crowd, lambda shopper: shopper.add(1))) == {303}
    assert crowd[0].get("/readyz").text == "ok\n"
