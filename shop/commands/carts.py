"""Which carts are open, and letting go of those that nobody touches."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import datetime

import click
from sqlalchemy.exc import DBAPIError

from shop.command_services import command_services as services
from shop.commands import CannotBeDone, Group, in_shop, on_database, screen
from shop.commands.screen import count
from shop.db import DatabaseBusy
from shop.moments import second_in_utc
from shop.presence import OpenTabs, Overview

#: Lines around the carts' own: the heading, "and more", the total, a trouble, the prompt.
_AROUND = 6


@click.group(cls=Group, invoke_without_command=True)
@click.option("--watch", is_flag=True, help="Print it every second, until Ctrl-C.")
@click.option("--all", "show_all", is_flag=True, help="Every cart, however many there are.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch a line each time.")
@click.pass_context
def carts(ctx: click.Context, watch: bool, show_all: bool, as_json: bool) -> None:
    """Show which carts are open, over all servers; the ones opened last come first.

    \b
    Examples:
      bin/flask carts
      bin/flask carts --watch
      bin/flask carts --json | jq '[.[].tabs] | add'
      bin/flask carts prune --older-than 180d
    """
    if ctx.invoked_subcommand is None:
        _show_open(watch, show_all, as_json)


@in_shop
def _show_open(watch: bool, show_all: bool, as_json: bool) -> None:
    if watch:
        frame = _json_line if as_json else lambda: _frame(show_all)
        screen.keep_showing(frame, interval=1.0)
        return
    overview = services.presence.overview()
    troubles = [*overview.troubles, *(_strangers() if not overview.servers else ())]
    if troubles and not overview.servers:
        raise CannotBeDone("; ".join(troubles))
    if as_json:
        _complain(overview)
        click.echo(json.dumps(_rows(overview), indent=1))
    else:
        bounded = screen.is_terminal() and not show_all
        screen.show(_table(overview, _room() if bounded else None))


def _strangers() -> list[str]:
    """Say which servers there are that hear nothing of a command with this secret key."""
    from shop.servers import Servers  # for this command alone, as Carts below

    with suppress(DBAPIError, DatabaseBusy):
        if names := Servers(services.database, services.settings, "").with_other_keys():
            return [f"SHOP_SECRET_KEY is not the one of {', '.join(names)}"]
    return []


class _Age(click.ParamType[int]):
    """How long ago, in seconds, from a number and a unit."""

    name = "age"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        found = re.fullmatch(r"([0-9]{1,6})([smhdw])", str(value))
        if not found or not int(found[1]):
            self.fail(f"{value!r} is no age: 180d is one, or 12h, or 4w", param, ctx)
        return int(found[1]) * _SECONDS[found[2]]


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}


@carts.command()
@click.option("--older-than", "age", type=_Age(), required=True, help="As 180d, 12h or 4w.")
@on_database
def prune(age: int) -> None:
    """Delete the carts that nobody changed for so long; what was bought from them stays.

    The serving shop does so by itself after SHOP_KEEP_CARTS_DAYS.

    \b
    Example:
      bin/flask carts prune --older-than 180d
    """
    from shop.carts import Carts

    click.echo(f"{count(Carts(services.database).prune(age), 'cart')} deleted")


def _json_line() -> list[str]:
    overview = services.presence.overview()
    _complain(overview)
    return [json.dumps(_rows(overview))]


def _complain(overview: Overview) -> None:
    """Say beside the output what keeps it from being all: a program reads the output."""
    for trouble in overview.troubles:
        click.echo(trouble, err=True)


def _rows(overview: Overview) -> list[dict[str, object]]:
    return [
        {
            "cart": cart.ref,
            "tabs": cart.tabs,
            "pages": sorted(cart.pages),
            "items": len(cart.skus),
            "skus": sorted(cart.skus),
            "since": second_in_utc(cart.since),
            "servers": list(cart.servers),
        }
        for cart in overview.carts
    ]


def _frame(show_all: bool) -> list[str]:
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    return [now, *_table(services.presence.overview(), None if show_all else _room()), ""]


def _room() -> int:
    """How many carts there is room for on the screen."""
    return max(3, screen.size()[1] - _AROUND)


def _table(overview: Overview, most: int | None) -> list[str]:
    """Write what is open, with the `most` carts opened last; None is all of them."""
    shown = overview.carts[:most]
    lines = [_HEADING] if shown else []
    lines += [_line(cart) for cart in shown]
    more = len(overview.carts) - len(shown)
    if more:
        lines.append(f"and {more:,} more; --all shows them")
    return [*lines, _total(overview), *(screen.warning(text) for text in overview.troubles)]


_HEADING = f"{'CART':<18}  {'TABS':>4}  {'ITEMS':>5}  {'OPEN FOR':>8}  PAGES"


def _line(cart: OpenTabs) -> str:
    start = f"{cart.ref:<18}  {cart.tabs:>4}  {len(cart.skus):>5}  {_age(cart.open_for):>8}  "
    pages = [page if n == 1 else f"{page} ×{n}" for page, n in sorted(cart.pages.items())]
    return screen.cut(start + ", ".join(pages))


def _age(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _total(overview: Overview) -> str:
    if not overview.servers:
        return "No server of this shop is running."
    servers = count(len(overview.servers), "server")
    total = f"{count(len(overview.carts), 'cart')} open in "
    total += f"{count(overview.tabs - overview.tabs_without_cart, 'tab')} on {servers}"
    alone = overview.tabs_without_cart
    return f"{total}; {count(alone, 'tab')} without a cart" if alone > 0 else total
