"""`bin/bench herd`: thousands of tabs come back after their server was restarted."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import psutil

from bench.background import (
    VISITORS,
    Action,
    arrive,
    begin_acting,
    end_acting,
    times_figures,
    times_row,
)
from bench.machine import OtherWork, allow_files
from bench.processes import client
from bench.report import Goal, Report, into_option, quantile, spread
from bench.shops import DELIVERY, FRONT_PAGE, open_shop, open_tabs, pairs, serve_shop
from tests.support.machines.service import free_port

#: The default of `SHOP_DRAIN_SECONDS`.
_DRAIN = 5.0

#: Seconds that an ending server may take besides, and that tabs may take to come back.
_END, _BACK = 20.0, 120.0

#: Seconds for which visitors act before the end, and after everything is well again.
_BEFORE, _AFTER = 1.0, 1.0

#: How a page comes back, as shop/static/live.js has it; and all in the very same moment. Seconds.
_AS_PAGES = {"delay": 0.3, "longest": 2.5, "jitter": 0.3, "at_once": False}
_AT_ONCE = {"delay": 0.0, "longest": 0.0, "jitter": 0.0, "at_once": True}

#: How a server ends, and how its tabs come back.
WAYS: dict[str, tuple[int, dict[str, Any]]] = {
    "drained": (signal.SIGTERM, _AS_PAGES),
    "killed": (signal.SIGKILL, _AS_PAGES),
    "all at once": (signal.SIGKILL, _AT_ONCE),
}

#: Outcomes that an add or a remove may have while there is no server.
_FINE = {"200", "had been done", "refused", "cut off", "no answer"}


@dataclass(frozen=True)
class Restart:
    """What came of it. Moments in seconds since the new server printed that it serves."""

    #: when the last tab was current again, and half of them
    last: float
    half: float
    #: the new server's CPU time until then, without its start, in seconds
    cpu: float
    failures: dict[str, int]
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
    allow_files(tabs + VISITORS)
    others = OtherWork()
    found: dict[str, list[Restart]] = {}
    for name in names:
        for run in range(runs):
            click.echo(f"{name}, {tabs:,} tabs, run {run + 1} of {runs} …", err=True)
            found.setdefault(name, []).append(_restart(*WAYS[name], tabs, rate))
    _report(found, tabs, rate).publish(into, others)


def _restart(number: int, pace: dict[str, Any], tabs: int, rate: float) -> Restart:
    """End a server with open tabs, start another, and wait until all tabs are current."""
    settings = {"SHOP_PORT": str(free_port()), "SHOP_DRAIN_SECONDS": f"{_DRAIN:g}"}
    with open_shop(tabs, **settings) as shop, client() as crowd, client() as visitors:
        crowd.do("give_way")
        scarce, old = shop.items()[0], shop.server
        open_tabs(crowd, shop, FRONT_PAGE, pairs(shop, tabs, holding=scarce["id"]))
        arrive(visitors, shop)
        crowd.do("prepare")
        crowd.send("come_back", struck=scarce["id"], timeout=_BACK + _DRAIN, **pace)
        begin_acting(visitors, rate, _BACK + DELIVERY)
        time.sleep(_BEFORE)
        os.kill(old.pid, number)
        try:
            old.process.wait(_DRAIN + _END)
        except psutil.TimeoutExpired:
            raise click.ClickException("the server did not end when it was asked to") from None
        shop.set_stock(scarce["sku"], 0)
        with serve_shop(shop.environ) as new:
            back, cpu = time.monotonic(), new.cpu()
            came = crowd.answer(_BACK + DELIVERY)
            cpu = new.cpu() - cpu
            time.sleep(_AFTER)
            actions = end_acting(visitors)
        crowd.do("leave")
    wrong = {action.outcome for action in actions} - _FINE
    if wrong:
        raise click.ClickException(f"adds and removes were answered {', '.join(sorted(wrong))}")
    current = sorted(at - back for at in came["current"])
    return Restart(
        last=current[-1],
        half=current[len(current) // 2],
        cpu=cpu,
        failures=came["failures"],
        meanwhile=[a for a in actions if 0 <= a.due - back <= current[-1]],
        unanswered=sum(a.outcome in ("cut off", "no answer") for a in actions),
    )


def _report(found: dict[str, list[Restart]], tabs: int, rate: float) -> Report:
    rows, goals, figures = [], [], {}
    for way, runs in found.items():
        actions = [action for run in runs for action in run.meanwhile]
        failed = max(sum(run.failures.values()) for run in runs)
        rows.append(
            [
                way,
                spread([run.half for run in runs], "s"),
                spread([run.last for run in runs], "s"),
                spread([run.cpu / tabs for run in runs], "ms", 1e3),
                f"{failed:,}",
                *times_row("", actions)[1:],
                str(max(run.unanswered for run in runs)),
            ]
        )
        last = median(run.last for run in runs)
        post = quantile([a.took for a in actions if a.outcome == "200"] or [0.0], 0.99)
        goals.append(Goal(f"{way}: all {tabs:,} tabs are current after", last, 6, "s"))
        goals.append(Goal(f"{way}: an add or remove meanwhile, p99", 1e3 * post, 500, "ms"))
        cpu = median(run.cpu for run in runs) / tabs
        figures[way] = {"last": last, "cpu_per_tab": cpu, **times_figures(actions)}
    head = ["the server", "half of the tabs", "all of them", "server's CPU a tab", "failed tries"]
    head += ["actions", "p50", "p99", "longest", "not answered 200", "sent, no answer"]
    return Report(
        name="herd",
        head=head,
        rows=rows,
        goals=goals,
        figures={"tabs": tabs, **figures},
        bars={way: float(one["last"]) for way, one in figures.items()},
        bars_title=f"Seconds until all {tabs:,} tabs are current again",
        note="Seconds count from when the new server said that it serves. Actions are adds and "
        f"removes of other visitors, {rate:g} a second, due while tabs came back.",
    )
