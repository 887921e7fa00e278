"""`bin/bench parts`: what work costs at the parts that stand around the shop's servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.machine import Machine, allow_files
from bench.part_nginx import measure_nginx
from bench.part_postgresql import measure_postgresql
from bench.part_redis import measure_hearing, measure_redis
from bench.report import Report, into_option
from bench.shops import open_cluster, open_shop
from bench.tables import Table


@click.command()
@click.option(
    "--streams",
    default=1000,
    type=click.IntRange(50, 5000),
    show_default=True,
    help="Through nginx, with TLS.",
)
@click.option(
    "--messages",
    default=2000,
    type=click.IntRange(100, 100_000),
    show_default=True,
    help="Through Redis.",
)
@click.option(
    "--seconds",
    default=3.0,
    type=click.FloatRange(0.2, 60),
    show_default=True,
    help="Of purchases in PostgreSQL, of one item and of several.",
)
@into_option
def parts(streams: int, messages: int, seconds: float, into: Path) -> None:
    """Measure the parts around the servers: nginx, Redis, PostgreSQL, and hearing of a change.

    nginx passes streams on, with TLS. Redis carries names of changes to 10 and to 100 listeners. A
    server of the shop hears names that no tab of its own has open. PostgreSQL (fsync on) sells one
    item to eight buyers at a time. `bin/bench capacity` reckons with what is found. Takes a minute.

    \b
    Example:
      bin/bench parts --streams 300
    """
    allow_files(2 * streams)
    machine = Machine.here()
    _say(f"nginx, {streams:,} streams with TLS …")
    figures: dict[str, Any] = {"nginx": measure_nginx(streams)}
    _say(f"Redis, {messages:,} messages …")
    figures["redis"] = measure_redis(messages)
    with open_cluster(1) as cluster:
        _say("a server that hears …")
        figures["hearing"] = measure_hearing(cluster, messages)
        _say("PostgreSQL …")
        figures["postgresql"] = measure_postgresql(cluster, seconds)
    with open_shop() as shop:
        figures["process"] = {"memory": shop.server.memory()}
    options = {"streams": streams, "messages": messages, "seconds": seconds}
    report = _report(machine, figures, options)
    report.show()
    report.publish(into)


def _report(machine: Machine, figures: dict[str, Any], options: dict[str, float]) -> Report:
    return Report(
        "parts",
        machine,
        options,
        figures,
        [Table(["part", "costs"], [[what, show(figures)] for what, show in _ROWS.items()])],
        note=(
            f"nginx: {options['streams']:,g} streams over TLS 1.3 and HTTP/1.1, USS and CPU time "
            f"of its one worker. Redis: {options['messages']:,g} messages of one name to 10 and to "
            "100 listeners; both costs follow from the two. Hearing: as many messages of 1 and of "
            "50 names of carts that no tab has open, 1,000 a second. PostgreSQL: eight connections "
            f"for {options['seconds']:g} s, all for the same item, and each for its own."
        ),
        document="capacity",
    )


def _micro(part: str, figure: str) -> Callable[[dict[str, Any]], str]:
    return lambda figures: f"{figures[part][figure] * 1e6:.1f} µs CPU"


_ROWS: dict[str, Callable[[dict[str, Any]], str]] = {
    "nginx: an open stream": lambda f: f"{f['nginx']['memory'] / 1024:.1f} KB",
    "nginx: opening one, TLS handshake included": _micro("nginx", "opening"),
    "nginx: a product's fragment to one": _micro("nginx", "delivery"),
    "Redis: a message": _micro("redis", "message"),
    "Redis: … for each process that hears it": _micro("redis", "subscriber"),
    "a server: a message heard": _micro("hearing", "message"),
    "a server: … for each name in it": _micro("hearing", "name"),
    "PostgreSQL: the catalogue, read once": _micro("postgresql", "shelf_read"),
    "PostgreSQL: a cart, read once": _micro("postgresql", "cart_read"),
    "PostgreSQL: one item's row, held by a purchase": (
        lambda f: f"{f['postgresql']['hot_row'] * 1e3:.2f} ms"
    ),
    "PostgreSQL: sold a second, all of the same item": (
        lambda f: f"{f['postgresql']['hot_per_second']:,.0f}"
    ),
    "PostgreSQL: … each of another": lambda f: f"{f['postgresql']['apart_per_second']:,.0f}",
    "a server process before its first stream": (
        lambda f: f"{f['process']['memory'] / 2**20:.0f} MB"
    ),
}


def _say(text: str) -> None:
    click.echo(text, err=True)
