"""What pages, changes and purchases cost: with thousands of streams open, with none, and bare.

Short slices in turn, so that what else happens on the machine meets all of them: the bare route,
the shop without streams, the shop with them. These are two shops, and halfway the streams move
from the one to the other, so that no difference between two processes is taken for theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from bench.actions import quantile
from bench.carts import make_carts, pairs, write_carts
from bench.processes import Client, Server, client, server
from bench.sale import DELIVERY, OPENING, PATH
from bench.shops import Shop, open_shop

PAGE, CHANGE, CHECKOUT = "page", "add", "checkout"

#: What visitors do to have each of them measured.
_SCRIPTS = {PAGE: "front_page", CHANGE: "adds_and_removes", CHECKOUT: "purchases"}

#: Where a slice is of.
BARE, NONE, OPEN = "bare route", "none open", "streams open"


@dataclass(frozen=True)
class Load:
    """What is done."""

    streams: int
    rounds: int
    #: of each slice
    seconds: float
    connections: int


@dataclass(frozen=True)
class Slice:
    """What some seconds of one script came to. Times in seconds."""

    #: `BARE`, `NONE` or `OPEN`
    where: str
    #: requests of all kinds a second
    per_second: float
    #: CPU times for each of them: the server's, and the client's own
    cpu: float
    client_cpu: float
    #: how much of a processor the server had
    busy: float
    #: p50 and p99 of the answers, by kind of request
    p50: dict[str, float]
    p99: dict[str, float]


@dataclass(frozen=True)
class Round:
    """The slices of one round, by what is measured and where."""

    slices: dict[str, dict[str, Slice]]

    def rate(self, what: str, where: str) -> float:
        """Return how many of these requests a server answers in a second, if it does just that.

        A script's own rate. Adds and removes alternate, and count alike. Checkouts alternate with
        adds, so what a pair of them takes is more than a checkout by what an add takes; but for a
        disturbed slice, an add takes no more of it than half.
        """
        rate = self.slices[what][where].per_second
        if what != CHECKOUT or where == BARE:
            return rate
        return 1 / max(2 / rate - 1 / self.rate(CHANGE, where), 1 / rate)

    def cpu(self, what: str, where: str) -> float:
        """Return the server's CPU time for one of these requests, in seconds; see `rate`."""
        cpu = self.slices[what][where].cpu
        if what != CHECKOUT or where == BARE:
            return cpu
        return 2 * cpu - self.slices[CHANGE][where].cpu

    def of_bare(self, what: str, where: str) -> float:
        """Return a rate as a share of the bare route's, measured beside it."""
        return self.rate(what, where) / self.rate(what, BARE)


def measure(load: Load) -> tuple[list[Round], dict[str, Slice]]:
    """Measure all rounds; and a page and the bare route with one visitor alone."""
    with ExitStack() as stack:
        shops = [stack.enter_context(open_shop(load.streams + 100)) for _ in range(2)]
        bare = stack.enter_context(server("-m", "bench.servers.bare"))
        visits = Visits(stack.enter_context(client("bench.visitors")), load)
        rounds = list(_rounds(shops, bare, visits, load))
        alone = {
            BARE: visits.visit(BARE, bare, "bare_route", 1),
            NONE: visits.visit(NONE, shops[0].server, _SCRIPTS[PAGE], 1),
        }
    return rounds, alone


def _rounds(shops: list[Shop], bare: Server, visits: Visits, load: Load) -> Iterator[Round]:
    """Measure half of the rounds with the streams at one shop, then half with them at the other."""
    half = (load.rounds + 1) // 2
    for turn, rounds in enumerate((range(half), range(half, load.rounds))):
        with_streams, without = shops[turn], shops[1 - turn]
        servers = {BARE: bare, NONE: without.server, OPEN: with_streams.server}
        with client("bench.cart_crowd") as crowd, TemporaryDirectory() as folder:
            open_streams(with_streams, crowd, load.streams, Path(folder) / "carts.json")
            for number in rounds:
                click.echo(f"round {number + 1} of {load.rounds} …", err=True)
                yield visits.round(servers, turned=number % 2 == 1)
            crowd.do(DELIVERY, do="leave")


def open_streams(shop: Shop, crowd: Client, count: int, file: Path) -> None:
    """Open streams, each with a two-line cart of its own, which then are idle."""
    contents = pairs([item["id"] for item in shop.items()], count)
    write_carts(file, make_carts(shop, contents), contents)
    how: dict[str, Any] = {"port": shop.server.port, "carts": str(file), "path": PATH}
    crowd.do(OPENING + DELIVERY, do="open", timeout=OPENING, **how)


@dataclass(frozen=True)
class Visits:
    """Has visitors act at a server, and makes slices of what they tell."""

    visitors: Client
    load: Load

    def round(self, servers: dict[str, Server], turned: bool) -> Round:
        """Measure each script at each server, in turn."""
        slices: dict[str, dict[str, Slice]] = {}
        for what, script in _SCRIPTS.items():
            order = reversed(servers) if turned else iter(servers)
            slices[what] = {
                where: self.visit(where, servers[where], "bare_route" if where == BARE else script)
                for where in order
            }
        return Round(slices)

    def visit(self, where: str, to: Server, script: str, connections: int = 0) -> Slice:
        told = self.visitors.do(
            self.load.seconds + 60,
            do="visit",
            port=to.port,
            pid=to.pid,
            script=script,
            connections=connections or self.load.connections,
            seconds=self.load.seconds,
        )
        return _slice(where, told["times"], told)


def _slice(where: str, times: dict[str, Sequence[float]], told: dict[str, Any]) -> Slice:
    answers = sum(map(len, times.values()))
    if answers < 10:
        raise click.ClickException("too few answers to measure; give more --seconds")
    return Slice(
        where=where,
        per_second=answers / told["seconds"],
        cpu=told["cpu"] / answers,
        client_cpu=told["client_cpu"] / answers,
        busy=told["cpu"] / told["seconds"],
        p50={kind: quantile(took, 0.5) for kind, took in times.items()},
        p99={kind: quantile(took, 0.99) for kind, took in times.items()},
    )
