"""The real shop, opened in a temporary folder for a benchmark, and its operator."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import combinations, cycle, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.request import urlopen

import click
from flask import Flask

from bench.comparisons import Server
from bench.load import LoadClient
from bench.machine import ROOT, cpu_of
from shop import create_app
from tests.support.databases import SECRET_KEY
from tests.support.machines.network import HERE
from tests.support.machines.postgresql import PostgreSQL
from tests.support.machines.redis import Redis
from tests.support.machines.service import Service

#: More than any benchmark sells; and a count that a shopper sees as another level.
PLENTY, FEW = 1_000_000, 100

#: Few visitors do what thousands do: it is counted, and never too much.
_SETTINGS = {
    "SHOP_DEMO": "on",
    "SHOP_DRAIN_SECONDS": "0",
    "SHOP_STREAMS_PER_ADDRESS": "0",
    "SHOP_ACTIONS_PER_CART": "1000000",
    "SHOP_ACTIONS_PER_ADDRESS": "1000000",
    "SHOP_NEW_CARTS_PER_ADDRESS": "1000000",
    "SHOP_PAIRS_PER_ADDRESS": "1000000",
    "SHOP_MAX_STREAMS": "50100",
}


class ShopServer(Server):
    """A server of the shop, with an instance folder of its own.

    Args:
        settings: besides a benchmark's usual ones.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        super().__init__(sys.executable, str(ROOT / "wsgi.py"))
        own = {"SHOP_INSTANCE": str(self.folder / "instance"), "SHOP_PORT": str(self.port)}
        self.settings = {**_SETTINGS, **own, **settings}
        self.environ = {**self.environ, **self.settings}

    @property
    def database(self) -> Path:
        """The file of a shop that keeps its data in one."""
        return self.folder / "instance" / "shop.sqlite3"

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://{self.host}:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class Shop:
    """A shop that serves, and its operator, who works in this process: another one than those.

    Args:
        app: the operator's.
        others: what the servers need, by name.
    """

    def __init__(self, servers: Sequence[ShopServer], app: Flask, **others: Service) -> None:
        self.servers, self.server, self._others = servers, servers[0], others
        self.ports = [server.port for server in servers]
        self._operator = app.test_cli_runner()
        self._committed = 0.0
        app.extensions["shop"].changes.subscribe(self._note_commit)

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

    def change(self, *words: str) -> float:
        """Run an operators' command; return the monotonic clock, in seconds, at its commit."""
        self.command(*words)
        return self._committed

    def items(self) -> list[dict[str, Any]]:
        """Return what `stock list` tells of every item."""
        items: list[dict[str, Any]] = json.loads(self.command("stock", "list", "--json"))
        return items

    def set_stock(self, sku: str, count: int) -> float:
        """Set a count, and return when that was committed."""
        return self.change("stock", "set", sku, str(count))

    def level_changes(self, sku: str) -> Callable[[], float]:
        """Return a function that moves an item to another level, down and up in turn."""
        counts = cycle((FEW, PLENTY))
        return lambda: self.set_stock(sku, next(counts))

    def pairs(
        self, count: int, holding: int | None = None, without: str | None = None
    ) -> list[list[int]]:
        """Return what `count` two-line carts hold, as different as the demo catalogue allows.

        The last two sizes are left out: they are for what happens meanwhile.

        Args:
            holding: an item that each of them holds.
            without: a product of which they hold nothing.
        """
        items = [item["id"] for item in self.items()[:-2] if item["product"] != without]
        different = [[*pair] for pair in combinations(items, 2) if holding in (None, *pair)]
        return list(islice(cycle(different), count))

    def open_tabs(
        self, tabs: LoadClient, path: str, contents: Sequence[Sequence[int]], marked: bool = False
    ) -> None:
        """Fill a cart for each of the contents, or mark them, and open a tab that shows it."""
        tabs.do("tabs.fill", ports=self.ports, contents=contents, marked=marked)
        tabs.do("tabs.open", ports=self.ports, path=path, count=len(contents))

    def cpu(self) -> dict[str, float]:
        """Return the CPU time, in seconds, that its servers and what they need have used."""
        servers = sum(cpu_of(server.pid) for server in self.servers)
        return {"servers": servers} | {name: cpu_of(one.pid) for name, one in self._others.items()}

    def _note_commit(self, _names: object) -> None:
        self._committed = time.monotonic()


@contextmanager
def open_shop(
    settings: Mapping[str, str] = MappingProxyType({}), servers: int = 1, **others: Service
) -> Iterator[Shop]:
    """Open a shop with the demo catalogue released, and plenty of every size.

    Args:
        settings: besides a benchmark's usual ones.
        others: what the servers need, by name.
    """
    with ExitStack() as stack:
        running = [stack.enter_context(ShopServer(settings)) for _ in range(servers)]
        shop = Shop(running, create_app(running[0].settings), **others)
        if "SHOP_DATABASE_URL" in settings:  # none but the embedded one starts with the demo
            shop.command("seed")
        shop.command("release", "1", "2")
        for item in shop.items():
            shop.set_stock(item["sku"], PLENTY)
        yield shop


@contextmanager
def open_cluster(servers: int) -> Iterator[Shop]:
    """Open a shop on several servers, with a PostgreSQL that waits for the disk, and a Redis."""
    with (
        # When each commit began: what tabs show is measured from there.
        PostgreSQL(HERE, fsync=True, track_commit_timestamp="on") as postgresql,
        Redis() as redis,
    ):
        settings = {
            "SHOP_DATABASE_URL": postgresql.create_database("shop"),
            "SHOP_REDIS_URL": redis.url,
            "SHOP_SECRET_KEY": SECRET_KEY,
        }
        with open_shop(settings, servers, PostgreSQL=postgresql, Redis=redis) as shop:
            yield shop
