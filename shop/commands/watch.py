"""The drop as it runs, in a terminal."""

from __future__ import annotations

import json
from datetime import datetime

import click
from sqlalchemy.exc import DBAPIError

from shop.commands import Seconds, drawing, on_database, screen
from shop.inventory import Levels
from shop.parts import parts
from shop.tally import Tally, take_tally


@click.command()
@click.option("--once", is_flag=True, help="Once, without the speed of sales.")
@click.option("--interval", type=Seconds(0.2, 3600), default=1.0, show_default=True,
              metavar="SECONDS", help="From one to the next.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For programs; a line each time.")
@on_database
def watch(once: bool, interval: float, as_json: bool) -> None:
    """Watch the drop: what is left, how fast it sells, orders, open tabs and carts.

    On a terminal it is drawn anew every second until Ctrl-C; elsewhere, in a pipe or a file,
    it is a line each time. What 'sell' and 'sell-out' take is sold, but in no order.

    \b
    Examples:
      bin/flask watch
      bin/flask watch --once
      bin/flask watch --interval 60 >> drop.log
      bin/flask watch --json | jq .left
    """
    watcher = Watcher()
    if as_json:
        screen.show(watcher.json()) if once else screen.append(watcher.json, interval)
    elif once:
        screen.show(watcher.picture())
    elif screen.is_terminal():
        screen.keep_showing(watcher.picture, interval)
    else:
        screen.keep_showing(watcher.line, interval)


class Watcher:
    """Looks at the drop again and again; sales are what is gone since the look before."""

    def __init__(self) -> None:
        self._first: Tally | None = None
        self._tally: Tally | None = None

    def picture(self) -> list[str]:
        """Look, and draw what is seen as large as the screen is."""
        width, height = screen.size()
        rows = height - 1 if screen.is_terminal() else None
        return drawing.picture(self._snapshot(), width, rows)

    def line(self) -> list[str]:
        """Look, and write what is seen in one line."""
        return [drawing.line(self._snapshot())]

    def json(self) -> list[str]:
        """Look, and write what is seen in one line for a program."""
        return [json.dumps(drawing.data(self._snapshot()))]

    def _snapshot(self) -> drawing.Snapshot:
        before, speed, troubles = self._tally, None, []
        try:
            self._tally = self._count()
            self._first = self._first or self._tally
            speed = self._tally.sold_per_second(before) if before else None
        except DBAPIError as error:
            troubles.append(f"the database does not answer: {error.orig}{_age(before)}")
        overview = parts.presence.overview(brief=True)
        return drawing.Snapshot(
            shop=parts.settings.name,
            currency=parts.settings.currency,
            at=datetime.now().astimezone(),
            overview=overview,
            tally=self._tally,
            first=self._first,
            speed=speed,
            troubles=[*troubles, *overview.troubles],
        )

    def _count(self) -> Tally:
        settings = parts.settings
        parts.database.ping()  # a database that was taken away must not come back as an empty one
        with parts.database.reading() as session:
            return take_tally(session, Levels(settings.low_stock, settings.medium_stock))


def _age(tally: Tally | None) -> str:
    """Say from when the counts are that are still shown."""
    if tally is None:
        return ""
    return f"; counts of {datetime.fromtimestamp(tally.at).astimezone():%H:%M:%S}"
