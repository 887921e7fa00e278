"""`bin/bench pages`: what pages, adds and purchases cost, beside a route that does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import click

from bench.machine import Machine
from bench.processes import Client, Server, client, server
from bench.report import json_option, print_table, write_json
from bench.shops import open_shop

#: What Nagle's algorithm and delayed acknowledgements would add to each answer, in seconds.
NAGLE = 0.040


@dataclass(frozen=True)
class Row:
    """One kind of request. Times in seconds."""

    name: str
    connections: int
    per_second: float
    p50: float
    p99: float
    #: the server's CPU time for a request; for all kinds of one script together where they mix
    cpu: float
    #: the load client's own
    client_cpu: float

    def beside(self, bare: Row) -> dict[str, float]:
        """Return this as a multiple of the bare route's."""
        return {
            "per_second": self.per_second / bare.per_second,
            "p50": self.p50 / bare.p50,
            "cpu": self.cpu / bare.cpu,
        }


@click.command()
@click.option(
    "--seconds",
    default=5.0,
    type=click.FloatRange(0.5, 60),
    show_default=True,
    help="For each of the six measurements.",
)
@click.option(
    "--connections",
    default=8,
    type=click.IntRange(1, 200),
    show_default=True,
    help="Visitors that act at the same time.",
)
@json_option
def pages(seconds: float, connections: int, file: Path | None) -> None:
    """Measure pages, adds, removes and purchases: rate, time to the answer, CPU time.

    Visitors on keep-alive connections ask the real shop, then a bare Flask route under the same
    server class. Takes half a minute.

    \b
    Example:
      bin/bench pages --seconds 3 --connections 16 --json pages.json
    """
    machine = Machine.here()
    with _servers() as (shop, bare), client("bench.visitors") as visitors:
        visit = _Visit(visitors, seconds)
        route = visit(bare, "bare_route", connections)["bare route"]
        alone = visit(bare, "bare_route", 1)["bare route"]
        page = visit(shop, "front_page", connections)["GET /"]
        page_alone = visit(shop, "front_page", 1)["GET /"]
        changes = visit(shop, "adds_and_removes", connections)
        purchases = visit(shop, "purchases", connections)
    checkout = _without(purchases["checkout"], changes["add"])
    rows = [page, changes["add"], changes["remove"], checkout]
    _print(rows, route, page_alone, alone, seconds, machine)
    if file is not None:
        write_json(
            file,
            machine=machine,
            seconds=seconds,
            bare=[asdict(route), asdict(alone)],
            shop=[{**asdict(row), "beside_bare": row.beside(route)} for row in rows],
            one_connection={**asdict(page_alone), "beside_bare": page_alone.beside(alone)},
        )


@contextmanager
def _servers() -> Iterator[tuple[Server, Server]]:
    with open_shop() as shop, server("-m", "bench.servers.bare") as bare:
        yield shop.server, bare


@dataclass(frozen=True)
class _Visit:
    """Has visitors act at a server, and makes rows of what they tell."""

    visitors: Client
    seconds: float

    def __call__(self, to: Server, script: str, connections: int) -> dict[str, Row]:
        click.echo(f"{script}, {connections} connections …", err=True)
        told = self.visitors.do(
            self.seconds + 60,
            do="visit",
            port=to.port,
            pid=to.pid,
            script=script,
            connections=connections,
            seconds=self.seconds,
        )
        return {kind: _row(kind, connections, told) for kind in told["times"]}


def _row(kind: str, connections: int, told: dict[str, Any]) -> Row:
    times = told["times"][kind]
    answers = sum(map(len, told["times"].values()))
    if len(times) < 2:
        raise click.ClickException(f"{kind}: too few answers to measure; give more --seconds")
    return Row(
        name=kind,
        connections=connections,
        per_second=len(times) / told["seconds"],
        p50=median(times),
        p99=quantiles(times, n=100)[98],
        cpu=told["cpu"] / answers,
        client_cpu=told["client_cpu"] / answers,
    )


def _without(checkout: Row, add: Row) -> Row:
    """Return the checkouts' row, its CPU time without that of the adds between them.

    Those were measured together, one to one; an add costs what it and a remove cost on average.
    """
    return Row(**{**asdict(checkout), "cpu": 2 * checkout.cpu - add.cpu})


def _print(
    rows: list[Row], bare: Row, page_alone: Row, alone: Row, seconds: float, machine: Machine
) -> None:
    head = ["request", "per second", "p50", "p99", "server CPU", "client CPU"]
    head += ["CPU/bare", "p50/bare"]
    print_table(head, [[row.name, *_cells(row, bare)] for row in (bare, *rows)])
    click.echo("\nOne connection:")
    print_table(head, [[row.name, *_cells(row, alone)] for row in (alone, page_alone)])
    waits = "a wait" if page_alone.p50 >= NAGLE else "no wait"
    click.echo(
        f"\nThere is {waits} of {NAGLE * 1000:.0f} ms for acknowledgements between keep-alive "
        f"answers: p50 is {page_alone.p50 * 1000:.2f} ms.\n"
        f"{bare.connections} connections, {seconds:g} s each. Adds and removes alternate, so there "
        "are as many requests again;\ntheir CPU time is that of both on average. A checkout "
        "alternates with an add, whose CPU time is taken off.\n"
        f"{machine}"
    )


def _cells(row: Row, bare: Row) -> list[str]:
    beside = row.beside(bare)
    return [
        f"{row.per_second:,.0f}",
        *(f"{seconds * 1000:.2f} ms" for seconds in (row.p50, row.p99, row.cpu, row.client_cpu)),
        *(f"{beside[name]:.1f}" for name in ("cpu", "p50")),
    ]
