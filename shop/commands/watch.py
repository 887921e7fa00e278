"""The drop as it runs, in a terminal."""

from __future__ import annotations

import json
from datetime import datetime

import click
from sqlalchemy.exc import DBAPIError

from shop.command_services import command_services as services
from shop.commands import Seconds, drawing, on_database, screen, snapshot
from shop.commands.statistics import Statistics, read_statistics
from shop.product_views import Levels


@click.command()
@click.option("--once", is_flag=True, help="Print it once, without the speed of sales.")
@click.option("--interval", type=Seconds(0.2, 3600), default=1.0, show_default=True,
              metavar="SECONDS", help="Time from one to the next.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line each time.")
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
    """Reads the drop again and again; sales are what is gone since the time before."""

    def __init__(self) -> None:
        self._first: Statistics | None = None
        self._statistics: Statistics | None = None

    def picture(self) -> list[str]:
        """Look, and draw what is seen as large as the screen is."""
        width, height = screen.size()
        rows = height - 1 if screen.is_terminal() else None
        return drawing.picture(self._snapshot(), width, rows)

    def line(self) -> list[str]:
        """Look, and write what is seen in one line."""
        return [snapshot.line(self._snapshot())]

    def json(self) -> list[str]:
        """Look, and write what is seen in one line for a program."""
        return [json.dumps(snapshot.data(self._snapshot()))]

    def _snapshot(self) -> snapshot.Snapshot:
        before, speed, troubles = self._statistics, None, []
        try:
            self._statistics = self._count()
            self._first = self._first or self._statistics
            speed = self._statistics.sold_per_second(before) if before else None
        except DBAPIError as error:
            troubles.append(f"the database does not answer: {error.orig}{_age(before)}")
        overview = services.presence.overview(brief=True)
        return snapshot.Snapshot(
            shop=services.settings.name,
            currency=services.settings.currency,
            at=datetime.now().astimezone(),
            overview=overview,
            statistics=self._statistics,
            first=self._first,
            speed=speed,
            troubles=[*troubles, *overview.troubles],
        )

    def _count(self) -> Statistics:
        settings = services.settings
        services.database.ping()  # one that was taken away must not come back as an empty one
        with services.database.reading() as session:
            return read_statistics(session, Levels(settings.low_stock, settings.medium_stock))


def _age(statistics: Statistics | None) -> str:
    """Say from when the counts are that are still shown."""
    if statistics is None:
        return ""
    return f"; counts of {datetime.fromtimestamp(statistics.at).astimezone():%H:%M:%S}"
