"""`bin/bench streams`: what an open tab costs, held and told, beside a plain generator server."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from itertools import cycle
from pathlib import Path

import click

from bench.broadcasts import Figures, measure_streams
from bench.comparison import Pair, measure_pair, print_comparison
from bench.loopback import measure_floor
from bench.machine import Machine, allow_files
from bench.processes import Server, client, server
from bench.report import json_option, write_json
from bench.shops import PLENTY, Shop, open_shop
from shop.framing import sse_event

#: Length of a small message as an event, in bytes: such as a chat's or a counter's.
SMALL = 300

#: A count that a shopper sees as another level than `PLENTY`.
FEW = 100

#: For how long a server's answer is waited for, in seconds.
PATIENCE = 30.0


@click.command()
@click.option(
    "--streams",
    default=5000,
    type=click.IntRange(100, 50_000),
    show_default=True,
    help="Open on each server at once.",
)
@click.option(
    "--deliveries",
    default=20,
    type=click.IntRange(1, 1000),
    show_default=True,
    help="Messages to each stream, one after another.",
)
@click.option(
    "--runs",
    default=1,
    type=click.IntRange(1, 20),
    show_default=True,
    help="Of every server, each in a fresh process.",
)
@json_option
def streams(streams: int, deliveries: int, runs: int, file: Path | None) -> None:
    """Measure open streams: memory while idle, CPU time for each delivery, and delay.

    The real shop sends a product's fragment, and the shop's hub alone a message of 300 bytes;
    beside each, a plain server (gevent, Flask, a generator and a greenlet for each stream) sends
    the same bytes. Takes about a minute a run.

    \b
    Example:
      bin/bench streams --streams 2000 --deliveries 10 --runs 3 --json streams.json
    """
    allow_files(streams)
    machine, load = Machine.here(), Load(streams, deliveries)
    fragment, small = _fragment(), _small_text()
    pairs = [
        _compare("shop", fragment, load.shop, load, runs),
        _compare("hub", small, partial(load.small_server, "hub", small), load, runs),
    ]
    print_comparison(pairs)
    _print_conditions(load, runs, machine)
    if file is not None:
        write_json(file, machine=machine, **asdict(load), pairs=[p.as_json() for p in pairs])


@dataclass(frozen=True)
class Load:
    """How much is done to each server; its methods do it."""

    streams: int
    deliveries: int

    def shop(self) -> Figures:
        with open_shop(self.streams + 100) as shop:
            return self._measure(shop.server, "/stream?product=1", _level_changes(shop))

    def small_server(self, name: str, text: str) -> Figures:
        """Measure a server of `bench.servers`."""
        with server("-m", f"bench.servers.{name}") as running:
            _publish(running, text)
            return self._measure(running, "/stream", partial(_publish, running, text))

    def _measure(self, running: Server, path: str, change: Callable[[], float]) -> Figures:
        with client("bench.crowd") as crowd:
            return measure_streams(running, crowd, path, change, self.streams, self.deliveries)


def _compare(name: str, text: str, ours: Callable[[], Figures], load: Load, runs: int) -> Pair:
    size = len(sse_event(text))
    plain = partial(load.small_server, "plain", text)
    return measure_pair(name, size, measure_floor(size), ours, plain, runs)


def _level_changes(shop: Shop) -> Callable[[], float]:
    """Return a function that moves a size of product 1 to another level, down and up in turn."""
    sku = next(item["sku"] for item in shop.items() if item["id"] == 1)
    counts = cycle((FEW, PLENTY))
    return lambda: shop.set_stock(sku, next(counts))


def _publish(running: Server, text: str) -> float:
    """Have a small server send a text to all; return when it was asked to, in seconds."""
    began = time.monotonic()
    connection = HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE)
    try:
        connection.request("POST", "/publish", text.encode())
        connection.getresponse().read()
    except (OSError, HTTPException) as error:
        raise click.ClickException(f"a server did not take a message: {error}") from None
    finally:
        connection.close()
    return began


def _fragment() -> str:
    """Return the text that the shop sends of a product, for the plain server to send as well."""
    with open_shop() as shop:
        connection = HTTPConnection("127.0.0.1", shop.server.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/stream?product=1")
            answer = connection.getresponse()
            lines = iter(lambda: answer.readline().decode().rstrip("\n"), "")
            return "\n".join(line.removeprefix("data: ") for line in lines)
        finally:
            connection.close()


def _small_text() -> str:
    text = "<p id='news'>{}</p>"
    return text.format("n" * (SMALL - len(sse_event(text.format("")))))


def _print_conditions(load: Load, runs: int, machine: Machine) -> None:
    click.echo(
        f"\n{load.streams:,} streams, {load.deliveries} deliveries to all of them; medians of "
        f"{runs} run(s). Memory is what the server\nprocess's unique set size (USS) grew by while "
        "the second half of them was opened. CPU is user and system\ntime. A change is another "
        "process's commit to the shop's database, and a request to the other servers.\n"
        f"{machine}"
    )
