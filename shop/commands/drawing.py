"""Drawing the drop for a terminal.

What a colour says is said by a word or a sign as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import click

from shop.commands.screen import count, cut, warning
from shop.inventory import HIGH, LOW, MEDIUM, OUT
from shop.money import format_money
from shop.presence import Overview
from shop.tally import ItemTally, OrdersTally, ProductTally, Tally

#: The sign after a count, and its colour, by level.
_SIGNS = {HIGH: (" ", None), MEDIUM: ("~", None), LOW: ("!", "yellow"), OUT: (" ", "red")}

_LEGEND = " Pieces left by size; ~ medium level, ! low level, out: sold out"

#: How many servers are told of one by one.
_MOST_SERVERS = 6


@dataclass(frozen=True)
class Look:
    """What there is to be seen at one moment."""

    shop: str
    #: ISO 4217, for sums of nothing
    currency: str
    at: datetime
    overview: Overview
    #: the newest counts; None before the first
    tally: Tally | None
    #: pieces sold a second, by product id; None where that isn't known
    speed: dict[int, float] | None = None
    #: the same since the first look
    pace: dict[int, float] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


def line(look: Look) -> str:
    """Write a look as one line, for a file."""
    told = [look.at.strftime("%Y-%m-%dT%H:%M:%SZ")]
    if look.tally is not None:
        told.append(f"left {look.tally.left}")
        told.append(f"sold/s {_speed(look.speed)}")
        told.append(f"orders {_orders(look.tally.orders, look.currency)}")
        told.append(f"last minute {_orders(look.tally.lately, look.currency)}")
    overview = look.overview
    told.append(f"tabs {overview.tabs}")
    told.append(f"carts {overview.cart_count}")
    told.append(f"servers {len(overview.servers)}")
    return "  ".join([*told, *(f"! {trouble}" for trouble in look.troubles)])


def picture(look: Look, width: int, rows: int | None) -> list[str]:
    """Draw a look.

    Args:
        width: of the screen, in characters.
        rows: of the screen; None where there is room for everything. What doesn't fit is
            told in fewer words: a line a product, then only those that sold most.
    """
    head = [*_head(look, width), ""]
    if look.tally is None:
        return head[:-1]
    if not look.tally.products:
        return [*head, "There are no products. Next: bin/flask seed"]
    grids = [*_grids(look, look.tally, width), _LEGEND]
    if rows is None or len(head) + len(grids) <= rows:
        return head + grids
    return head + _table(look, look.tally, rows - len(head))


def _head(look: Look, width: int) -> Iterator[str]:
    moment = look.at.strftime("%Y-%m-%d %H:%M:%S UTC")
    yield _bold(f"{look.shop[: width - len(moment) - 2]:<{width - len(moment) - 1}}{moment}")
    if look.tally is not None:
        yield from _numbers(look.tally, look)
    yield from _open(look.overview)
    yield from (warning(trouble) for trouble in look.troubles)


def _numbers(tally: Tally, look: Look) -> Iterator[str]:
    items = [item for product in tally.products for item in product.items]
    out = sum(item.level == OUT for item in items)
    left = f"{tally.left:,} in {count(len(items) - out, 'size')}, {out} sold out"
    yield f"{_bold('SOLD  ')}  {_speed(look.speed) + ' a second':<28}{_bold('LEFT')}  {left}"
    orders = _orders(tally.orders, look.currency)
    lately = _orders(tally.lately, look.currency)
    yield f"{_bold('ORDERS')}  {orders:<28}{_bold('LAST MINUTE')}  {lately}"


def _open(overview: Overview) -> Iterator[str]:
    servers = overview.servers
    told = [count(overview.tabs, "tab"), count(overview.cart_count, "cart")]
    yield f"{_bold('OPEN  ')}  {', '.join([*told, count(len(servers), 'server')])}"
    if len(servers) > 1:
        for server in servers[:_MOST_SERVERS]:
            counts = f"{count(server.tabs, 'tab')}, {count(server.carts, 'cart')}"
            yield cut(f"        {server.name:<26}  {counts}")
        if len(servers) > _MOST_SERVERS:
            yield f"        and {len(servers) - _MOST_SERVERS} more"


def _grids(look: Look, tally: Tally, width: int) -> Iterator[str]:
    """Draw every size of every product."""
    products = tally.products
    cell = max((max(len(i.size), len(_pieces(i))) for p in products for i in p.items), default=4)
    cell += 2
    across = max(1, (width - 1) // cell)
    for product in products:
        yield _title(product, look, width)
        for start in range(0, len(product.items), across):
            some = product.items[start : start + across]
            yield _dim(" " + "".join(f"{item.size:>{cell - 1}} " for item in some))
            yield " " + "".join(_count(item, cell) for item in some)
        yield ""


def _title(product: ProductTally, look: Look, width: int) -> str:
    speed = _speed(look.speed, product.id)
    right = f"{_state(product):>11}  {product.left:>9,} left  {speed:>7} a second"
    room = width - len(right) - 1
    return _bold(f"{f'{product.sku}  {product.name}'[: room - 1]:<{room}}") + right


def _count(item: ItemTally, cell: int) -> str:
    sign, color = _SIGNS[item.level]
    return click.style(f"{_pieces(item):>{cell - 1}}{sign}", fg=color)


def _pieces(item: ItemTally) -> str:
    """Write a count in four characters at most."""
    if item.level == OUT:
        return "out"
    if item.available < 10_000:
        return str(item.available)
    thousands = item.available // 1000
    return f"{thousands}k" if thousands < 1000 else f"{thousands // 1000}M"


def _table(look: Look, tally: Tally, rows: int) -> list[str]:
    """Draw a line for each product, those that sold most since the first look come first."""
    products = sorted(tally.products, key=lambda p: (-look.pace.get(p.id, 0.0), not p.released))
    fitting = rows - 1 if len(products) < rows else max(1, rows - 2)
    shown, rest = products[:fitting], products[fitting:]
    lines = [_bold(_HEADING), *(_row(product, look) for product in shown)]
    if rest:
        lines.append(f"and {len(rest):,} more products, {sum(p.left for p in rest):,} left")
    return lines


_HEADING = (
    f"{'PRODUCT':<20}  {'STATE':<11}  {'LEFT':>9}  {'SOLD/S':>6}"
    f"  {'HIGH':>4} {'MEDIUM':>6} {'LOW':>4} {'OUT':>4}"
)


def _row(product: ProductTally, look: Look) -> str:
    counts = {level: product.at_level(level) for level in _SIGNS}
    return (
        f"{product.sku[:20]:<20}  {_state(product):<11}  {product.left:>9,}"
        f"  {_speed(look.speed, product.id):>6}"
        f"  {counts[HIGH]:>4} {counts[MEDIUM]:>6} "
        + _colored(counts[LOW], "yellow")
        + " "
        + _colored(counts[OUT], "red")
    )


def _colored(number: int, color: str) -> str:
    return click.style(f"{number:>4}", fg=color if number else None)


def _state(product: ProductTally) -> str:
    if not product.released:
        return "coming soon"
    return "on sale" if product.left else "sold out"


def _speed(speed: dict[int, float] | None, product_id: int | None = None) -> str:
    if speed is None:
        return "–"
    pieces = sum(speed.values()) if product_id is None else speed.get(product_id, 0.0)
    return f"{pieces:,.0f}" if pieces >= 10 or pieces == 0 else f"{pieces:.1f}"


def _orders(orders: OrdersTally, currency: str) -> str:
    sums = orders.sums or {currency: 0}
    return f"{orders.count:,}, {' + '.join(format_money(v, k) for k, v in sums.items())}"


def _bold(text: str) -> str:
    return click.style(text, bold=True)


def _dim(text: str) -> str:
    return click.style(text, dim=True)
