"""`bin/bench pages`: what pages, adds and purchases cost, beside a route that does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import click

from bench.comparisons import Server, python
from bench.load import LoadClient
from bench.report import Column, Goal, Report, Row, benchmark, quantile, rounds_of
from bench.shops import FRONT_PAGE, open_shop

BARE, NONE, OPEN = "bare route", "no stream open", "streams open"

#: What is measured, and the least of the bare route's rate that must hold.
GOALS = {"page": 0.5, "add": 0.2, "checkout": 0.1}

#: By how much rates may be less, and CPU times more, with streams open.
_WITHIN = 0.1

#: Visitors at a time.
_VISITORS = 8

#: Of answers: how many a second, and what they took.
ANSWER_COLUMNS = (
    Column("a second", "rate"),
    Column("server's CPU", "cpu", "ms"),
    Column("p50", "p50", "ms"),
    Column("p99", "p99", "ms"),
)
_COLUMNS = (ANSWER_COLUMNS[0], Column("of the bare route's", "of_bare", "×"), *ANSWER_COLUMNS[1:])


@dataclass(frozen=True)
class Slice:
    """What some seconds of one script came to: requests a second, CPU seconds for each."""

    rate: float
    cpu: float
    p50: float
    p99: float

    @classmethod
    def of(cls, told: dict[str, Any], answers: int, times: list[float]) -> Slice:
        """Make one of so many answers, and those times, in seconds."""
        quantiles = quantile(times, 0.5), quantile(times, 0.99)
        return cls(answers / told["seconds"], told["cpu"] / answers, *quantiles)

    def less(self, other: Slice) -> Slice:
        """Return the same of one of two requests that alternate, the other being measured, too.

        What both take is more than one by what the other takes; but for a disturbed slice, that is
        no more than half.
        """
        rate = 1 / max(2 / self.rate - 1 / other.rate, 1 / self.rate)
        return Slice(rate, 2 * self.cpu - other.cpu, self.p50, self.p99)


#: The slices of one round, by what is measured and where.
Round = dict[tuple[str, str], Slice]


@benchmark
@click.option("--seconds", default=0.5, type=click.FloatRange(0.2, 4), show_default=True)
@click.option("--rounds", default=12, type=click.IntRange(1, 100), show_default=True)
@click.option("--streams", default=5000, type=click.IntRange(10, 15_000), show_default=True)
def pages(seconds: float, rounds: int, streams: int) -> Report:
    """Measure pages, adds and purchases: rate, time to the answer, CPU time.

    Visitors on keep-alive connections ask a bare Flask route under the shop's own server class, the
    shop while no stream is open, and the shop while thousands are, in short slices in turn.

    \b
    Example:
      bin/bench pages --rounds 4 --streams 1000
    """
    done: list[Round] = []
    with ExitStack() as stack:
        shops = [stack.enter_context(open_shop()) for _ in range(2)]
        bare = stack.enter_context(python("bare"))
        visit = partial(_visit, stack.enter_context(LoadClient()), seconds)
        # The streams are at one of two shops, halfway at the other.
        for turn, count in enumerate(((rounds + 1) // 2, rounds // 2)):
            with LoadClient() as crowd:
                if count:
                    shops[turn].open_tabs(crowd, FRONT_PAGE, shops[turn].pairs(streams))
                where = {BARE: bare, NONE: shops[1 - turn].server, OPEN: shops[turn].server}
                done += [_round(visit, where, number % 2 == 1) for number in rounds_of(count)]
    return _report(done, streams, seconds)


def _round(visit: Any, servers: dict[str, Server], turned: bool) -> Round:
    slices: Round = {}
    for what in GOALS:
        for where in reversed(servers) if turned else servers:
            slices[what, where] = visit(servers[where], BARE if where == BARE else what)
    for where in (NONE, OPEN):
        slices["checkout", where] = slices["checkout", where].less(slices["add", where])
    return slices


def _visit(visitors: LoadClient, seconds: float, to: Server, script: str) -> Slice:
    how = {"port": to.port, "pid": to.pid, "script": script, "connections": _VISITORS}
    told = visitors.do("visits.visit", seconds + 60, seconds=seconds, **how)
    times = [time for some in told["times"].values() for time in some]
    if len(times) < 10:
        raise click.ClickException("too few answers to measure; give more --seconds")
    return Slice.of(told, len(times), told["times"].get("checkout", times))


def _cells(rounds: list[Round], what: str, where: str) -> Row:
    slices = [one[what, where] for one in rounds]
    return {
        "rate": [one.rate for one in slices],
        "of_bare": [one[what, where].rate / one[what, BARE].rate for one in rounds],
        "cpu": [one.cpu for one in slices],
        "p50": [one.p50 for one in slices],
        "p99": [one.p99 for one in slices],
    }


def _goals(rounds: list[Round], streams: int) -> Iterator[Goal]:
    for what, least in GOALS.items():
        ratio = median(_cells(rounds, what, NONE)["of_bare"])
        yield Goal(f"{what}: of the bare route's rate", ratio, least, "×", at_least=True)
        both = [(one[what, OPEN], one[what, NONE]) for one in rounds]
        with_streams = f"with {streams:,} streams, of that with none"
        rate = median(some.rate / none.rate for some, none in both)
        yield Goal(f"{what}: rate {with_streams}", rate, 1 - _WITHIN, "×", at_least=True)
        cpu = median(some.cpu / none.cpu for some, none in both)
        yield Goal(f"{what}: server's CPU {with_streams}", cpu, 1 + _WITHIN, "×")


def _report(rounds: list[Round], streams: int, seconds: float) -> Report:
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
        note=f"{_VISITORS} visitors, each waiting for its answer before it asks again; medians "
        f"and extremes of {len(rounds)} rounds of slices of {seconds:g} s in turn; {streams:,} "
        "streams, each with a cart of its own. A checkout alternates with an add: what an add "
        "takes in the same round is taken off its time, and off its CPU time.",
    )
