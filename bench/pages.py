"""`bin/bench pages`: what pages, adds and purchases cost, beside a route that does nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click

from bench.machine import OtherWork, allow_files
from bench.processes import Client, Measured, Server
from bench.report import Column, Goal, Report, Row, into_option, quantile
from bench.shops import FRONT_PAGE, open_shop, open_tabs, pairs

BARE, NONE, OPEN = "bare route", "no stream open", "streams open"

#: What is measured, and the least of the bare route's rate that must hold.
GOALS = {"page": 0.5, "add": 0.2, "checkout": 0.1}

#: By how much rates may be less, and CPU times more, with streams open.
_WITHIN = 0.1


_COLUMNS = (
    Column("a second", "rate"),
    Column("of the bare route's", "of_bare", "×"),
    Column("server's CPU", "cpu", "ms"),
    Column("p50", "p50", "ms"),
    Column("p99", "p99", "ms"),
)


@dataclass(frozen=True)
class Slice:
    """What some seconds of one script came to: requests a second, CPU seconds for each."""

    rate: float
    cpu: float
    p50: float
    p99: float


#: The slices of one round, by what is measured and where.
Round = dict[tuple[str, str], Slice]


@click.command()
@click.option("--seconds", default=0.5, type=click.FloatRange(0.2, 4), show_default=True)
@click.option("--rounds", default=12, type=click.IntRange(1, 100), show_default=True)
@click.option("--connections", default=8, type=click.IntRange(4, 200), show_default=True)
@click.option("--streams", default=5000, type=click.IntRange(10, 15_000), show_default=True)
@into_option
def pages(seconds: float, rounds: int, connections: int, streams: int, into: Path) -> None:
    """Measure pages, adds and purchases: rate, time to the answer, CPU time.

    Visitors on keep-alive connections ask a bare Flask route under the shop's own server class, the
    shop while no stream is open, and the shop while thousands are, in short slices in turn.

    \b
    Example:
      bin/bench pages --rounds 4 --streams 1000
    """
    allow_files(streams + connections)
    others, done = OtherWork(), []
    with ExitStack() as stack:
        shops = [stack.enter_context(open_shop(streams)) for _ in range(2)]
        bare = stack.enter_context(Server(sys.executable, "-m", "bench.servers.bare"))
        visit = partial(_visit, stack.enter_context(Client()), connections, seconds)
        half = (rounds + 1) // 2
        # The streams are at one of two shops, halfway at the other.
        for turn, numbers in enumerate((range(half), range(half, rounds))):
            with Client() as crowd:
                if numbers:
                    open_tabs(crowd, shops[turn], FRONT_PAGE, pairs(shops[turn], streams))
                where: dict[str, Measured] = {
                    BARE: bare,
                    NONE: shops[1 - turn].server,
                    OPEN: shops[turn].server,
                }
                for number in numbers:
                    click.echo(f"round {number + 1} of {rounds} …", err=True)
                    done.append(dict(_round(visit, where, turned=number % 2 == 1)))
    _report(done, streams, connections, seconds).publish(into, others)


def _round(
    visit: Any, servers: dict[str, Measured], turned: bool
) -> Iterator[tuple[tuple[str, str], Slice]]:
    for what in GOALS:
        slices: dict[str, Slice] = {}
        for where in reversed(servers) if turned else servers:
            slices[where] = visit(servers[where], BARE if where == BARE else what)
        yield from (((what, where), one) for where, one in slices.items())


def _visit(visitors: Client, connections: int, seconds: float, to: Measured, script: str) -> Slice:
    how = {"port": to.port, "pid": to.worker, "script": script, "connections": connections}
    told = visitors.do("visitors.visit", seconds + 60, seconds=seconds, **how)
    answers = sum(map(len, told["times"].values()))
    if answers < 10:
        raise click.ClickException("too few answers to measure; give more --seconds")
    took = told["times"].get("checkout") or [t for times in told["times"].values() for t in times]
    return Slice(
        rate=answers / told["seconds"],
        cpu=told["cpu"] / answers,
        p50=quantile(took, 0.5),
        p99=quantile(took, 0.99),
    )


def _rate(one: Round, what: str, where: str) -> float:
    """Return how many of these requests a server answers in a second, if it does just that.

    Checkouts alternate with adds, so what a pair of them takes is more than a checkout by what an
    add takes; but for a disturbed slice, an add takes no more of it than half.
    """
    rate = one[what, where].rate
    if what != "checkout" or where == BARE:
        return rate
    return 1 / max(2 / rate - 1 / one["add", where].rate, 1 / rate)


def _cpu(one: Round, what: str, where: str) -> float:
    """Return the server's CPU time for one of these requests, in seconds; see `_rate`."""
    cpu = one[what, where].cpu
    if what != "checkout" or where == BARE:
        return cpu
    return 2 * cpu - one["add", where].cpu


def _cells(rounds: list[Round], what: str, where: str) -> Row:
    slices = [one[what, where] for one in rounds]
    return {
        "rate": [_rate(one, what, where) for one in rounds],
        "of_bare": [_rate(one, what, where) / _rate(one, what, BARE) for one in rounds],
        "cpu": [_cpu(one, what, where) for one in rounds],
        "p50": [one.p50 for one in slices],
        "p99": [one.p99 for one in slices],
    }


def _goals(rounds: list[Round], streams: int) -> Iterator[Goal]:
    for what, least in GOALS.items():
        ratio = median(_cells(rounds, what, NONE)["of_bare"])
        yield Goal(f"{what}: of the bare route's rate", ratio, least, "×", at_least=True)
        for name, figure, limit, at_least in (
            ("rate", _rate, 1 - _WITHIN, True),
            ("server's CPU", _cpu, 1 + _WITHIN, False),
        ):
            value = median(figure(one, what, OPEN) / figure(one, what, NONE) for one in rounds)
            title = f"{what}: {name} with {streams:,} streams, of that with none"
            yield Goal(title, value, limit, "×", at_least)


def _report(rounds: list[Round], streams: int, connections: int, seconds: float) -> Report:
    rows = {BARE: _cells(rounds, "page", BARE)}
    for what in GOALS:
        rows |= {f"{what}, {where}": _cells(rounds, what, where) for where in (NONE, OPEN)}
    return Report(
        name="pages",
        title="requests",
        columns=_COLUMNS,
        rows=rows,
        goals=[*_goals(rounds, streams)],
        bars="of_bare",
        note=f"{connections} visitors, each waiting for its answer before it asks again; medians "
        f"and extremes of {len(rounds)} rounds of slices of {seconds:g} s in turn; {streams:,} "
        "streams, each with a cart of its own. A checkout alternates with an add: what an add "
        "takes in the same round is taken off its time, and off its CPU time.",
    )
