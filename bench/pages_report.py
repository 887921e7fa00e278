"""What is printed and drawn of pages, changes and purchases."""

from __future__ import annotations

from dataclasses import asdict

from bench.charts import Bar, Bars, bar_chart, middle, spread
from bench.goals import Goal, goals_table
from bench.machine import Machine
from bench.neighbours import Neighbours
from bench.report import Report
from bench.tables import Table
from bench.visits import BARE, CHANGE, CHECKOUT, NONE, OPEN, PAGE, Load, Round, Slice

#: What must hold: requests a second, as a share of the bare route's; and by what part that may be
#: less with streams open.
OF_BARE = {PAGE: 0.5, CHANGE: 0.2, CHECKOUT: 0.1}
WITHIN = 0.1

#: What Nagle's algorithm and delayed acknowledgements would add to each answer, in seconds.
NAGLE = 0.040

_NAMES = {PAGE: "GET /", CHANGE: "add, remove", CHECKOUT: "checkout"}

#: Under which of the clients' kinds the times of each are, and in what they were measured.
_KINDS = {
    "GET /": (PAGE, "GET /"),
    "add": (CHANGE, "add"),
    "remove": (CHANGE, "remove"),
    "checkout": (CHECKOUT, "checkout"),
}


def report_on(
    machine: Machine,
    load: Load,
    rounds: list[Round],
    alone: dict[str, Slice],
    neighbours: Neighbours,
) -> Report:
    """Put together what rounds came to, and a visitor alone."""
    goals = [*_of_bare(rounds), *_with_streams(load, rounds)]
    return Report(
        name="pages",
        machine=machine,
        options=asdict(load),
        figures={
            "goals": goals,
            "neighbours": neighbours.share(),
            "rates": _rates(rounds),
            "rounds": rounds,
            "alone": alone,
        },
        tables=[
            goals_table(goals),
            _rates_table(load, rounds),
            _times_table(load, rounds),
            _alone_table(alone),
        ],
        charts={"pages": _chart(machine, load, rounds)},
        note=f"{_note(load, alone)} {neighbours.sentence()}",
    )


def _of_bare(rounds: list[Round]) -> list[Goal]:
    return [
        Goal(
            f"{_NAMES[what]}: requests a second, of the bare route's",
            middle([one.of_bare(what, NONE) for one in rounds]),
            allowed,
            "×",
            at_least=True,
        )
        for what, allowed in OF_BARE.items()
    ]


def _with_streams(load: Load, rounds: list[Round]) -> list[Goal]:
    """Compare rates, which is what shoppers get; and CPU times, which others here don't disturb."""
    streams = f"with {load.streams:,} streams, of that with none"
    return [
        goal
        for what, name in _NAMES.items()
        for goal in (
            Goal(
                f"{name}: requests a second {streams}",
                middle([one.rate(what, OPEN) / one.rate(what, NONE) for one in rounds]),
                1 - WITHIN,
                "×",
                at_least=True,
            ),
            Goal(
                f"{name}: server CPU {streams}",
                middle([one.cpu(what, OPEN) / one.cpu(what, NONE) for one in rounds]),
                1 + WITHIN,
                "×",
            ),
        )
    ]


def _rates(rounds: list[Round]) -> dict[str, dict[str, list[float]]]:
    """Return requests a second of each round, by what and where."""
    return {
        what: {where: [one.rate(what, where) for one in rounds] for where in (BARE, NONE, OPEN)}
        for what in _NAMES
    }


def _rates_table(load: Load, rounds: list[Round]) -> Table:
    def row(what: str, where: str) -> list[str]:
        cpu = [one.cpu(what, where) for one in rounds]
        of_bare = [one.cpu(what, where) / one.cpu(what, BARE) for one in rounds]
        return [
            f"{_NAMES[what]}, {_where(load, where)}",
            spread([one.rate(what, where) for one in rounds], digits=0),
            spread([one.of_bare(what, where) for one in rounds], "×", 2),
            spread([1e3 * seconds for seconds in cpu], "ms", 2),
            spread(of_bare, "×", 1),
        ]

    head = ["requests", "per second", "of the bare route's", "server CPU", "of the bare route's"]
    return Table(head, [row(what, where) for what in _NAMES for where in (NONE, OPEN)])


def _where(load: Load, where: str) -> str:
    return {NONE: "none open", OPEN: f"{load.streams:,} open"}[where]


def _times_table(load: Load, rounds: list[Round]) -> Table:
    rows = []
    bare = [one.slices[PAGE][BARE] for one in rounds]
    rows.append(["bare route", *_times(bare, "bare route")])
    for kind, (what, told_as) in _KINDS.items():
        for where in (NONE, OPEN):
            slices = [one.slices[what][where] for one in rounds]
            rows.append([f"{kind}, {_where(load, where)}", *_times(slices, told_as)])
    return Table(["answered after", "p50", "p99", "client CPU", "server busy"], rows)


def _times(slices: list[Slice], kind: str) -> list[str]:
    """Return medians over all slices, as cells."""
    p50 = middle([one.p50[kind] for one in slices])
    p99 = middle([one.p99[kind] for one in slices])
    client = middle([one.client_cpu for one in slices])
    busy = middle([one.busy for one in slices])
    return [*(f"{1e3 * seconds:.2f} ms" for seconds in (p50, p99, client)), f"{busy:.0%}"]


def _alone_table(alone: dict[str, Slice]) -> Table:
    rows = [
        ["bare route", *_times([alone[BARE]], "bare route")],
        ["GET /", *_times([alone[NONE]], "GET /")],
    ]
    return Table(["one visitor alone", "p50", "p99", "client CPU", "server busy"], rows)


def _chart(machine: Machine, load: Load, rounds: list[Round]) -> str:
    def bars(what: str) -> list[Bar]:
        return [
            Bar.of(_where(load, where), [one.of_bare(what, where) for one in rounds], ours=True)
            for where in (NONE, OPEN)
        ]

    panels = [
        Bars(f"{name}: requests per second", "× bare", bars(what), OF_BARE[what], at_least=True)
        for what, name in _NAMES.items()
    ]
    title = "Requests per second, beside a bare Flask route"
    return bar_chart(title, f"Medians and extremes of {load.rounds} rounds. {machine}", panels)


def _note(load: Load, alone: dict[str, Slice]) -> str:
    p50 = alone[NONE].p50["GET /"]
    waits = "a wait" if p50 >= NAGLE else "no wait"
    return (
        f"{load.connections} visitors, each waiting for its answer before it asks again; "
        f"{load.rounds} rounds of slices of {load.seconds:g} s in turn, medians and extremes of "
        "them. Shares are of rates in the same round. The rate is a script's own: adds and removes "
        "alternate in theirs, and count alike. A checkout alternates with an add; what an add "
        "takes, by the slice of adds and removes in the same round, is taken off its time, and off "
        "its CPU time. The streams are at one of two shops, halfway at the other. There is "
        f"{waits} of {1e3 * NAGLE:.0f} ms for acknowledgements between keep-alive answers: p50 of "
        f"a page alone is {1e3 * p50:.2f} ms."
    )
