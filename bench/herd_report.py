"""What is printed and drawn of tabs that come back to a restarted server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

from bench.actions import quantile, times_cells
from bench.bystander import REFUSED
from bench.charts import Bar, Bars, bar_chart, middle, spread
from bench.goals import Goal, goals_table
from bench.lines import Line, Lines, line_chart
from bench.machine import Machine
from bench.neighbours import Neighbours
from bench.report import Report
from bench.restart import AS_PAGES, Load, Restart
from bench.tables import Table

#: What must hold, in seconds after the server is back: until the last tab is current; and an add or
#: a remove in that time, p99.
ALL_CURRENT, POST = 6.0, 0.500

#: Points of a curve.
_POINTS = 40

_Figure = Callable[[Restart], float]


def report_on(
    machine: Machine,
    load: Load,
    runs: int,
    restarts: dict[str, list[Restart]],
    neighbours: Neighbours,
) -> Report:
    """Put together what came of restarts, by way."""
    goals = [goal for name, done in restarts.items() for goal in _goals(name, done)]
    return Report(
        name="herd",
        machine=machine,
        options=asdict(load) | {"runs": runs, "ways": list(restarts)},
        figures={"goals": goals, "neighbours": neighbours.share(), "restarts": restarts},
        tables=[goals_table(goals), _tabs_table(load, restarts), _posts_table(restarts)],
        charts={
            "herd": _curves(machine, load, restarts),
            "herd-actions": _bars(machine, load, restarts),
        },
        note=f"{_note(load, runs)} {neighbours.sentence()}",
    )


def _goals(way: str, done: list[Restart]) -> list[Goal]:
    """What must hold in each run: so the worst of them counts."""
    posts = [1e3 * _p99(one) for one in done]
    last = max(one.all_current for one in done)
    goals = [
        Goal(f"{way}: the last tab is current, after the server is back", last, ALL_CURRENT, "s"),
        Goal(f"{way}: an add or remove in that time, p99", max(posts), 1e3 * POST, "ms"),
        Goal(f"{way}: answers that were wrong", sum(len(r.wrong_answers) for r in done), 0),
    ]
    if done[0].was_asked:
        lost = sum(len(one.lost_requests) for one in done)
        goals += [
            Goal(f"{way}: requests that were sent and not answered", lost, 0),
            Goal(f"{way}: the old server's exit status", max(abs(r.status) for r in done), 0),
        ]
    return goals


def _p99(one: Restart) -> float:
    return quantile([a.took for a in one.meanwhile if a.outcome != REFUSED] or [0.0], 0.99)


def _tabs_table(load: Load, restarts: dict[str, list[Restart]]) -> Table:
    def row(
        label: str, figure: Callable[[Restart], float], unit: str, digits: int = 1
    ) -> list[str]:
        of_ways = ([figure(one) for one in done] for done in restarts.values())
        return [label, *(spread(values, unit, digits) for values in of_ways)]

    rows = [
        row("old server told to end, until it had", lambda r: r.ended - r.told, "s"),
        row("from then until the new one was back", lambda r: -r.ended, "s"),
        row("back to half of the tabs current", lambda r: middle(r.current), "s"),
        row("back to the last tab current", lambda r: r.all_current, "s"),
        row("a tab without its stream, p50", lambda r: middle(_gaps(r)), "s"),
        row("a tab without its stream, max", lambda r: max(_gaps(r)), "s"),
        row("attempts refused, each tab", lambda r: r.failures.get(REFUSED, 0) / load.tabs, "", 2),
        row("attempts failed otherwise, all", _otherwise, "", 0),
        row("calls that the kernel dropped", lambda r: r.dropped, "", 0),
        row("new server's CPU for each tab", lambda r: 1e3 * r.cpu / load.tabs, "ms", 2),
        row("what it had of a processor", lambda r: 100 * r.cpu / r.all_current, "%", 0),
        row("the client's CPU for each tab", lambda r: 1e3 * r.client_cpu / load.tabs, "ms", 2),
    ]
    return Table([f"{load.tabs:,} tabs come back", *restarts], rows)


def _otherwise(one: Restart) -> int:
    return sum(one.failures.values()) - one.failures.get(REFUSED, 0)


def _gaps(one: Restart) -> list[float]:
    return [back - lost for lost, back in zip(one.lost, one.current, strict=True)]


def _posts_table(restarts: dict[str, list[Restart]]) -> Table:
    head = ["an add or remove", "answered", "p50", "p99", "max", "refused", "otherwise"]
    rows = []
    for name, done in restarts.items():
        for moment in done[0].moments:
            actions = [action for one in done for action in one.moments[moment]]
            outcomes = Counter(action.outcome for action in actions)
            done_well = [action for action in actions if action.was_done]
            others = sum(outcomes.values()) - outcomes["200"] - outcomes[REFUSED]
            words = [str(outcomes[REFUSED]), str(others)]
            rows.append([f"{name}, {moment}", *times_cells(done_well), *words])
    return Table(head, rows)


def _curves(machine: Machine, load: Load, restarts: dict[str, list[Restart]]) -> str:
    """Draw how many tabs were current when, and how long actions took, in each way's first run."""
    firsts = {name: done[0] for name, done in restarts.items()}
    since = "seconds since the server is back"
    panels = [Lines("Tabs that are current", since, "%", _tabs_lines(firsts))]
    if slowest := _slowest_lines(firsts):
        title = "The slowest add or remove of those due in each half of a second"
        panels.append(Lines(title, since, "ms", slowest, goal=1e3 * POST))
    title = f"{load.tabs:,} tabs come back to a restarted server"
    return line_chart(title, f"First runs. {machine}", panels)


def _tabs_lines(firsts: dict[str, Restart]) -> list[Line]:
    """Return lines that all end where the last one does."""
    end = max(one.all_current for one in firsts.values())
    return [Line(name, [*_curve(one.current), (end, 100.0)]) for name, one in firsts.items()]


def _curve(moments: list[float]) -> list[tuple[float, float]]:
    ordered = sorted(max(0.0, moment) for moment in moments)
    count = len(ordered)
    places = sorted({round(n * (count - 1) / _POINTS) for n in range(_POINTS + 1)})
    return [(0.0, 0.0), *((ordered[place], 100 * (place + 1) / count) for place in places)]


def _slowest_lines(firsts: dict[str, Restart]) -> list[Line]:
    """Return lines that all end where the first one does: the beginning is what counts."""
    lines = {name: slowest for name, one in firsts.items() if (slowest := one.slowest())}
    end = min((slowest[-1][0] for slowest in lines.values()), default=0.0)
    return [
        Line(name, [(at, 1e3 * took) for at, took in slowest if at <= end])
        for name, slowest in lines.items()
    ]


def _bars(machine: Machine, load: Load, restarts: dict[str, list[Restart]]) -> str:
    def panel(title: str, unit: str, figure: _Figure, goal: float) -> Bars:
        bars = [Bar.of(n, [figure(one) for one in d], ours=True) for n, d in restarts.items()]
        return Bars(title, unit, bars, goal=goal)

    panels = [
        panel("Until the last tab is current", "s", lambda one: one.all_current, ALL_CURRENT),
        panel("An add or remove meanwhile, p99", "ms", lambda one: 1e3 * _p99(one), 1e3 * POST),
    ]
    title = f"After a restart with {load.tabs:,} tabs open"
    return bar_chart(title, f"From when the new server is back. {machine}", panels)


def _note(load: Load, runs: int) -> str:
    return (
        f"{load.tabs:,} tabs with a two-line cart each, from addresses of their own; {runs} run(s) "
        "of each way, in goals the worst of them. The server is back when it says that it serves: "
        "tabs are refused until it listens, a moment before. A tab comes back "
        f"{AS_PAGES.delay * 1e3:.0f} ms after it lost its stream and twice as long after each "
        f"failed attempt, {AS_PAGES.longest:g} s at most, all ± {AS_PAGES.jitter:.0%} at random, "
        "as a page does; all at once: in the moment in which the port opens. "
        f"{load.rate:g} adds and removes a second are due at given moments, each timed from its "
        "moment, half of the visitors on connections that they keep; after the restart each begins "
        "with a fresh one. Refused is who called while nobody listened. The new server's CPU time "
        "is until the last tab is current, with those actions and without its start."
    )
