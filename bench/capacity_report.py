"""What is told of the model, in tables, a chart and words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from bench.capacity_charts import charts_of
from bench.charts import number
from bench.costs import COMMANDS, MESSAGES, Benchmarks, Costs
from bench.large_cases import (
    BUSY,
    DATABASE_PROCESSORS,
    POST_P99,
    PROCESSES,
    PROCESSORS,
    Carried,
    Large,
    carried,
    first_to_break,
    redis_seconds,
)
from bench.machine import Machine
from bench.report import Report
from bench.small_cases import Case, cases_table
from bench.tables import Table
from shop.db.connecting import OVERFLOW, POOL
from shop.live import TICK


def report(
    benchmarks: Benchmarks,
    costs: Costs,
    cases: Sequence[Case],
    large: Sequence[Large],
    machine: Machine,
) -> Report:
    """Put together what was reckoned, and from what."""
    tables = [
        _costs_table(costs),
        cases_table(cases),
        _large_table(costs, large),
        _limits_table(costs, large),
    ]
    return Report(
        "capacity",
        machine,
        {"shoppers": [one.plan.shoppers for one in large]},
        {"costs": costs, "small": cases, "large": large, "sources": _sources(benchmarks)},
        tables,
        charts_of(costs, large),
        note=_note(benchmarks, cases),
        document="capacity",
        how="Reckoned",
        passages={"answer": _answer(costs, large[-1])},
    )


def _costs_table(costs: Costs) -> Table:
    micro, kilo = 1e6, 1024
    rows = [
        [
            "an open tab with a cart, at its server",
            f"{costs.stream_memory / kilo:.1f} KB",
            _from(0),
        ],
        ["… at nginx, with TLS", f"{costs.proxied_memory / kilo:.0f} KB", _from(4)],
        ["opening it: the server's CPU", f"{costs.opening * 1e3:.2f} ms", _from(0)],
        ["… nginx's, TLS handshake included", f"{costs.proxied_opening * 1e3:.2f} ms", _from(4)],
        ["a product's fragment to a tab: the server's", _micro(costs.delivery), _from(0)],
        ["… nginx's", _micro(costs.proxied_delivery), _from(4)],
        ["a cart's own fragment to its tab", _micro(costs.own_delivery), _from(1)],
        ["a page", f"{costs.page * 1e3:.2f} ms", _from(3)],
        ["an add or a remove, SQLite", f"{costs.change * 1e3:.2f} ms", _from(3)],
        ["an order, SQLite", f"{costs.checkout * 1e3:.2f} ms", _from(3)],
        [
            "a purchase (add, checkout page, order): the servers'",
            f"{costs.purchase * 1e3:.1f} ms",
            _from(5),
        ],
        ["… PostgreSQL's", f"{costs.purchase_database * 1e3:.1f} ms", _from(5)],
        ["… Redis's", f"{costs.purchase_redis * 1e3:.2f} ms", _from(5)],
        ["another server's change heard: each message", _micro(costs.hearing_message), _from(4)],
        ["… each name in it", _micro(costs.hearing_name), _from(4)],
        ["Redis: a message", f"{costs.redis_message * micro:.1f} µs", _from(4)],
        ["… each process that it goes to", f"{costs.redis_subscriber * micro:.1f} µs", _from(4)],
        ["PostgreSQL: the catalogue, read once", _micro(costs.shelf_read), _from(4)],
        ["… a cart, read once", _micro(costs.cart_read), _from(4)],
        ["… one item's row, kept by a purchase", f"{costs.hot_row * 1e3:.2f} ms", _from(4)],
    ]
    return Table(["measured", "costs", "from"], rows, "What things cost, CPU time of one processor")


def _from(place: int) -> str:
    return f"{list(COMMANDS)[place]}.json"


def _micro(seconds: float) -> str:
    return f"{number(seconds * 1e6)} µs"


_Cell = Callable[[Large], str]


def _large_table(costs: Costs, large: Sequence[Large]) -> Table:
    rows: dict[str, _Cell] = {
        f"servers ({PROCESSORS} processors: {PROCESSES} of the shop's, {PROCESSES} of nginx's), "
        "one of them to spare": lambda one: f"{one.plan.servers}",
        "processes of the shop": lambda one: f"{one.plan.processes}",
        "memory of a server, one lost": lambda one: f"{one.plan.memory(costs) / 2**30:.1f} GB",
        "a release: half of all tabs have it after": lambda one: _time(one.told.half),
        "a release: the last tab, from its server": lambda one: _time(one.told.last),
        "… nginx's work for it, each process": (lambda one: _time(one.plan.nginx_seconds(costs))),
        "… bytes in all": lambda one: f"{one.plan.release_bytes(costs) / 1e9:.2f} GB",
        "… a server's line of 10 Gbit/s is busy for": (
            lambda one: _time(one.plan.line_seconds(costs))
        ),
        "a server is lost: its last tab is current after": (
            lambda one: _time(max(one.one_lost.current))
        ),
        "… an action meanwhile, p99": lambda one: _time(one.one_lost.p99),
        "all tabs come back at once: the last is current after": (
            lambda one: _time(max(one.all_back.current))
        ),
        **_carried_rows("all 26 sizes alike", lambda one: one.spread),
        **_carried_rows("one size alone", lambda one: one.one_item),
        "connections to PostgreSQL, kept and at most": (
            lambda one: (
                f"{POOL * one.plan.processes:,} / {(POOL + OVERFLOW) * one.plan.processes:,}"
            )
        ),
    }
    head = ["reckoned", *(f"{one.plan.shoppers:,} shoppers" for one in large)]
    cells = [[what, *map(cell, large)] for what, cell in rows.items()]
    return Table(head, cells, "Large loads, on the model")


def _limits_table(costs: Costs, large: Sequence[Large]) -> Table:
    """Reckon what each part bears if it is the only one with work: no model, one division each."""
    rows: dict[str, _Cell] = {
        "purchases/s: the servers' processors": (
            lambda one: f"{one.plan.processes / costs.requests:,.0f}"
        ),
        "purchases/s: a server process that does nothing but hear of them": (
            lambda one: f"{1 / (MESSAGES * costs.hearing_message):,.0f}"
        ),
        "purchases/s: Redis, to all processes": (
            lambda one: f"{1 / redis_seconds(costs, one.plan.processes):,.0f}"
        ),
        "purchases/s: PostgreSQL's processors": (
            lambda one: f"{DATABASE_PROCESSORS / costs.purchase_database:,.0f}"
        ),
        "purchases/s of one size: its row in PostgreSQL": lambda one: f"{1 / costs.hot_row:,.0f}",
        "PostgreSQL's processors, busy with looks at the shelf, 50/s by each process": (
            lambda one: f"{one.plan.processes / TICK * costs.shelf_read / DATABASE_PROCESSORS:.0%}"
        ),
        "streams opened a second: the servers": (
            lambda one: f"{one.plan.processes / costs.opening:,.0f}"
        ),
        "streams opened a second: nginx, TLS handshakes included": (
            lambda one: f"{one.plan.processes / costs.proxied_opening:,.0f}"
        ),
        "streams opened a second: PostgreSQL, a cart's reading each": (
            lambda one: f"{DATABASE_PROCESSORS / costs.cart_read:,.0f}"
        ),
        "pages a second: the servers": lambda one: f"{one.plan.processes / costs.page:,.0f}",
    }
    head = ["at most", *(f"{one.plan.shoppers:,} shoppers" for one in large)]
    cells = [[what, *map(cell, large)] for what, cell in rows.items()]
    return Table(head, cells, "Each part, if it had nothing else to do")


def _carried_rows(what: str, tried: Callable[[Large], Sequence[Carried]]) -> dict[str, _Cell]:
    def busy(part: str) -> _Cell:
        return lambda one: f"{getattr(carried(tried(one)).drop, part):.0%}"

    return {
        f"purchases/s, {what}": lambda one: f"{carried(tried(one)).rate:,g}",
        f"… {what}: an add or order, p99": lambda one: _time(carried(tried(one)).p99),
        **{f"… {what}: {name} busy": busy(part) for part, name in BUSY.items()},
        f"… {what}: breaks first": lambda one: first_to_break(tried(one)),
    }


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"


def _answer(costs: Costs, one: Large) -> str:
    plan, spread, single = one.plan, carried(one.spread), carried(one.one_item)
    return (
        f"**For {plan.shoppers:,} waiting shoppers: {_servers(plan.servers - 1)} and one to "
        f"spare**, each with {PROCESSORS} processors, {_even(plan.memory(costs) / 2**30)} GB of "
        f"memory and a line of 10 Gbit/s, running {PROCESSES} processes of the shop, and nginx "
        "beside them; "
        f"one PostgreSQL with {DATABASE_PROCESSORS} processors and a disk that keeps a commit "
        "within a millisecond; one Redis.\n\n"
        f"A release is with the last tab after {_time(plan.release_seconds(costs, one.told))}; "
        f"{plan.release_bytes(costs) / 1e9:.1f} GB go over the lines for it. When a server is "
        f"lost, its tabs are current at the others after {_time(max(one.one_lost.current))}. The "
        f"set-up sells {spread.rate:,g} pairs a second while shoppers want all sizes alike, and "
        f"{single.rate:,g} a second while they all want the same one, with 99 of 100 adds and "
        f"orders answered within {_time(POST_P99)}. What breaks first when more want to buy: "
        f"{first_to_break(one.spread)}; when all want one size: {first_to_break(one.one_item)}."
    )


def _servers(count: int) -> str:
    return f"{count} server{'s' if count > 1 else ''}"


def _even(gigabytes: float) -> int:
    """Return how much memory one buys: as much again for buffers and all else, as it is sold."""
    size = 8
    while size < 2 * gigabytes:
        size *= 2
    return size


def _sources(benchmarks: Benchmarks) -> dict[str, dict[str, object]]:
    kept = ("measured_at", "commit", "machine")
    return {
        name: {key: figures.get(key) for key in kept} for name, figures in benchmarks.files.items()
    }


def _note(benchmarks: Benchmarks, cases: Sequence[Case]) -> str:
    ratios = [case.ratio for case in cases if case.ratio]
    sources = "; ".join(_source(benchmarks))
    return (
        f"The model's figures of small loads are {median(ratios):.2f} × the measured ones "
        f"(median; {min(ratios):.2f}–{max(ratios):.2f}). Nothing here is measured by the command "
        f"that wrote it; it read: {sources}."
        f"{_of_different_commits(benchmarks)}"
    )


def _of_different_commits(benchmarks: Benchmarks) -> str:
    commits = {name: figures.get("commit") for name, figures in benchmarks.files.items()}
    if len(set(commits.values())) == 1:
        return ""
    told = ", ".join(f"{name} {commit}" for name, commit in commits.items())
    return f" **These are of different commits** ({told}): measure all of them anew."


def _source(benchmarks: Benchmarks) -> Iterator[str]:
    for name, figures in benchmarks.files.items():
        load = figures["machine"]["load_before"]
        yield f"{name} of {figures['measured_at'][:10]} (load before it {load:.1f})"
