"""Drawing the drop for a terminal of whatever size.

What a colour says is said by a word or a sign as well.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from shop.commands.screen import count
from shop.commands.snapshot import (
    Snapshot,
    mails_words,
    orders_words,
    speed_words,
    state_words,
)
from shop.commands.statistics import ItemStatistics, Statistics
from shop.presence import Overview
from shop.product_views import HIGH, LOW, MEDIUM, OUT

#: The sign after a count, and its colour, by level.
_SIGNS = {HIGH: (" ", ""), MEDIUM: ("~", ""), LOW: ("!", "yellow"), OUT: (" ", "red")}

_LEGEND = "Pieces left by size; ~ medium level, ! low level, out: sold out"

#: Below so many characters what stands beside one another is put below one another; fewer than
#: the least are not drawn for.
_NARROW, _LEAST = 60, 12

#: How many servers are listed one by one.
_MOST_SERVERS = 6


def picture(shown: Snapshot, width: int, rows: int | None) -> list[str]:
    """Draw what is seen.

    Args:
        width: of the screen, in characters.
        rows: of the screen; None where there is room for everything. What doesn't fit is
            told in fewer words: a line a product, then only those that sold most.

    Returns:
        Lines, with what a terminal takes for styles.
    """
    width = max(width, _LEAST)
    head = _lines(_head(shown, width < _NARROW), width)
    if shown.statistics is None:
        return head
    if not shown.statistics.products:
        empty = "There are no products. Next: bin/flask seed, or look at SHOP_INSTANCE"
        return [*head, *_lines(empty, width)]
    grids = _lines(Group(*_grids(shown, shown.statistics, width < _NARROW), _LEGEND), width)
    if rows is None or len(head) + len(grids) <= rows:
        return head + grids
    return head + _lines(_table(shown, shown.statistics, rows - len(head)), width)


def _lines(drawn: RenderableType, width: int) -> list[str]:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=True,
        color_system="standard",
        no_color=False,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )
    with console.capture() as drawing:
        console.print(drawn)
    return [text.rstrip() for text in drawing.get().split("\n")[:-1]]


def _head(shown: Snapshot, narrow: bool) -> RenderableType:
    moment = Text(shown.at.strftime("%Y-%m-%d %H:%M:%S %Z"), "bold")
    facts = [(Text(name, "bold"), Text(fact)) for name, fact in _facts(shown)]
    drawn: list[RenderableType] = [Text.assemble(name, "  ", fact) for name, fact in facts]
    if not narrow:
        table = Table.grid(padding=(0, 2))
        for row in facts:
            table.add_row(*row)
        drawn = [table]
    troubles = [Text(f"! {trouble}", "bold yellow") for trouble in shown.troubles]
    return Group(_beside(Text(shown.shop, "bold"), moment, narrow), *drawn, *troubles, "")


def _beside(left: Text, right: Text, narrow: bool) -> RenderableType:
    """Draw a text at each edge; of the left one what there is room for."""
    if narrow:
        return Group(left, right)
    both = Table.grid(expand=True, padding=(0, 2))
    both.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    both.add_column(justify="right")
    both.add_row(left, right)
    return both


def _facts(shown: Snapshot) -> Iterator[tuple[str, str]]:
    statistics = shown.statistics
    if statistics is not None:
        watched = shown.first is not statistics  # else it has only begun
        otherwise = f", {shown.sold_otherwise:,} otherwise since this began"
        lately = orders_words(statistics.lately, shown.currency)
        soon = (
            f"; {statistics.left_not_released:,} coming soon"
            if statistics.left_not_released
            else ""
        )
        sizes = [item for p in statistics.products if p.released for item in p.items]
        out = sum(item.level == OUT for item in sizes)
        onsale = f"{statistics.left:,} in {count(len(sizes) - out, 'size')} on sale"
        speed = f"{speed_words(shown.speed)} a second"
        yield (
            "SOLD",
            f"{speed}; {statistics.pieces_ordered:,} in orders{otherwise if watched else ''}",
        )
        yield "LEFT", f"{onsale}, {count(out, 'size')} sold out{soon}"
        yield "ORDERS", f"{orders_words(statistics.orders, shown.currency)}; last minute {lately}"
        if statistics.mails.waiting:
            yield "MAILS", f"{mails_words(statistics.mails)} to be sent"
    yield from _open_facts(shown.overview)


def _open_facts(overview: Overview) -> Iterator[tuple[str, str]]:
    servers = overview.servers
    counts = ((overview.tabs, "tab"), (overview.cart_count, "cart"), (len(servers), "server"))
    yield "OPEN", ", ".join(count(number, what) for number, what in counts)
    if len(servers) > 1:
        for server in servers[:_MOST_SERVERS]:
            carts = count(len(server.carts), "cart")
            yield "", f"{server.name}  {count(server.tabs, 'tab')}, {carts}"
        if len(servers) > _MOST_SERVERS:
            yield "", f"and {len(servers) - _MOST_SERVERS} more"


def _grids(shown: Snapshot, statistics: Statistics, narrow: bool) -> Iterator[RenderableType]:
    """Draw every size of every product."""
    cells = [_cell(item) for product in statistics.products for item in product.items]
    wide = max((line.cell_len for cell in cells for line in cell.split("\n")), default=1)
    for product in statistics.products:
        speed = f"{speed_words(shown.speed, product.id)} a second"
        counts = f"{product.left:,} left  {product.held:,} held  {product.sold:,} sold"
        facts = f"{state_words(product)}  {counts}  {speed}"
        yield _beside(Text(f"{product.sku}  {product.name}", "bold"), Text(facts), narrow)
        yield Columns(map(_cell, product.items), width=wide, align="right", padding=(0, 1))
        yield ""


def _cell(item: ItemStatistics) -> Text:
    sign, color = _SIGNS[item.level]
    pieces = Text(f"{_pieces(item)}{sign}", color)
    return Text.assemble((f"{item.size} ", "dim"), "\n", pieces, justify="right")


def _pieces(item: ItemStatistics) -> str:
    """Write a count in four characters at most."""
    if item.level == OUT:
        return "out"
    if item.available < 10_000:
        return str(item.available)
    thousands = item.available // 1000
    return f"{thousands}k" if thousands < 1000 else f"{thousands // 1000}M"


def _table(shown: Snapshot, statistics: Statistics, rows: int) -> RenderableType:
    """Draw a line for each product, those that sold most since the watch began come first."""
    pace = shown.pace
    products = sorted(statistics.products, key=lambda p: (-pace.get(p.id, 0.0), not p.released))
    fitting = rows - 1 if len(products) < rows else max(1, rows - 2)
    chosen, rest = products[:fitting], products[fitting:]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("PRODUCT", no_wrap=True, overflow="ellipsis")
    table.add_column("STATE", no_wrap=True)
    for name in ("LEFT", "SOLD/S", "HIGH", "MEDIUM", "LOW", "OUT"):
        table.add_column(name, justify="right", no_wrap=True)
    for product in chosen:
        levels = [Text(str(number), _SIGNS[level][1] if number else "")
                  for level in _SIGNS for number in [product.at_level(level)]]  # fmt: skip
        speed = speed_words(shown.speed, product.id)
        table.add_row(product.sku, state_words(product), f"{product.left:,}", speed, *levels)
    if not rest:
        return table
    left = sum(product.left for product in rest)
    return Group(table, Text(f"and {len(rest):,} more products, {left:,} left"))
