"""What is printed and drawn of an item that sells out in thousands of carts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from bench.actions import Action, quantile, times_cells
from bench.charts import Bar, Bars, bar_chart, middle, spread
from bench.goals import Goal, goals_table
from bench.machine import Machine
from bench.neighbours import Neighbours
from bench.report import Report
from bench.sale import CARTS, SHARED, Load, Told
from bench.tables import Table

#: What must hold: seconds until the last tab has its cart, that as a multiple of the time that a
#: shared fragment takes to as many, and seconds until a POST is answered meanwhile, p99.
LAST, MULTIPLE, POST = 1.0, 3.0, 0.100

_NAMES = {CARTS: "each tab's own cart", SHARED: "a shared fragment"}


def report_on(
    machine: Machine,
    load: Load,
    told: list[Told],
    opened: dict[str, Any],
    neighbours: Neighbours,
) -> Report:
    """Put together what was told of in all rounds.

    Args:
        opened: what opening the tabs took, see `Sale.open`.
    """
    ways = {what: [one for one in told if one.what == what] for what in _NAMES}
    multiples = [
        own.last / shared.last for own, shared in zip(ways[CARTS], ways[SHARED], strict=True)
    ]
    posts = [action.took for own in ways[CARTS] for action in own.during]
    goals = _goals(load, ways, multiples, posts)
    return Report(
        name="sellout",
        machine=machine,
        options=asdict(load),
        figures={
            "goals": goals,
            "neighbours": neighbours.share(),
            "opened": opened,
            "multiples": multiples,
            "told": told,
        },
        tables=[goals_table(goals), _tabs_table(load, ways), _posts_table(ways)],
        charts={"sellout": _chart(machine, load, ways, multiples)},
        note=f"{_note(load)} {neighbours.sentence()}",
    )


def _goals(
    load: Load, ways: dict[str, list[Told]], multiples: list[float], posts: list[float]
) -> list[Goal]:
    last = middle([own.last for own in ways[CARTS]])
    tabs = f"{load.tabs:,} tabs"
    return [
        Goal(f"sold out in {tabs}, each with its own cart: the last one has it", last, LAST, "s"),
        Goal("… as a multiple of a shared fragment to as many", middle(multiples), MULTIPLE, "×"),
        Goal("an add or remove during that, p99", 1e3 * quantile(posts, 0.99), 1e3 * POST, "ms"),
    ]


def _tabs_table(load: Load, ways: dict[str, list[Told]]) -> Table:
    def row(label: str, figure: Callable[[Told], float], unit: str, digits: int = 0) -> list[str]:
        values = ([figure(one) for one in told] for told in ways.values())
        return [label, *(spread(of_way, unit, digits) for of_way in values)]

    rows = [
        row("commit to the first tab", lambda one: 1e3 * one.first, "ms"),
        row("commit to half of them", lambda one: 1e3 * one.half, "ms"),
        row("commit to the last", lambda one: 1e3 * one.last, "ms"),
        row("server CPU for each tab", lambda one: 1e6 * one.cpu / load.tabs, "µs", 1),
        row("what it had of a processor", lambda one: 100 * one.busy, "%"),
        row("the client's CPU for each", lambda one: 1e6 * one.client_cpu / load.tabs, "µs", 1),
    ]
    return Table(["to all tabs", *(_NAMES[what] for what in ways)], rows)


def _posts_table(ways: dict[str, list[Told]]) -> Table:
    moments = {
        "while carts go out": [a for one in ways[CARTS] for a in one.during],
        "while a shared fragment goes out": [a for one in ways[SHARED] for a in one.during],
        "while nothing does": [a for told in ways.values() for one in told for a in one.before],
    }
    rows = [
        [f"{moment}, {words}", *_cells([a for a in actions if a.reused == reused])]
        for moment, actions in moments.items()
        for reused, words in ((True, "kept connection"), (False, "fresh one"))
    ]
    return Table(["an add or remove", "times", "p50", "p99", "max", "not answered 200"], rows)


def _cells(actions: Sequence[Action]) -> list[str]:
    return [*times_cells(actions), str(sum(not action.was_done for action in actions))]


def _chart(
    machine: Machine, load: Load, ways: dict[str, list[Told]], multiples: list[float]
) -> str:
    def bars(figure: Callable[[Told], float]) -> list[Bar]:
        return [
            Bar.of(_NAMES[what], [figure(one) for one in told], ours=what == CARTS)
            for what, told in ways.items()
        ]

    def slowest(one: Told) -> float:
        return 1e3 * max([action.took for action in one.during], default=0.0)

    multiple = Bar.of("time to the last tab", multiples, ours=True)
    panels = [
        Bars("Commit to the last tab", "s", bars(lambda one: one.last), goal=LAST),
        Bars("Carts as a multiple of the shared fragment", "×", [multiple], goal=MULTIPLE),
        Bars("Server CPU for each tab", "µs", bars(lambda one: 1e6 * one.cpu / load.tabs)),
        Bars("The slowest add or remove meanwhile", "ms", bars(slowest), goal=1e3 * POST),
    ]
    title = f"One item in {load.tabs:,} different carts sells out"
    return bar_chart(title, f"Medians and extremes of {load.rounds} rounds. {machine}", panels)


def _note(load: Load) -> str:
    return (
        f"{load.tabs:,} tabs watch both products and a two-line cart each, all from addresses of "
        f"their own; medians and extremes of {load.rounds} rounds. A tab counts when all of its "
        "own cart has come, by its fingerprint, with the right line struck out; another's cart in "
        "it would end the run. The shared fragment goes to the same tabs, in turn with that. "
        f"Meanwhile {load.rate:g} adds and removes a second are due at given moments, each timed "
        "from its moment. With two processors the tabs' client and the visitors' share the one "
        "that the server leaves; the tabs' client gives way (nice 10). The server's CPU time is "
        "with these actions, from before the operator's command until the last tab had it."
    )
