"""`bin/bench streams`: what open tabs cost, idle and notified, beside other servers."""

from __future__ import annotations

import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median
from urllib.request import urlopen

import click

from bench.comparisons import HUB, NCHAN, PLAIN, STREAMERS, Measured, missing
from bench.load import LoadClient
from bench.report import Column, Figures, Goal, Report, benchmark, in_turn
from bench.servers import event_of
from bench.shops import open_shop
from bench.tabs import any_message

#: The two messages: one such as a chat's or a counter's, and a product's of the shop.
SMALL, FRAGMENT = "300 bytes", "product fragment"

SHOP, CARTS, KERNEL = "the shop", "the shop, a cart each", "the kernel alone"

#: What each server sends. The shop's fragment tells little more of the others.
_SENT = {SMALL: [*STREAMERS], FRAGMENT: [SHOP, CARTS, NCHAN, PLAIN]}

#: Streams that are opened and closed before, so that what is made but once isn't counted.
_WARM_UP = 50

#: A server is done when it uses less of a processor than this, looked at so often, for so long.
_IDLE, _LOOK, _SETTLE = 0.02, 0.1, 10.0

#: Connections that are written to in turn, to see what the kernel alone takes, and how often.
_PAIRS, _ROUNDS = 200, 25

_DELIVERY = Column("CPU per delivery", "cpu_per_delivery", "µs")
_COLUMNS = (
    Column("memory per idle stream", "memory", "KB"),
    _DELIVERY,
    Column("load client's for it", "client_per_delivery", "µs"),
    Column("first tab to last", "first_to_last", "ms"),
    Column("change to the last tab", "to_last", "ms"),
    Column("CPU per opening", "cpu_per_opening", "ms"),
)


@dataclass(frozen=True)
class Case:
    """A server that sends a message to so many streams."""

    server: str
    message: str
    streams: int

    @property
    def name(self) -> str:
        return f"{self.server}, {self.message}, {self.streams:,}"

    @property
    def path(self) -> str:
        return "/stream?product=1" if self.server in (SHOP, CARTS) else "/stream"


@benchmark
@click.option(
    "--streams",
    "counts",
    multiple=True,
    default=(1000, 5000, 10_000),
    type=click.IntRange(100, 50_000),
    show_default=True,
    help="How many are open. Can be given several times.",
)
@click.option("--deliveries", default=20, type=click.IntRange(1, 1000), show_default=True)
@click.option("--runs", default=1, type=click.IntRange(1, 20), show_default=True)
def streams(counts: tuple[int, ...], deliveries: int, runs: int) -> Report:
    """Measure open streams: memory while idle, CPU time for a delivery and an opening, delay.

    The shop's hub alone sends a message of 300 bytes, and the real shop a product's fragment, to
    tabs without a cart and to tabs with a cart of two lines each. Beside them, in turns, other
    servers send the same bytes. Takes some eight minutes a run.

    \b
    Example:
      bin/bench streams --streams 2000 --deliveries 10 --into /tmp/bench
    """
    if absent := missing():
        click.echo(f"Measured without {', '.join(absent)}: see bin/bench --install", err=True)
    cases = [
        Case(server, message, count)
        for message, servers in _SENT.items()
        for count in sorted(set(counts))
        for server in servers
        if server not in absent
    ]
    texts = {SMALL: _small_text(), FRAGMENT: _fragment()}
    rows: defaultdict[str, list[Figures]] = defaultdict(list)
    for case in in_turn(cases, runs):
        click.echo(f"{case.name} …", err=True)
        rows[case.name].append(_measure(case, texts[case.message], deliveries))
    for message, text in texts.items():
        cpu = [_send_and_receive(len(event_of(text))) for _ in range(runs)]
        rows[f"{KERNEL}, {message}"] = [{"cpu_per_delivery": one} for one in cpu]
    report = Report(
        name="streams",
        title="server",
        columns=_COLUMNS,
        rows=rows,
        bars=_DELIVERY,
        note=f"Medians of {runs} run(s) of {deliveries} messages; what a change is, is another "
        "process's commit to the shop's database, and a request to the other servers. Goals are of "
        "the most streams.",
    )
    report.goals = [*_goals(report.medians(), max(counts))]
    return report


def _measure(case: Case, text: str, deliveries: int) -> Figures:
    with ExitStack() as stack:
        tabs = stack.enter_context(LoadClient())
        if case.server in STREAMERS:
            server = stack.enter_context(STREAMERS[case.server](case.streams))
            change: Callable[[], float] = partial(_publish, server, text)
            change()
        else:
            shop = stack.enter_context(open_shop())
            server, change = shop.server, shop.level_changes(shop.items()[0]["sku"])
            if case.server == CARTS:
                tabs.do("tabs.fill", ports=shop.ports, contents=shop.pairs(case.streams))
        return _measure_streams(server, tabs, change, case, deliveries)


def _publish(server: Measured, text: str) -> float:
    """Have a server send a text to all; return when it was asked to, on the monotonic clock."""
    began = time.monotonic()
    try:
        urlopen(f"http://127.0.0.1:{server.port}/publish", text.encode(), 30.0).close()
    except OSError as error:
        raise click.ClickException(f"a server did not take a message: {error}") from None
    return began


def _measure_streams(
    server: Measured, tabs: LoadClient, change: Callable[[], float], case: Case, deliveries: int
) -> Figures:
    def open_tabs(count: int) -> None:
        tabs.do("tabs.open", ports=[server.port], path=case.path, count=count)

    def deliver() -> Figures:
        tabs.do("tabs.prepare")
        return tabs.reach(change, any_message)[1]

    open_tabs(min(_WARM_UP, case.streams))
    deliver()
    tabs.do("tabs.leave")
    for _ in range(2):  # a server that waits at a queue notices by writing that nobody reads
        change()
        _settle(server)
    memory, cpu = server.memory(), server.cpu()
    open_tabs(case.streams)
    _settle(server)
    memory, opening = server.memory() - memory, server.cpu() - cpu
    heard, spent = [], [server.cpu()]
    for _ in range(deliveries):
        heard.append(deliver())
        spent.append(server.cpu())
    _settle(server)
    spent[-1] = server.cpu()
    tabs.do("tabs.leave")
    return {
        "streams": case.streams,
        "memory": memory / case.streams,
        "cpu_per_opening": opening / case.streams,
        # Of the broadcast in the middle: a heartbeat or a compiler warming up doesn't count.
        "cpu_per_delivery": median(b - a for a, b in pairwise(spent)) / case.streams,
        "client_per_delivery": median(one["cpu"] for one in heard) / case.streams,
        "first_to_last": median(one["last"] - one["first"] for one in heard),
        "to_last": median(one["last"] for one in heard),
    }


def _settle(server: Measured) -> None:
    """Wait until the server has done what it has to do."""
    for _ in range(round(_SETTLE / _LOOK)):
        before = server.cpu()
        time.sleep(_LOOK)
        if server.cpu() - before < _IDLE * _LOOK:
            return


def _send_and_receive(size: int) -> float:
    """Return the CPU time that the kernel takes for a message over loopback TCP, in seconds."""
    message = bytes(size)
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:
        ends = []
        for _ in range(_PAIRS):
            near = stack.enter_context(socket.create_connection(listener.getsockname()))
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ends.append((near, stack.enter_context(listener.accept()[0])))
        began = time.process_time()
        for _ in range(_ROUNDS):
            for near, _far in ends:
                os.write(near.fileno(), message)
            for _near, far in ends:
                far.recv(size, socket.MSG_WAITALL)
        return (time.process_time() - began) / (_PAIRS * _ROUNDS)


def _small_text(size: int = 300) -> str:
    """Return a text that is as long as that as an event."""
    text = "<p id='news'>{}</p>"
    return text.format("n" * (size - len(event_of(text.format("")))))


def _fragment() -> str:
    """Return the text that the shop sends of a product, for the other servers to send as well."""
    with open_shop() as shop:
        address = f"http://127.0.0.1:{shop.server.port}/stream?product=1"
        with urlopen(address, timeout=30.0) as answer:
            lines = iter(lambda: answer.readline().decode().rstrip("\n"), "")
            return "\n".join(line.removeprefix("data: ") for line in lines)


def _goals(medians: Mapping[str, Figures], most: int) -> Iterator[Goal]:
    shop, with_cart = (medians[Case(who, FRAGMENT, most).name] for who in (SHOP, CARTS))
    yield Goal("memory of an idle stream", shop["memory"], 1.5 * 1024, "KB")
    yield Goal("… with a cart of two lines", with_cart["memory"], 3 * 1024, "KB")
    yield Goal("CPU to open one with a cart", with_cart["cpu_per_opening"], 0.0008, "ms")
    for message, who in ((SMALL, HUB), (FRAGMENT, SHOP)):
        ours, nchan = (medians.get(Case(one, message, most).name, {}) for one in (who, NCHAN))
        name, kernel = f"CPU per delivery, {message}", medians[f"{KERNEL}, {message}"]
        ratio = ours["cpu_per_delivery"] / kernel["cpu_per_delivery"]
        yield Goal(f"{name}, of a bare send and receive", ratio, 1.5, "×")
        if nchan:
            ratio = ours["cpu_per_delivery"] / nchan["cpu_per_delivery"]
            yield Goal(f"{name}, of nchan's", ratio, 1, "×")
            ratio = ours["first_to_last"] / nchan["first_to_last"]
            yield Goal(f"first tab to last, {message}, of nchan's", ratio, 1, "×")
