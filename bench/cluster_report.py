"""What is printed of a shop on several servers."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass

import click

from bench.drop import Drop
from bench.errands import BOUGHT
from bench.one_cart import Delays
from bench.report import print_table
from bench.samples import Profile

#: What must hold in a drop, in seconds: from a commit to the tabs that show it, p99.
IN_A_DROP = 0.500

#: Rows of a profile.
_ROWS = 30


@dataclass(frozen=True)
class Tabs:
    """How soon all tabs of one cart had a change."""

    name: str
    #: p95, in seconds
    goal: float
    delays: Delays


def print_tabs(carts: list[Tabs]) -> None:
    """Print how soon all tabs had a change."""
    rows = []
    for cart in carts:
        ways = {
            "request to all tabs": cart.delays.from_request,
            "answer to all tabs": cart.delays.from_answer,
            "answer to the other servers'": cart.delays.elsewhere,
        }
        for way, delays in ways.items():
            if delays:
                goal = cart.goal if way == "request to all tabs" else None
                rows.append([f"{cart.name}: {way}", *_times(delays, 0.95, goal)])
    if rows:
        print_table(["a change of one cart", "times", "p50", "p95", "max", "goal p95", ""], rows)


def print_drop(drop: Drop) -> None:
    """Print what a drop came to."""
    _print_load(drop)
    _print_ledger(drop)
    _print_delays(drop)
    _print_cpu(drop)


def _print_load(drop: Drop) -> None:
    load = drop.load
    way = "order, from the checkout page" if load.at_checkout else "add, checkout page, order"
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in drop.outcomes.items())
    click.echo(
        f"\n{load.streams:,} streams on {load.servers} servers; {load.rate:g} purchases/s ({way}) "
        f"offered for {load.seconds:g} s, {drop.achieved:.1f}/s made: {outcomes}.\n"
        "Every shopper has an address of their own (127.1.x.y), so that the limits on actions "
        "stay on as they are.\n"
    )


def _print_ledger(drop: Drop) -> None:
    books = drop.ledger
    sizes = f"{books.sold_out} sizes sold out"
    rows = [
        ["pieces that left the shelf", f"{books.sold:,}", sizes],
        ["order lines", f"{books.ordered:,}", _holds(books.ordered == books.sold)],
        ["items oversold, or sold and not ordered", *_none(books.wrong_items)],
        ["purchases answered as made, not in the orders", *_none(books.lost)],
        ["orders that no answer told of in time", f"{books.unheard:,}", ""],
        ["tabs with a wrong cart afterwards", *_none(range(books.wrong_carts))],
        ["tabs with wrong sizes afterwards", *_none(range(books.wrong_stock))],
        ["purchases never shown in the shopper's tab", *_none(range(drop.never_emptied))],
        ["sold-out sizes never shown, tab by tab", *_none(range(drop.never_sold_out))],
    ]
    print_table(["the books", "", ""], rows)


def _print_delays(drop: Drop) -> None:
    delays, rows = drop.delays, []
    to_tabs = {
        "commit to the shopper's tab, same server": (delays.here, IN_A_DROP),
        "commit to the shopper's tab, another server": (delays.elsewhere, IN_A_DROP),
        "purchase's answer to the shopper's tab": (delays.from_answer, IN_A_DROP),
        "last piece's commit to every tab": (delays.sold_out, IN_A_DROP),
        "purchase, from when it was due": (delays.purchases, None),
        "load client late for what was due": (delays.client_late, None),
    }
    for name, (times, goal) in to_tabs.items():
        if times:
            rows.append([name, *_times(times, 0.99, goal)])
    for kind, times in delays.answers.items():
        rows.append([f"request: {kind}", *_times(times, 0.99, None)])
    click.echo()
    print_table(["time", "times", "p50", "p99", "max", "goal p99", ""], rows)


def _print_cpu(drop: Drop) -> None:
    made = max(1, drop.outcomes.get(BOUGHT, 0))
    rows = [
        [
            part,
            f"{seconds:.1f} s",
            f"{seconds / drop.lasted:.0%}",
            f"{seconds / made * 1000:.2f} ms",
        ]
        for part, seconds in drop.cpu.items()
    ]
    click.echo()
    print_table(["CPU time", "in the drop", "of a processor", "per purchase made"], rows)


def print_profile(profile: Profile, drop: Drop) -> None:
    """Print where the servers' time went, and what PostgreSQL was asked."""
    made = max(1, drop.outcomes.get(BOUGHT, 0))
    each = drop.cpu["servers"] / made * 1000

    def rows(shares: dict[str, float]) -> list[list[str]]:
        few = list(shares.items())[:_ROWS]
        return [[name, f"{share:.1%}", f"{share * each:.2f} ms"] for name, share in few]

    click.echo()
    print_table(
        ["servers' CPU, by package at work", "share", "per purchase"], rows(profile.packages)
    )
    click.echo()
    print_table(
        ["by the shop's function, with all below", "share", "per purchase"], rows(profile.functions)
    )
    click.echo()
    asked = [
        [one.text[:90], f"{one.calls / made:.2f}", f"{one.seconds / one.calls * 1000:.3f} ms"]
        for one in drop.statements[:_ROWS]
    ]
    print_table(["PostgreSQL was asked", "times per purchase", "took"], asked)


def _times(times: list[float], quantile: float, goal: float | None) -> list[str]:
    inner = sorted(times)
    high = inner[min(len(inner) - 1, int(len(inner) * quantile))]
    shown = [f"{seconds * 1000:.0f} ms" for seconds in (inner[len(inner) // 2], high, inner[-1])]
    verdict = ["", ""] if goal is None else [f"{goal * 1000:.0f} ms", _holds(high < goal)]
    return [f"{len(inner):,}", *shown, *verdict]


def _none(found: Sized) -> list[str]:
    return [f"{len(found):,}", _holds(not len(found))]


def _holds(does: bool) -> str:
    return "holds" if does else "does not hold"
