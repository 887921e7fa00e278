"""`bin/bench herd`: thousands of tabs come back after their server was restarted."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from bench.background import HAD_BEEN_DONE, Action
from bench.crowd import (
    ACTION_COLUMNS,
    Crowd,
    action_cells,
    action_p99,
    open_crowd,
    outcomes_of,
)
from bench.machine import OtherWork
from bench.report import Column, Goal, Report, Row, into_option
from bench.shops import DELIVERY, FRONT_PAGE
from bench.visitors import CUT_OFF, REFUSED, UNANSWERED

#: The default of `SHOP_DRAIN_SECONDS`.
_DRAIN = 5.0

#: Seconds that tabs may take to come back.
_BACK = 120.0

#: Seconds for which visitors act before the end, and after everything is well again.
_BEFORE, _AFTER = 1.0, 1.0

#: How a page comes back, as shop/static/live.js has it, in seconds; and all in the same moment.
_AS_PAGES = {"delay": 0.3, "longest": 2.5, "jitter": 0.3}
_AT_ONCE = {"at_once": True}

#: Whether a server drains its tabs or is killed, and how they come back.
WAYS: dict[str, tuple[bool, dict[str, Any]]] = {
    "drained": (True, _AS_PAGES),
    "killed": (False, _AS_PAGES),
    "all at once": (False, _AT_ONCE),
}

#: Outcomes that an add or a remove may have while there is no server.
_FINE = {"200", HAD_BEEN_DONE, REFUSED, CUT_OFF, UNANSWERED}

_COLUMNS = (
    Column("half of the tabs", "half", "s"),
    Column("all of them are current after", "last", "s"),
    Column("server's CPU a tab", "cpu_per_tab", "ms"),
    Column("failed tries", "failures"),
    *ACTION_COLUMNS,
    Column("sent, no answer", "unanswered"),
)


@dataclass(frozen=True)
class Restart:
    """What came of it. Moments in seconds since the new server was ready."""

    #: when the last tab was current again, and half of them
    last: float
    half: float
    #: the new server's CPU time until then, without its start, in seconds
    cpu: float
    #: attempts of tabs that failed
    failures: int
    #: what visitors did while tabs came back, and requests on which no answer came
    meanwhile: list[Action]
    unanswered: int


@click.command()
@click.option("--tabs", default=5000, type=click.IntRange(10, 15_000), show_default=True)
@click.option("--way", "names", type=click.Choice([*WAYS]), multiple=True, default=[*WAYS])
@click.option("--runs", default=1, type=click.IntRange(1, 20), show_default=True)
@click.option("--rate", default=50.0, type=click.FloatRange(1, 1000), show_default=True)
@into_option
def herd(tabs: int, names: tuple[str, ...], runs: int, rate: float, into: Path) -> None:
    """Measure how thousands of tabs come back after their server was restarted.

    The server is asked to end (SIGTERM) and drains its tabs over five seconds, or is killed; a new
    one starts at the same port as soon as the old one has ended. Tabs come back as pages do
    come, at random moments and later after each attempt that failed; or all in the moment in which
    the port opens. While no server runs an item in all their carts sells out: a tab is current
    when it shows that, in its own cart. Other visitors add and remove RATE times a second.

    \b
    Example:
      bin/bench herd --tabs 1000 --way drained
    """
    others = OtherWork()
    found: dict[str, list[Restart]] = {}
    for name in names:
        for run in range(runs):
            click.echo(f"{name}, run {run + 1} of {runs} …", err=True)
            drains, pace = WAYS[name]
            with open_crowd(tabs, rate, FRONT_PAGE, SHOP_DRAIN_SECONDS=f"{_DRAIN:g}") as crowd:
                found.setdefault(name, []).append(_restart(crowd, drains, pace))
    _report(found, tabs, rate).publish(into, others)


def _restart(crowd: Crowd, drains: bool, pace: dict[str, Any]) -> Restart:
    """End the server, start another, and wait until all tabs are current."""
    server, scarce = crowd.shop.server, crowd.scarce
    crowd.tabs.do("tabs.prepare")
    crowd.tabs.send("tabs.come_back", struck=scarce["id"], timeout=_BACK + _DRAIN, **pace)
    crowd.begin_acting(_BACK + DELIVERY)
    time.sleep(_BEFORE)
    try:
        (server.stop if drains else server.kill)()
    except subprocess.TimeoutExpired:
        raise click.ClickException("the server did not end when it was asked to") from None
    crowd.shop.set_stock(scarce["sku"], 0)
    server.start()
    back, cpu = time.monotonic(), server.cpu()
    came = crowd.tabs.answer(_BACK + DELIVERY)
    cpu = server.cpu() - cpu
    time.sleep(_AFTER)
    actions = crowd.end_acting()
    if wrong := {action.outcome for action in actions} - _FINE:
        raise click.ClickException(f"adds and removes were answered {', '.join(sorted(wrong))}")
    current = sorted(at - back for at in came["current"])
    return Restart(
        last=current[-1],
        half=current[len(current) // 2],
        cpu=cpu,
        failures=came["failures"],
        meanwhile=[a for a in actions if 0 <= a.due - back <= current[-1]],
        unanswered=sum(a.outcome in (CUT_OFF, UNANSWERED) for a in actions),
    )


def _report(found: dict[str, list[Restart]], tabs: int, rate: float) -> Report:
    rows: dict[str, Row] = {}
    goals, all_actions = [], []
    for way, runs in found.items():
        actions = [action for run in runs for action in run.meanwhile]
        all_actions += actions
        rows[way] = {
            "half": [run.half for run in runs],
            "last": [run.last for run in runs],
            "cpu_per_tab": [run.cpu / tabs for run in runs],
            "failures": [run.failures for run in runs],
            "unanswered": [run.unanswered for run in runs],
            **action_cells(actions),
        }
        last = median(rows[way]["last"])
        goals.append(Goal(f"{way}: all {tabs:,} tabs are current after", last, 6, "s"))
        p99 = action_p99(action_cells([a for a in actions if a.outcome == "200"]))
        goals.append(Goal(f"{way}: an add or remove meanwhile, p99", p99, 0.5, "ms"))
    return Report(
        name="herd",
        title="the server",
        columns=_COLUMNS,
        rows=rows,
        goals=goals,
        figures={"tabs": tabs},
        bars="last",
        note=f"{tabs:,} tabs. Seconds count from when the new server was ready. Adds and removes "
        f"are those of other visitors, {rate:g} a second, due while tabs came back. Not answered "
        f"200: {outcomes_of(all_actions)}.",
    )
