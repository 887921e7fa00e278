"""The real shop, opened in a temporary folder for a benchmark, and its operator."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import combinations, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from flask import Flask

from bench.processes import Client, Server, server
from shop import create_app
from tests.support.machines.network import HERE
from tests.support.machines.postgresql import PostgreSQL
from tests.support.machines.redis import Redis
from tests.support.machines.service import NotThere

#: More than any benchmark sells; and a count that a shopper sees as another level.
PLENTY, FEW = 1_000_000, 100

#: What the front page of the demo catalogue watches.
FRONT_PAGE = "/stream?product=1&product=2"

#: What its page asks for: its list, which stands for the products on it.
LIST_PAGE = "/stream?list=1"

#: Seconds that filling carts and opening streams may take, and one message to reach all of them.
OPENING, DELIVERY = 300.0, 60.0


class Shop:
    """A shop that serves, and its operator, who works in this process: another one than those.

    Args:
        app: the operator's.
        environ: the settings that its servers have.
    """

    def __init__(self, servers: list[Server], app: Flask, environ: Mapping[str, str]) -> None:
        self.servers, self.environ = servers, environ
        self._operator = app.test_cli_runner()
        self._committed = 0.0
        app.extensions["shop"].changes.subscribe(self._note_commit)

    @property
    def server(self) -> Server:
        """The server, or the first of several."""
        return self.servers[0]

    def command(self, *words: str) -> str:
        """Run an operators' command, and return what it prints.

        Raises:
            ClickException: it fails.
        """
        result = self._operator.invoke(args=list(words))
        if result.exit_code != 0:
            reason = result.output.strip() or repr(result.exception)
            raise click.ClickException(f"flask {' '.join(words)}: {reason}")
        return str(result.output)

    def items(self) -> list[dict[str, Any]]:
        """Return what `stock list` tells of every item."""
        items: list[dict[str, Any]] = json.loads(self.command("stock", "list", "--json"))
        return items

    def set_stock(self, sku: str, count: int) -> float:
        """Set a count.

        Returns:
            The monotonic clock, in seconds, at the commit.
        """
        self.command("stock", "set", sku, str(count))
        return self._committed

    def level_changes(self, sku: str) -> Callable[[], float]:
        """Return a function that moves an item to another level, down and up in turn."""
        counts = cycle((FEW, PLENTY))
        return lambda: self.set_stock(sku, next(counts))

    def _note_commit(self, _names: object) -> None:
        self._committed = time.monotonic()


@contextmanager
def open_shop(streams: int = 0, **settings: str) -> Iterator[Shop]:
    """Open a shop with the demo catalogue released, and plenty of every size.

    Args:
        streams: how many will be open.
        settings: besides a benchmark's usual ones.
    """
    with TemporaryDirectory(prefix="shop-bench-") as folder:
        environ = _settings(folder, streams) | settings
        with serve_shop(environ) as serving:
            shop = Shop([serving], create_app(environ), environ)
            if "SHOP_DATABASE_URL" in settings:  # none but the embedded one starts with the demo
                shop.command("seed")
            yield _stocked(shop)


@contextmanager
def serve_shop(environ: Mapping[str, str]) -> Iterator[Server]:
    """Run a server of a shop; see `open_shop`."""
    with server("wsgi.py", environ=environ) as serving:
        yield serving


@dataclass(frozen=True)
class Cluster:
    """A shop on several servers, and what they share."""

    shop: Shop
    postgresql: PostgreSQL
    redis: Redis
    #: of the database, as libpq reads it
    url: str


@contextmanager
def open_cluster(servers: int, streams: int = 0) -> Iterator[Cluster]:
    """Open a shop on several servers, with a PostgreSQL that waits for the disk, and a Redis.

    Raises:
        ClickException: a real part is not installed, or does not start.
    """
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="shop-bench-")))
            # When each commit began: what tabs show is measured from there.
            postgresql = PostgreSQL(HERE, fsync=True, track_commit_timestamp="on")
            stack.enter_context(postgresql)
            redis = stack.enter_context(Redis())
            url = postgresql.create_database("shop")
            shared = {"SHOP_DATABASE_URL": url, "SHOP_REDIS_URL": redis.url, "SHOP_DEMO": "off"}
            shared["SHOP_SECRET_KEY"] = "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88"

            def settings(name: object) -> dict[str, str]:
                return _settings(str(folder / str(name)), streams) | shared

            shop = Shop([], create_app(settings("operator")), shared)
            shop.command("seed")
            for number in range(servers):
                shop.servers.append(stack.enter_context(serve_shop(settings(number))))
            yield Cluster(_stocked(shop), postgresql, redis, url)
    except NotThere as error:
        raise click.ClickException(str(error)) from None


def pairs(shop: Shop, count: int, holding: int | None = None) -> list[list[int]]:
    """Return what `count` two-line carts hold, as different as the demo catalogue allows.

    The last two sizes are left out: they are for what happens meanwhile.

    Args:
        holding: an item that each of them holds.
    """
    items = [item["id"] for item in shop.items()][:-2]
    if holding is None:
        different = [list(pair) for pair in combinations(items, 2)]
    else:
        different = [sorted((holding, other)) for other in items if other != holding]
    return list(islice(cycle(different), count))


def open_tabs(tabs: Client, shop: Shop, path: str, contents: Sequence[Sequence[int]]) -> Any:
    """Fill a cart for each of the contents, and open a tab that shows it; see `Tabs.open`."""
    port = shop.server.port
    tabs.do("fill", OPENING, port=port, contents=contents, timeout=OPENING)
    how = {"port": port, "path": path, "count": len(contents)}
    return tabs.do("open", OPENING, timeout=OPENING, **how)


def _stocked(shop: Shop) -> Shop:
    """Release everything and put plenty of every size on the shelf."""
    shop.command("release", "1", "2")
    for item in shop.items():
        shop.set_stock(item["sku"], PLENTY)
    return shop


#: Few visitors do what thousands do: it is counted, and never too much.
_COUNTED = (
    *("SHOP_ACTIONS_PER_CART", "SHOP_ACTIONS_PER_ADDRESS"),
    *("SHOP_NEW_CARTS_PER_ADDRESS", "SHOP_PAIRS_PER_ADDRESS"),
)


def _settings(instance: str, streams: int) -> dict[str, str]:
    """Return settings that leave nothing to this machine's own `.env`; empty is the default."""
    names = (
        *("SHOP_DATABASE_URL", "SHOP_REDIS_URL", "SHOP_SECRET_KEY", "SHOP_HOST", "SHOP_CURRENCY"),
        *("SHOP_LOW_STOCK", "SHOP_MEDIUM_STOCK", "SHOP_SSE_PER_CART", "SHOP_HTTPS", "SHOP_NAME"),
        "SHOP_LOG_LEVEL",
    )
    settings = {
        "SHOP_INSTANCE": instance,
        "SHOP_PORT": "0",
        "SHOP_DEMO": "on",
        "SHOP_DRAIN_SECONDS": "0",
        "SHOP_MAX_STREAMS": str(max(20_000, streams + 100)),
        "SHOP_STREAMS_PER_ADDRESS": "0",
        **dict.fromkeys(_COUNTED, "1000000"),
    }
    return dict.fromkeys(names, "") | settings
