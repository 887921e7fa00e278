"""`bin/bench streams`: what open tabs cost, held and told, beside servers that do nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path
from typing import Any

import click

from bench.broadcasts import Figures, Load, measure_streams
from bench.carts import make_carts, pairs
from bench.contenders import (
    HUB,
    NCHAN,
    OTHERS,
    PATIENCE,
    PLAIN,
    Contender,
    missing,
    publisher,
    say_what_is_missing,
    versions,
)
from bench.loopback import measure_floor
from bench.machine import Machine, allow_files
from bench.processes import client
from bench.report import into_option, json_option
from bench.shops import PLENTY, Shop, open_shop
from bench.shown import OURS
from bench.streams_report import report
from bench.trials import CARTS, FRAGMENT, OF_SHOP, SMALL, Message, Results, Trial
from shop.framing import sse_event

#: A count that a shopper sees as another level than `PLENTY`.
FEW = 100

#: Besides the hub, who sends the shop's fragment too: it tells little more of the others.
_FRAGMENTS = (NCHAN, PLAIN)


class Counts(click.ParamType):
    """Numbers of streams, as in `1000,5000`."""

    name = "counts"

    def convert(self, value: Any, *_: object) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            counts = tuple(sorted({int(word) for word in str(value).split(",")}))
        except ValueError:
            self.fail(f"{value} is no number, nor several as in 1000,5000")
        if not all(100 <= count <= 50_000 for count in counts):
            self.fail("between 100 and 50,000 streams can be measured")
        return counts


@click.command()
@click.option(
    "--streams",
    "counts",
    default="1000,5000,10000",
    type=Counts(),
    show_default=True,
    help="Open on each server at once; several numbers are measured one after another.",
)
@click.option(
    "--deliveries",
    default=20,
    type=click.IntRange(1, 1000),
    show_default=True,
    help="Messages to each stream, one after another.",
)
@click.option(
    "--runs",
    default=1,
    type=click.IntRange(1, 20),
    show_default=True,
    help="Of every server, each in a fresh process.",
)
@into_option
@json_option
def streams(
    counts: tuple[int, ...], deliveries: int, runs: int, into: Path, file: Path | None
) -> None:
    """Measure open streams: memory while idle, CPU time for a delivery and an opening, delay.

    The shop's hub alone sends a message of 300 bytes, and the real shop a product's fragment, to
    tabs without a cart and to tabs with a cart of two lines each. Beside them, in turns, other
    servers send the same bytes: nginx with nchan, Node's http, gevent with a generator for each
    stream, Starlette with sse-starlette. Takes some five minutes a run.

    \b
    Examples:
      bin/bench streams --runs 3
      bin/bench streams --streams 2000 --deliveries 10 --into /tmp
    """
    allow_files(counts[-1])
    machine = Machine.here()
    say_what_is_missing()
    results = Results(counts[-1], [other.label for other in missing()], versions())
    messages = [Message(SMALL, small_text()), Message(FRAGMENT, product_fragment())]
    for run in range(runs):
        results.begin_run()
        for trial, measure in _trials(messages, counts, deliveries, turned=run % 2 == 1):
            if trial.label not in results.missing:
                click.echo(f"run {run + 1} of {runs}: {trial} …", err=True)
                measure_trial(results, trial, measure)
    options = {"streams": counts, "deliveries": deliveries, "runs": runs}
    found = report(results, machine, options)
    found.show()
    found.publish(into)
    if file is not None:
        found.write(file)


Measure = Callable[[], Figures]


def measure_trial(results: Results, trial: Trial, measure: Measure) -> None:
    """Measure once; a server beside ours that fails is missing from then on."""
    try:
        results.add(trial, measure(), measure_floor(trial.bytes))
    except click.ClickException as error:
        if trial.who in OURS:
            raise
        click.echo(f"{trial.label} could not be measured: {error.message}", err=True)
        results.give_up(trial.label)


def _trials(
    messages: Sequence[Message], counts: Sequence[int], deliveries: int, turned: bool
) -> Iterator[tuple[Trial, Measure]]:
    """Give all that a run measures, in the order in which it does.

    Args:
        turned: whether who goes first in other runs goes last.
    """
    for message in messages:
        for count in counts:
            trials = list(_of_message(message, count, deliveries))
            yield from reversed(trials) if turned else trials


def _of_message(message: Message, count: int, deliveries: int) -> Iterator[tuple[Trial, Measure]]:
    if message.name == FRAGMENT:
        for who, label in OF_SHOP.items():
            trial = Trial(who, label, message.name, message.bytes, count)
            yield trial, partial(_of_shop, count, deliveries, with_carts=who == CARTS)
    for server in _FRAGMENTS if message.name == FRAGMENT else (HUB, *OTHERS):
        if server.is_there():
            trial = Trial(server.name, server.label, message.name, message.bytes, count)
            yield trial, partial(_of_server, server, message.text, count, deliveries)


def _of_server(contender: Contender, text: str, count: int, deliveries: int) -> Figures:
    with contender.run(count) as server, client("bench.crowd") as crowd:
        publish = publisher(server, text)
        publish()
        return measure_streams(server, crowd, Load("/stream", publish, count, deliveries))


def _of_shop(count: int, deliveries: int, with_carts: bool) -> Figures:
    with open_shop(count + 100) as shop, client("bench.crowd") as crowd:
        cookies = make_carts(shop, pairs(_item_ids(shop), count)) if with_carts else None
        load = Load("/stream?product=1", _level_changes(shop), count, deliveries, cookies)
        return measure_streams(shop.server, crowd, load)


def _item_ids(shop: Shop) -> list[int]:
    return [item["id"] for item in shop.items()]


def _level_changes(shop: Shop) -> Callable[[], float]:
    """Return a function that moves a size of product 1 to another level, down and up in turn."""
    sku = next(item["sku"] for item in shop.items() if item["id"] == 1)
    counts = cycle((FEW, PLENTY))
    return lambda: shop.set_stock(sku, next(counts))


def small_text(size: int = 300) -> str:
    """Return a text that is as long as that as an event, such as a chat's or a counter's."""
    text = "<p id='news'>{}</p>"
    return text.format("n" * (size - len(sse_event(text.format("")))))


def product_fragment() -> str:
    """Return the text that the shop sends of a product, for the other servers to send as well."""
    with open_shop() as shop:
        connection = HTTPConnection("127.0.0.1", shop.server.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/stream?product=1")
            answer = connection.getresponse()
            lines = iter(lambda: answer.readline().decode().rstrip("\n"), "")
            return "\n".join(line.removeprefix("data: ") for line in lines)
        finally:
            connection.close()
