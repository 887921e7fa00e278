"""What must be the same on all servers is compared, and said at the start and by /readyz."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis import Redis as Client

from shop.presence.answering import AnsweringPresence
from tests.support.clocks import clock_off_by
from tests.support.databases import SECRET_KEY, Clusters, shop_in
from tests.support.faults import only_read
from tests.support.machines.redis import Redis
from tests.support.running import RunningShop, eventually
from tests.support.shopper import Shopper

OpenShop = Callable[..., RunningShop]


def ready(shop: RunningShop) -> tuple[int, str]:
    answer = Shopper(shop).get("/readyz")
    return answer.status, answer.text


@pytest.fixture
def first(
    on_postgresql: Clusters, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningShop]:
    folder = tmp_path_factory.mktemp("first")
    with shop_in(on_postgresql, folder, "released") as shop:
        yield shop.start()


@contextmanager
def beside(first: RunningShop, **settings: str) -> Iterator[RunningShop]:
    """Start another server on the same database."""
    url = first.environ["SHOP_DATABASE_URL"]
    settings = {"SHOP_DATABASE_URL": url, "SHOP_SECRET_KEY": SECRET_KEY, **settings}
    second = RunningShop(first.instance / "beside", **settings)  # type: ignore[arg-type]
    try:
        yield second.start()
        second.stop()
    finally:
        second.end()


OTHER_KEY = "another key, of 2026, which is long enough"


def test_a_server_with_another_secret_key_says_so_and_is_not_ready(first: RunningShop) -> None:
    with beside(first, SHOP_SECRET_KEY=OTHER_KEY) as second:
        status, text = ready(second)
        assert status == 503
        assert re.fullmatch(r"SHOP_SECRET_KEY: not the one of \S+, which refuses .+\n", text)
        assert any("SHOP_SECRET_KEY" in line and "ERROR" in line for line in second.output)
        status, text = ready(first)
        assert status == 200 and text.startswith("ok\nSHOP_SECRET_KEY"), "it was there before"
    assert ready(first) == (200, "ok\n")


def test_a_command_with_another_secret_key_names_the_servers_that_it_does_not_reach(
    first: RunningShop,
) -> None:
    settings = {**first.environ, "SHOP_SECRET_KEY": OTHER_KEY}
    settings["SHOP_INSTANCE"] = str(first.instance / "operator")
    operator = RunningShop(first.instance / "operator", **settings)  # type: ignore[arg-type]
    asked = operator.flask("carts", check=False)
    assert asked.returncode == 1
    assert re.fullmatch(r"Error: SHOP_SECRET_KEY is not the one of \S+#\S+\n", asked.stderr)


def test_a_server_that_believes_the_others_key_is_ready(first: RunningShop) -> None:
    with beside(first, SHOP_SECRET_KEY=OTHER_KEY, SHOP_SECRET_KEY_FALLBACKS=SECRET_KEY) as second:
        assert ready(second) == ready(first) == (200, "ok\n")


def test_a_clock_that_is_not_the_databases_is_said_and_the_server_serves(
    first: RunningShop,
) -> None:
    with beside(first, **clock_off_by(-60)) as second:
        assert ready(second) == (200, "ok\nclock: 60 s behind the database's\n")
        assert any("clock: 60 s" in line and "WARNING" in line for line in second.output)


def test_another_currency_is_serious_and_other_levels_are_said(first: RunningShop) -> None:
    with beside(first, SHOP_CURRENCY="EUR", SHOP_LOW_STOCK="7") as second:
        status, text = ready(second)
        assert status == 503 and text.startswith("SHOP_CURRENCY: EUR here, USD on ")
        status, text = ready(first)
        assert status == 200 and "SHOP_LOW_STOCK: 150 here, 7 on " in text


def test_a_redis_that_refuses_the_channel_ends_the_start_with_one_line(
    open_shop: OpenShop,
) -> None:
    with Redis() as redis:
        with Client(host=redis.host, port=redis.port) as client:
            client.execute_command(
                "ACL", "SETUSER", "shop", "on", ">secret", "~*", "+@all", "resetchannels"
            )
        url = redis.url.replace("redis://", "redis://shop:secret@")
        with pytest.raises(AssertionError, match=r"SHOP_REDIS_URL=.*(channel|NOPERM)") as refused:
            open_shop(SHOP_REDIS_URL=url, SHOP_SECRET_KEY=SECRET_KEY)
        assert "Traceback" not in str(refused.value) and "secret@" not in str(refused.value)


def test_a_full_disk_is_said_and_the_shop_goes_on_when_there_is_room(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    shopper.add(1)
    with only_read(drop):
        assert shopper.add(2).status == 503
        assert ready(drop) == (503, "database: can only be read, nothing can be changed\n")
        assert Shopper(drop).get("/").status == 200
    eventually(lambda: ready(drop) == (200, "ok\n"))
    assert shopper.add(2).status == 303


def test_two_servers_have_two_names_whatever_their_machines_and_processes_are_called() -> None:
    one, other = (AnsweringPresence(*[None] * 4) for _ in range(2))  # type: ignore[arg-type]
    assert one.server != other.server
