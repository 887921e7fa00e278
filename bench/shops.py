"""The real shop, opened in a temporary folder with its doors wide open, for a benchmark."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from flask import Flask
from sqlalchemy import event
from sqlalchemy.engine import Engine

from bench.processes import Server, server
from machines.network import HERE
from machines.postgresql import PostgreSQL
from machines.redis import Redis
from machines.service import NotThere
from shop import create_app

#: More than any benchmark sells.
PLENTY = 1_000_000

#: What servers of one shop share.
_KEY = "the key of all the servers of a benchmark"


class Shop:
    """A shop that serves, and its operator, who works in this process: another one than those.

    Args:
        app: the operator's.
        environ: the settings that its servers have.
    """

    def __init__(
        self, servers: list[Server], app: Flask, environ: Mapping[str, str] | None = None
    ) -> None:
        self.servers = servers
        self.environ = environ or {}
        self.app = app
        self._operator = app.test_cli_runner()
        self._committed = 0.0
        event.listen(Engine, "commit", self._note_commit)

    @property
    def server(self) -> Server:
        """The server, or the first of several."""
        return self.servers[0]

    def seed(self) -> None:
        """Put the demo catalogue into a shop that starts empty."""
        self._command("seed")

    def release(self) -> None:
        """Release both products of the demo catalogue."""
        self._command("release", "1", "2")

    def items(self) -> list[dict[str, Any]]:
        """Return what `stock list` says of every item."""
        items: list[dict[str, Any]] = json.loads(self._command("stock", "list", "--json"))
        return items

    def set_stock(self, sku: str, count: int) -> float:
        """Say that `count` pieces are on the shelf.

        Returns:
            The monotonic clock, in seconds, when the commit began: tabs can't know before.
        """
        self._command("stock", "set", sku, str(count))
        return self._committed

    def look_anew(self) -> None:
        """Have servers that are looked at while they work forget what was seen so far."""
        for serving in self.servers:
            os.kill(serving.pid, signal.SIGUSR1)

    def close(self) -> None:
        event.remove(Engine, "commit", self._note_commit)

    def _command(self, *words: str) -> str:
        result = self._operator.invoke(args=list(words))
        if result.exit_code != 0:
            said = result.output.strip() or repr(result.exception)
            raise click.ClickException(f"flask {' '.join(words)}: {said}")
        return str(result.output)

    def _note_commit(self, _connection: object) -> None:
        self._committed = time.monotonic()


@contextmanager
def open_shop(max_streams: int = 0, samples: Path | None = None, **settings: str) -> Iterator[Shop]:
    """Open a shop of its own with the demo catalogue released, plenty of every size in it.

    Args:
        samples: a file for what is seen of the server's work. None: it isn't looked at.
        settings: besides a benchmark's usual ones.
    """
    with TemporaryDirectory(prefix="shop-bench-") as folder:
        environ = _settings(folder, max_streams) | settings
        with serve_shop(environ, samples) as serving:
            yield from _stocked(Shop([serving], create_app(environ), environ))


@contextmanager
def serve_shop(environ: Mapping[str, str], samples: Path | None = None) -> Iterator[Server]:
    """Run a server of a shop; see `open_shop`."""
    if samples is None:
        with server("wsgi.py", environ=environ) as serving:
            yield serving
    else:
        looking = {"BENCH_SAMPLES": str(samples)}
        with server("-m", "bench.servers.sampled", environ={**environ, **looking}) as serving:
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
def open_cluster(
    servers: int, max_streams: int = 0, samples: Path | None = None
) -> Iterator[Cluster]:
    """Open a shop of its own on several servers, with a PostgreSQL that waits for the disk.

    Args:
        samples: a folder for what is seen of the servers' work, a file for each; and PostgreSQL
            counts statements. None: neither, as both cost something.

    Raises:
        ClickException: a real part is not installed, or does not start.
    """
    with _saying_what_is_missing(), ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="shop-bench-")))
        # When each commit began: what tabs show is measured from there.
        counts = {"shared_preload_libraries": "pg_stat_statements"} if samples else {}
        postgresql = PostgreSQL(HERE, fsync=True, track_commit_timestamp="on", **counts)
        stack.enter_context(postgresql)
        redis = stack.enter_context(Redis())
        url = postgresql.create_database("shop")
        shared = {"SHOP_DATABASE_URL": url, "SHOP_REDIS_URL": redis.url, "SHOP_SECRET_KEY": _KEY}

        def settings(name: object) -> dict[str, str]:
            return _settings(str(folder / str(name)), max_streams) | shared

        app = create_app(settings("operator"))
        shop = Shop([], app)
        shop.seed()
        for number in range(servers):
            kept = samples / f"{number}.json" if samples else None
            shop.servers.append(stack.enter_context(serve_shop(settings(number), kept)))
        for opened in _stocked(shop):
            yield Cluster(opened, postgresql, redis, url)


@contextmanager
def _saying_what_is_missing() -> Iterator[None]:
    try:
        yield
    except NotThere as error:
        raise click.ClickException(str(error)) from None


def _stocked(shop: Shop) -> Iterator[Shop]:
    """Release everything and put plenty of every size on the shelf; in the end, close."""
    try:
        shop.release()
        for item in shop.items():
            shop.set_stock(item["sku"], PLENTY)
        yield shop
    finally:
        shop.close()


#: Whoever measures is one address and does what thousands do: it is counted, and never too much.
_COUNTED = (
    *("SHOP_ACTIONS_PER_CART", "SHOP_ACTIONS_PER_ADDRESS"),
    *("SHOP_NEW_CARTS_PER_ADDRESS", "SHOP_PAIRS_PER_ADDRESS"),
)


def _settings(instance: str, max_streams: int) -> dict[str, str]:
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
        "SHOP_MAX_STREAMS": str(max(20_000, max_streams)),
        "SHOP_STREAMS_PER_ADDRESS": "0",
        **dict.fromkeys(_COUNTED, "1000000"),
    }
    return dict.fromkeys(names, "") | settings
