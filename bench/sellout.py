"""`bin/bench sellout`: one item in thousands of different carts sells out."""

from __future__ import annotations

from functools import partial
from statistics import median

import click

from bench import crowd
from bench.report import Column, Goal, Report, benchmark, in_turn, values_of
from bench.shops import PLENTY
from bench.tabs import FRONT_PAGE, own_cart

CARTS, SHARED = "each tab's own cart", "a shared fragment"

_COLUMNS = (
    *crowd.REACH_COLUMNS,
    Column("server's CPU for each tab", "cpu_per_tab", "µs"),
    Column("load client's", "client_per_tab", "µs"),
    *crowd.ACTION_COLUMNS,
)


@benchmark
@click.option("--tabs", default=10_000, type=click.IntRange(10, 15_000), show_default=True)
@click.option("--rounds", default=8, type=click.IntRange(1, 100), show_default=True)
def sellout(tabs: int, rounds: int) -> Report:
    """Measure how soon all tabs know that an item in all their carts is sold out.

    Each tab has a two-line cart of its own. An operator in another process sells out the one item
    that all of them hold; each tab must then have its own cart, with that line struck out. In turn
    with it, a fragment that is the same for all goes to the same tabs. Meanwhile other visitors add
    and remove, half of them on connections that they keep.

    \b
    Example:
      bin/bench sellout --tabs 2000 --rounds 3
    """
    found: dict[str, list[crowd.Observed]] = {CARTS: [], SHARED: []}
    with crowd.open_crowd(tabs, FRONT_PAGE) as there:
        for what in in_turn(found, rounds):
            found[what].append(_sell_out(there) if what == CARTS else there.share())
    rows = {what: crowd.row_of(ones) for what, ones in found.items()}
    own, shared = (values_of(rows[what], "last") for what in (CARTS, SHARED))
    multiple = median(one / other for one, other in zip(own, shared, strict=True))
    p99 = max(values_of(rows[CARTS], "p99"), default=0.0)
    return Report(
        name="sellout",
        title=f"to {tabs:,} tabs, from the commit",
        columns=_COLUMNS,
        rows=rows,
        goals=[
            Goal("to the last tab, each with its own cart", median(own), 1, "s"),
            Goal("… as a multiple of a shared fragment's time", multiple, 3, "×"),
            Goal("an add or remove meanwhile, p99", p99, 0.1, "ms"),
        ],
        figures={"tabs": tabs},
        bars=crowd.LAST,
        note=f"Medians and extremes of {rounds} rounds. A tab counts when all of its own cart has "
        "come, by its fingerprint, with the right line struck out; another's cart in it would end "
        f"the run. Meanwhile {crowd.RATE:g} adds and removes a second are due at given moments, "
        "each timed from its moment; the server's CPU time is with them.",
    )


def _sell_out(there: crowd.Crowd) -> crowd.Observed:
    """Have the item sell out that all carts hold, and be there again."""
    sku, item = there.scarce["sku"], there.scarce["id"]
    set_stock = partial(there.shop.set_stock, sku)
    observed = there.observe(partial(set_stock, 0), partial(own_cart, struck=item))
    there.tabs.reach(partial(set_stock, PLENTY), partial(own_cart, struck=None))
    return observed
