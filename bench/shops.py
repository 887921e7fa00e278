"""The real shop, opened in a temporary folder with its doors wide open, for a benchmark."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from flask import Flask
from sqlalchemy import event
from sqlalchemy.engine import Engine

from bench.processes import Server, server
from shop import create_app

#: More than any benchmark sells.
PLENTY = 1_000_000


class Shop:
    """A serving shop, and its operator, who works in this process: another one than the shop's."""

    def __init__(self, serving: Server, app: Flask) -> None:
        self.server = serving
        self._operator = app.test_cli_runner()
        self._committed = 0.0
        event.listen(Engine, "commit", self._note_commit)

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
def open_shop(max_streams: int = 0) -> Iterator[Shop]:
    """Open a shop of its own with the demo catalogue released, plenty of every size in it."""
    with tempfile.TemporaryDirectory(prefix="shop-bench-") as folder:
        environ = _settings(folder, max_streams)
        with server("wsgi.py", environ=environ) as serving:
            shop = Shop(serving, create_app(environ))
            try:
                shop.release()
                for item in shop.items():
                    shop.set_stock(item["sku"], PLENTY)
                yield shop
            finally:
                shop.close()


def _settings(instance: str, max_streams: int) -> Mapping[str, str]:
    """Return settings that leave nothing to this machine's own `.env`; empty is the default."""
    names = (
        *("SHOP_DATABASE_URL", "SHOP_REDIS_URL", "SHOP_SECRET_KEY", "SHOP_HOST", "SHOP_CURRENCY"),
        *("SHOP_LOW_STOCK", "SHOP_MEDIUM_STOCK", "SHOP_SSE_PER_CART", "SHOP_HTTPS", "SHOP_NAME"),
    )
    settings = {
        "SHOP_INSTANCE": instance,
        "SHOP_PORT": "0",
        "SHOP_DEMO": "on",
        "SHOP_MAX_STREAMS": str(max(20_000, max_streams)),
    }
    return dict.fromkeys(names, "") | settings
