"""`bin/bench pages`: what pages, adds and purchases cost, beside a route that does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

import click

from bench.comparisons import Server, python
from bench.load import LoadClient
from bench.report import Column, Figures, Goal, Report, benchmark
from bench.shops import open_shop
from bench.tabs import FRONT_PAGE

BARE, NONE, OPEN = "bare route", "no stream open", "streams open"

#: What is measured, and the least of the bare route's rate that must hold.
GOALS = {"page": 0.5, "add": 0.2, "checkout": 0.1}

#: By how much rates may be less, and CPU times more, with streams open.
_WITHIN = 0.1

#: Visitors at a time.
_VISITORS = 8

#: Of answers: how many a second, and what they took.
RATE = Column("a second", "rate")
COST_COLUMNS = (
    Column("server's CPU", "cpu", "ms"),
    Column("p50", "p50", "ms"),
    Column("p99", "p99", "ms"),
)
_OF_BARE = Column("of the bare route's", "of_bare", "×")

#: The figures of one round, by what is measured and where.
Round = dict[tuple[str, str], Figures]


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
        visitors = stack.enter_context(LoadClient())
        # The streams are at one of two shops, halfway at the other.
        for turn, count in enumerate(((rounds + 1) // 2, rounds // 2)):
            with LoadClient() as tabs:
                if count:
                    shops[turn].open_tabs(tabs, FRONT_PAGE, shops[turn].pairs(streams))
                where = {BARE: bare, NONE: shops[1 - turn].server, OPEN: shops[turn].server}
                done += [_round(visitors, where, seconds, turned=n % 2 == 1) for n in range(count)]
    rows = {BARE: [one["page", BARE] for one in done]}
    for what in GOALS:
        for at in (NONE, OPEN):
            rows[f"{what}, {at}"] = [one[what, at] for one in done]
    return Report(
        name="pages",
        title="requests",
        columns=(RATE, _OF_BARE, *COST_COLUMNS),
        rows=rows,
        goals=[*_goals(done, streams)],
        bars=_OF_BARE,
        note=f"{_VISITORS} visitors, each waiting for its answer before it asks again; medians "
        f"and extremes of {rounds} rounds of slices of {seconds:g} s in turn; {streams:,} "
        "streams, each with a cart of its own. A checkout alternates with an add: what an add "
        "takes in the same round is taken off its time, and off its CPU time.",
    )


def _round(visitors: LoadClient, servers: dict[str, Server], seconds: float, turned: bool) -> Round:
    found: Round = {}
    for what in GOALS:
        for where in reversed(servers) if turned else servers:
            to, script = servers[where], "page" if where == BARE else what
            how = {"port": to.port, "pid": to.pid, "script": script, "visitors": _VISITORS}
            found[what, where] = visitors.do("visits.visit", seconds=seconds, **how)
    for where in (NONE, OPEN):
        found["checkout", where] |= _without(found["checkout", where], found["add", where])
    for (what, _), figures in found.items():
        figures["of_bare"] = figures["rate"] / found[what, BARE]["rate"]
    return found


def _without(both: Figures, other: Figures) -> Figures:
    """Return what one of two requests that alternate takes, by what both and the other one take.

    But for a disturbed slice, the other one takes no more than half.
    """
    seconds = max(2 / both["rate"] - 1 / other["rate"], 1 / both["rate"])
    return {"rate": 1 / seconds, "cpu": 2 * both["cpu"] - other["cpu"]}


def _goals(rounds: list[Round], streams: int) -> Iterator[Goal]:
    for what, least in GOALS.items():
        ratio = median(one[what, NONE]["of_bare"] for one in rounds)
        yield Goal(f"{what}: of the bare route's rate", ratio, least, "×", at_least=True)
        with_streams = f"with {streams:,} streams, of that with none"
        rate, cpu = (
            median(one[what, OPEN][key] / one[what, NONE][key] for one in rounds)
            for key in ("rate", "cpu")
        )
        yield Goal(f"{what}: rate {with_streams}", rate, 1 - _WITHIN, "×", at_least=True)
        yield Goal(f"{what}: server's CPU {with_streams}", cpu, 1 + _WITHIN, "×")
