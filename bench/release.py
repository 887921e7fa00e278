"""`bin/bench release`: a product opens in thousands of tabs at its announced moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import click

from bench.background import VISITORS, arrive
from bench.machine import OtherWork, allow_files
from bench.processes import client
from bench.report import Goal, Report, into_option, spread
from bench.sellout import SHARED, Broadcast, Sale
from bench.shops import DELIVERY, LIST_PAGE, open_shop, open_tabs, pairs

OPENING = "a product that opens"

#: Seconds from the announcement of a moment until it comes: all tabs have heard of it by then.
_AHEAD = 8.0


class Openings(Sale):
    """A shop with open tabs, in which a product closes and opens again and again."""

    def open(self, sku: str) -> Broadcast:
        """Announce a moment, wait for it, and until all tabs show the sizes."""
        self._crowd.send("expect_product", timeout=DELIVERY, product=2)
        self._shop.command("close", sku)
        self._crowd.answer(2 * DELIVERY)
        self._crowd.send("expect_product", timeout=DELIVERY, product=2)
        moment = datetime.now(UTC) + timedelta(seconds=_AHEAD)
        opens = time.monotonic() + _AHEAD
        self._shop.command("release", sku, "--at", moment.isoformat())
        self._crowd.answer(2 * DELIVERY)
        left = opens - time.monotonic()
        if left < 2.0:
            raise click.ClickException("announcing the moment took too long: try fewer tabs")
        return self._tell(lambda: opens, "expect_product", product=2)

    def share(self) -> Broadcast:
        """Tell all tabs of a level of the product."""
        return self._share()


@click.command()
@click.option("--tabs", default=5000, type=click.IntRange(10, 15_000), show_default=True)
@click.option("--rounds", default=5, type=click.IntRange(1, 100), show_default=True)
@click.option("--rate", default=20.0, type=click.FloatRange(1, 1000), show_default=True)
@into_option
def release(tabs: int, rounds: int, rate: float, into: Path) -> None:
    """Measure how soon all tabs show the sizes of a product after its announced moment.

    Times count from the announced moment. In turn with it, a level of the same product changes for
    the same tabs, and that counts from its commit. Other visitors act RATE times a second.

    \b
    Example:
      bin/bench release --tabs 1000 --rounds 3
    """
    allow_files(tabs + VISITORS)
    others = OtherWork()
    found: dict[str, list[Broadcast]] = {OPENING: [], SHARED: []}
    with open_shop(tabs) as shop, client() as crowd, client() as visitors:
        crowd.do("give_way")
        click.echo(f"{tabs:,} tabs open …", err=True)
        open_tabs(crowd, shop, LIST_PAGE, pairs(shop, tabs, holding=shop.items()[0]["id"]))
        arrive(visitors, shop)
        sale = Openings(shop, crowd, visitors, rate)
        for number in range(rounds):
            click.echo(f"round {number + 1} of {rounds} …", err=True)
            found[SHARED].append(sale.share())
            found[OPENING].append(sale.open("OST-KILN"))
        crowd.do("leave")
    _report(found, tabs).publish(into, others)


def _report(found: dict[str, list[Broadcast]], tabs: int) -> Report:
    ways = {"the first tab": "first", "half of them": "half", "the last": "last"}
    rows = [
        [what, *(spread([getattr(one, way) for one in ones], "ms", 1e3) for ones in found.values())]
        for what, way in ways.items()
    ]
    lasts = {what: median(one.last for one in ones) for what, ones in found.items()}
    first = median(one.first for one in found[OPENING])
    multiple = lasts[OPENING] / lasts[SHARED]
    return Report(
        name="release",
        head=[f"to {tabs:,} tabs", *found],
        rows=rows,
        goals=[
            Goal("the moment to the first tab", 1e3 * first, 250, "ms"),
            Goal("to the last, as a multiple of a shared fragment's time", multiple, 1.5, "×"),
        ],
        figures={"tabs": tabs, "first": first, "multiple": multiple, "last": lasts},
        bars={what: 1e3 * last for what, last in lasts.items()},
        bars_title=f"To the last of {tabs:,} tabs, ms",
        note=f"Medians and extremes of {len(found[OPENING])} rounds. What opens counts from "
        "its announced moment, by the database's clock; a shared fragment from its commit.",
    )
