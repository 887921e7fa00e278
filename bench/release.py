"""`bin/bench release`: a product opens in thousands of tabs at its announced moment."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median

import click

from bench import crowd
from bench.report import Goal, Report, benchmark, values_of
from bench.sellout import SHARED
from bench.tabs import Finds, marked_cart, product_fragment

FROM_MOMENT, FROM_COMMIT = "what opens, from its moment", "… from its commit"

#: What a tab asks for: the list, which stands for the products on it; the product that opens, and
#: what shows that it has.
_PAGE, _OPENS = "/stream?list=1", "2"
_SHOWS = partial(product_fragment, product=int(_OPENS))

#: Seconds from the announcement of a moment until it comes: all tabs have heard of it by then.
_AHEAD = 8.0


@benchmark
@click.option("--tabs", default=5000, type=click.IntRange(10, 15_000), show_default=True)
@click.option("--rounds", default=5, type=click.IntRange(1, 100), show_default=True)
@click.option("--marked", is_flag=True, help="Each visitor has marked a size of it before.")
def release(tabs: int, rounds: int, marked: bool) -> Report:
    """Measure how soon all tabs show the sizes of a product after its announced moment.

    Times count from the announced moment, and from when the database was told of it. In turn with
    it, a level of the same product changes for the same tabs, and that counts from its commit.
    Other visitors act meanwhile. With --marked, each tab's visitor has marked a size: a tab counts
    when it shows that in its cart.

    \b
    Example:
      bin/bench release --tabs 1000 --rounds 3
      bin/bench release --tabs 10000 --marked
    """
    found: dict[str, list[crowd.Observed]] = {FROM_MOMENT: [], FROM_COMMIT: [], SHARED: []}
    # Nobody has a size of it in the cart: it was never open.
    with crowd.open_crowd(tabs, _PAGE, rate=20.0, marked=marked, both=False) as there:
        close = partial(there.tabs.reach, partial(there.shop.change, "close", _OPENS), _SHOWS)
        if not marked:
            close()
        for _ in range(rounds):
            opening, late = _open(there, marked_cart if marked else _SHOWS)
            columns = (column.key for column in crowd.REACH_COLUMNS)
            since_commit = {key: opening.figures[key] - late for key in columns}
            found[FROM_MOMENT].append(opening)
            found[FROM_COMMIT].append(crowd.Observed(since_commit, opening.actions))
            found[SHARED].append(there.share())
            close()
    return _report(found, tabs, marked)


def _open(there: crowd.Crowd, shows: Finds) -> tuple[crowd.Observed, float]:
    """Announce a moment, wait for it, and until all tabs show what opened.

    Returns:
        How it reached the tabs, and how many seconds after its moment it was committed.
    """
    moment = datetime.now(UTC) + timedelta(seconds=_AHEAD)
    opens = time.monotonic() + _AHEAD
    announce = partial(there.shop.change, "release", _OPENS, "--at", moment.isoformat())
    there.tabs.reach(announce, _SHOWS)
    if opens - time.monotonic() < 2.0:
        raise click.ClickException("announcing the moment took too long: try fewer tabs")
    observed = there.observe(lambda: opens, shows)
    with closing(sqlite3.connect(there.shop.server.database)) as database:
        question = "SELECT opened_at FROM products WHERE id = ?"  # milliseconds since 1970
        opened = database.execute(question, (_OPENS,)).fetchone()[0] / 1e3
    return observed, opened - moment.timestamp()


def _report(found: dict[str, list[crowd.Observed]], tabs: int, marked: bool) -> Report:
    rows = {what: crowd.row_of(ones) for what, ones in found.items()}
    lasts = {what: median(values_of(row, "last")) for what, row in rows.items()}
    first = median(values_of(rows[FROM_MOMENT], "first"))
    goals = [Goal("the moment to the first tab", first, 0.25, "ms")]
    if marked:
        goals.append(Goal("its commit to the last cart and tab", lasts[FROM_COMMIT], 3, "s"))
        p99 = max(values_of(rows[FROM_MOMENT], "p99"), default=0.0)
        goals.append(Goal("an add or remove meanwhile, p99", p99, 0.25, "ms"))
    else:
        name = "its commit to the last, as a multiple of a shared fragment's time"
        goals.append(Goal(name, lasts[FROM_COMMIT] / lasts[SHARED], 1.5, "×"))
    shown = "a marked size in its own cart" if marked else "the sizes"
    return Report(
        name="release-marked" if marked else "release",
        title=f"to {tabs:,} tabs",
        columns=(*crowd.REACH_COLUMNS, *crowd.ACTION_COLUMNS),
        rows=rows,
        goals=goals,
        bars=crowd.LAST,
        note=f"Medians and extremes of {len(found[SHARED])} rounds; a tab counts when it shows "
        f"{shown}. Moment and commit are by the database's clock, in milliseconds; a shared "
        "fragment counts from its commit.",
    )
