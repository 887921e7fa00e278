"""`bin/bench herd`: thousands of tabs come back after their server was restarted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from statistics import median

import click

from bench import crowd
from bench.report import Column, Figures, Goal, Report, benchmark, in_turn, quantile, values_of
from bench.tabs import FRONT_PAGE
from bench.visitors import CUT_OFF, REFUSED, UNANSWERED
from bench.visits import Action

#: The default of `SHOP_DRAIN_SECONDS`.
_DRAIN = 5.0

#: Seconds for which visitors act before the end, and after everything is well again.
_BEFORE, _AFTER = 1.0, 1.0

DRAINED, KILLED, AT_ONCE = WAYS = ("drained", "killed", "all at once")

_LAST = Column("all of them are current after", "last", "s")
_COLUMNS = (
    Column("half of the tabs", "half", "s"),
    _LAST,
    Column("server's CPU a tab", "cpu_per_tab", "ms"),
    Column("failed tries", "failures"),
    *crowd.ACTION_COLUMNS,
)


@benchmark
@click.option("--tabs", default=5000, type=click.IntRange(10, 15_000), show_default=True)
@click.option("--way", "ways", type=click.Choice(WAYS), multiple=True, default=WAYS)
@click.option("--runs", default=1, type=click.IntRange(1, 20), show_default=True)
def herd(tabs: int, ways: Sequence[str], runs: int) -> Report:
    """Measure how thousands of tabs come back after their server was restarted.

    The server is asked to end (SIGTERM) and drains its tabs over five seconds, or is killed; a new
    one starts at the same port as soon as the old one has ended. Tabs come back as pages do
    come, at random moments and later after each attempt that failed; or all in the moment in which
    the port opens. While no server runs an item in all their carts sells out: a tab is current
    when it shows that, in its own cart. Other visitors add and remove meanwhile.

    \b
    Example:
      bin/bench herd --tabs 1000 --way drained
    """
    found: dict[str, list[crowd.Observed]] = {way: [] for way in ways}
    for way in in_turn(ways, runs):
        with crowd.open_crowd(tabs, FRONT_PAGE, SHOP_DRAIN_SECONDS=f"{_DRAIN:g}") as there:
            found[way].append(_restart(there, way))
    rows = {way: crowd.row_of(ones) for way, ones in found.items()}
    goals: list[Goal] = []
    for way in ways:
        last = median(values_of(rows[way], "last"))
        goals.append(Goal(f"{way}: all {tabs:,} tabs are current after", last, 6, "s"))
        took = [a.took for run in found[way] for a in run.actions if a.outcome == "200"]
        p99 = quantile(took, 0.99) if took else 0.0
        goals.append(Goal(f"{way}: an add or remove meanwhile, p99", p99, 0.5, "ms"))
    return Report(
        name="herd",
        title="the server",
        columns=_COLUMNS,
        rows=rows,
        goals=goals,
        figures={"tabs": tabs},
        bars=_LAST,
        note=f"{tabs:,} tabs. Seconds count from when the new server was ready. Adds and removes "
        f"are those of other visitors, {crowd.RATE:g} a second, due while tabs came back.",
    )


def _restart(there: crowd.Crowd, way: str) -> crowd.Observed:
    """End the server, start another, and wait until all tabs are current."""
    server, scarce = there.shop.server, there.scarce
    there.tabs.do("tabs.prepare")
    there.tabs.send("tabs.come_back", struck=scarce["id"], at_once=way == AT_ONCE)
    there.begin_acting()
    time.sleep(_BEFORE)
    (server.stop if way == DRAINED else server.kill)()
    there.shop.set_stock(scarce["sku"], 0)
    server.start()
    back, cpu = time.monotonic(), server.cpu()
    came = there.tabs.answer()
    cpu = server.cpu() - cpu
    time.sleep(_AFTER)
    actions = there.end_acting()
    _check(actions)
    current = sorted(at - back for at in came["current"])
    half, last = current[len(current) // 2], current[-1]
    figures: Figures = {"half": half, "last": last, "cpu_per_tab": cpu / len(current)}
    figures["failures"] = came["failures"]
    return crowd.Observed(figures, [a for a in actions if 0 <= a.due - back <= last])


def _check(actions: Sequence[Action]) -> None:
    """Refuse answers but 200, and but that it had been done, after a request without an answer."""
    outcomes = Counter(action.outcome for action in actions)
    wrong = outcomes.keys() - {"200", "404", "409", CUT_OFF, UNANSWERED, REFUSED}
    if wrong or outcomes["404"] + outcomes["409"] > outcomes[CUT_OFF] + outcomes[UNANSWERED]:
        raise click.ClickException(f"adds and removes came to {dict(outcomes)}")
