"""`bin/bench streams`: what an open tab costs, held and told, beside a plain generator server."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path

import click

from bench.broadcasts import OPENING, Figures, measure_streams
from bench.loopback import Floor, measure_floor
from bench.machine import Machine, allow_files
from bench.processes import Server, client, server
from bench.report import format_bytes, format_us, print_table, write_json
from bench.shops import PLENTY, Shop, open_shop
from shop.streams import sse_event

#: What the shop's streams must hold: its share of the plain server's figure, at most.
MEMORY_SHARE, CPU_SHARE = 1 / 5, 1 / 2

#: Length of a small message, in bytes: such as a chat's or a counter's.
SMALL = 300

#: A count that a shopper sees as another level than `PLENTY`.
FEW = 100


@dataclass(frozen=True)
class Pair:
    """Two servers that sent the same bytes to as many streams, run after run."""

    name: str
    #: length of a message, encoded
    bytes: int
    ours: list[Figures]
    plain: list[Figures]
    floor: Floor

    def shares(self) -> dict[str, float]:
        """Return ours as a share of the plain server's, from the medians of all runs."""
        ours, plain = Figures.median(self.ours), Figures.median(self.plain)
        return {
            "memory": ours.memory / plain.memory,
            "cpu_per_delivery": ours.cpu_per_delivery / plain.cpu_per_delivery,
        }


@click.command()
@click.option("--streams", default=5000, type=click.IntRange(100, 50_000), show_default=True)
@click.option("--deliveries", default=20, type=click.IntRange(1, 1000), show_default=True)
@click.option("--runs", default=1, type=click.IntRange(1, 20), show_default=True)
@click.option("--json", "file", type=click.Path(dir_okay=False, writable=True, path_type=Path))
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
    machine = Machine.here()
    load = _Load(streams, deliveries)
    fragment = _fragment()
    small = f'<p id="news">{"n" * SMALL}'[: SMALL - len(sse_event("</p>"))] + "</p>"
    pairs = [
        _pair("shop", fragment, load.shop, partial(load.plain, fragment), runs),
        _pair("hub", small, partial(load.hub, small), partial(load.plain, small), runs),
    ]
    _print(pairs, load, runs, machine)
    if file is not None:
        write_json(file, machine=machine, load=asdict(load), pairs=[_as_json(p) for p in pairs])


@dataclass(frozen=True)
class _Load:
    """How much is done to each server; its methods do it."""

    streams: int
    deliveries: int

    def shop(self) -> Figures:
        with open_shop(self.streams + 100) as shop, client("bench.crowd") as crowd:
            change = _level_changes(shop)
            path = "/stream?product=1"
            return measure_streams(shop.server, crowd, path, change, self.streams, self.deliveries)

    def hub(self, text: str) -> Figures:
        return self._small_server("bench.servers.hub", text)

    def plain(self, text: str) -> Figures:
        return self._small_server("bench.servers.plain", text)

    def _small_server(self, module: str, text: str) -> Figures:
        with server("-m", module) as running, client("bench.crowd") as crowd:
            change = partial(_publish, running, text)
            change()
            return measure_streams(running, crowd, "/stream", change, self.streams, self.deliveries)


def _level_changes(shop: Shop) -> Callable[[], float]:
    """Return a function that moves a size of product 1 to another level, up and down in turn."""
    sku = shop.items()[0]["sku"]
    counts = cycle((FEW, PLENTY))
    return lambda: shop.set_stock(sku, next(counts))


def _publish(running: Server, text: str) -> float:
    began = time.monotonic()
    connection = HTTPConnection("127.0.0.1", running.port, timeout=OPENING)
    try:
        connection.request("POST", "/publish", text)
        connection.getresponse().read()
    finally:
        connection.close()
    return began


def _fragment() -> str:
    """Return the text that the shop sends of a product, for the plain server to send."""
    with open_shop() as shop:
        connection = HTTPConnection("127.0.0.1", shop.server.port, timeout=10)
        try:
            connection.request("GET", "/stream?product=1")
            answer = connection.getresponse()
            lines = iter(lambda: answer.readline().decode(), "\n")
            return "\n".join(line.removeprefix("data: ").rstrip("\n") for line in lines)
        finally:
            connection.close()


def _pair(
    name: str, text: str, ours: Callable[[], Figures], plain: Callable[[], Figures], runs: int
) -> Pair:
    size = len(sse_event(text))
    pair = Pair(name, size, [], [], measure_floor(size))
    for run in range(runs):
        both = [(ours, pair.ours, name), (plain, pair.plain, "plain")]
        for measure, figures, who in both if run % 2 == 0 else both[::-1]:
            click.echo(f"run {run + 1} of {runs}, {size:,} bytes: {who} …", err=True)
            figures.append(measure())
    return pair


def _print(pairs: list[Pair], load: _Load, runs: int, machine: Machine) -> None:
    print_table(
        ["share of the plain server's", "message", "share", "allowed", ""],
        [
            [
                label,
                f"{pair.name}, {pair.bytes:,} bytes",
                f"{share:.3f}",
                f"{most:.3f}",
                _holds(share, most),
            ]
            for key, label, most in (
                ("memory", "memory per idle stream", MEMORY_SHARE),
                ("cpu_per_delivery", "CPU per delivery", CPU_SHARE),
            )
            for pair in pairs
            for share in (pair.shares()[key],)
        ],
    )
    for pair in pairs:
        _print_pair(pair)
    click.echo(
        f"\n{load.streams:,} streams, {load.deliveries} deliveries to all of them, {runs} runs"
        "; medians. Memory is the server\nprocess's unique set size (USS) less what it was "
        "before; CPU is user and system time. The change is\nanother process's commit to the "
        "shop's database, and a request to the other servers.\n"
        f"{machine}"
    )


def _holds(share: float, most: float) -> str:
    return "holds" if share <= most else "does not hold"


def _print_pair(pair: Pair) -> None:
    ours, plain = Figures.median(pair.ours), Figures.median(pair.plain)
    rows = [
        ["memory per idle stream", *(format_bytes(f.memory) for f in (ours, plain))],
        ["  after the deliveries", *(format_bytes(f.memory_after) for f in (ours, plain))],
        ["CPU per delivery", *(format_us(f.cpu_per_delivery) for f in (ours, plain))],
        ["  the load client's", *(format_us(f.client_per_delivery) for f in (ours, plain))],
        ["  floor: a bare send", format_us(pair.floor.send), ""],
        ["  floor: send and receive", format_us(pair.floor.both), ""],
        ["CPU per opening", *(format_us(f.cpu_per_opening) for f in (ours, plain))],
        ["opened per second", *(f"{f.opened_per_second:,.0f}" for f in (ours, plain))],
        ["change to half of the tabs", *(f"{f.to_half * 1000:.0f} ms" for f in (ours, plain))],
        ["change to the last tab, p50", *(f"{f.to_last * 1000:.0f} ms" for f in (ours, plain))],
        ["  max", *(f"{f.to_last_worst * 1000:.0f} ms" for f in (ours, plain))],
    ]
    click.echo()
    print_table([f"messages of {pair.bytes:,} bytes", pair.name, "plain"], rows)


def _as_json(pair: Pair) -> dict[str, object]:
    return {**asdict(pair), "shares": pair.shares()}
