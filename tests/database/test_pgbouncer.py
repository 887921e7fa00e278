"""A PgBouncer between the shop and PostgreSQL, in both of its modes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from shop.db import open_database
from tests.support.databases import SECRET_KEY, Clusters, shop_in
from tests.support.machines.pgbouncer import PgBouncer
from tests.support.running import RunningShop
from tests.support.shopper import Shopper

PURCHASES = 20

#: What an operator sets who reads on the web how others got rid of the refusal of options.
IGNORED = {"ignore_startup_parameters": "extra_float_digits,options"}


@pytest.fixture(
    scope="module",
    params=[("session", {}), ("transaction", {}), ("transaction", IGNORED)],
    ids=["session", "transaction", "transaction, options ignored"],
)
def pgbouncer(request: pytest.FixtureRequest, on_postgresql: Clusters) -> Iterator[PgBouncer]:
    mode, settings = request.param
    with PgBouncer(on_postgresql.server, mode, **settings) as made:
        yield made


def test_everybody_buys_through_it(
    pgbouncer: PgBouncer, on_postgresql: Clusters, tmp_path: Path
) -> None:
    with shop_in(on_postgresql, tmp_path, "released") as shop:
        name = str(shop.database_url.database)
        shop.environ["SHOP_DATABASE_URL"] = pgbouncer.url_of(name)
        shop.start()
        with ThreadPoolExecutor(8) as hands:
            bought = list(hands.map(buy, [shop] * PURCHASES))
        assert bought == [303] * PURCHASES
        assert len(shop.orders()) == PURCHASES
        assert not [line for line in shop.output if "ERROR" in line]
        shop.stop()


def buy(shop: RunningShop) -> int:
    shopper = Shopper(shop)
    assert shopper.add(1).status == 303
    return shopper.buy().status


def test_a_shop_is_made_through_it(
    pgbouncer: PgBouncer, on_postgresql: Clusters, tmp_path: Path
) -> None:
    on_postgresql.server.create_database("through_pgbouncer")
    url = pgbouncer.url_of("through_pgbouncer")
    shop = RunningShop(tmp_path, SHOP_DATABASE_URL=url, SHOP_SECRET_KEY=SECRET_KEY)
    shop.flask("seed")
    assert len(shop.stock()) == 26
    on_postgresql.server.drop_database("through_pgbouncer")


def test_limits_of_time_hold_in_a_transaction_and_do_not_stay_with_a_session(
    pgbouncer: PgBouncer,
) -> None:
    url = pgbouncer.url_of("released")
    with closing(open_database(make_url(url).set(drivername="postgresql+psycopg"))) as database:
        assert database.load(limits) == ("15s", "3s")
        with database.reading() as session:
            assert limits(session.connection()) == ("15s", "3s")
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as another:
        kept = another.execute("SHOW statement_timeout").fetchone()
    assert kept == ("0",)


def limits(connection: Any) -> tuple[str, ...]:
    names = ("statement_timeout", "idle_in_transaction_session_timeout")
    return tuple(str(connection.scalar(text(f"SHOW {name}"))) for name in names)
