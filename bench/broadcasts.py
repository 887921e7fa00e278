"""Measuring one server of event streams: opening them, holding them, sending to them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from bench.processes import Client, Server

#: How long opening all streams may take, in seconds, and one message to reach all of them.
OPENING, DELIVERY = 120.0, 30.0

#: Streams that are opened and closed before anything is measured, so that what a server makes
#: but once, on first use, isn't counted. As many as are on their way at the same time later.
_WARM_UP = 64

#: Seconds that a server has for ending what it has begun; and it has ended when it worked for less
#: than a part of the time between two looks.
_SETTLE, _LOOK, _IDLE = 2.0, 0.1, 0.03


@dataclass(frozen=True)
class Figures:
    """What a server took. Memory in bytes per stream, times in seconds."""

    memory: float
    #: the same after the deliveries
    memory_after: float
    #: the server's, of the broadcast in the middle of all
    cpu_per_delivery: float
    #: the load client's own
    client_per_delivery: float
    #: how much of the time from a change to the last tab the server worked, and the load client
    server_busy: float
    client_busy: float
    cpu_per_opening: float
    client_per_opening: float
    opened_per_second: float
    #: from the first tab that had it to the last, in the middle of all broadcasts
    first_to_last: float
    #: from the change until half of the tabs had it, and the last
    to_half: float
    to_last: float
    to_last_worst: float


@dataclass(frozen=True)
class Broadcast:
    """One message on its way to all streams: times since the change, and CPU times, in seconds."""

    first: float
    half: float
    last: float
    #: with what the server did when the last tab had it already
    server: float
    client: float


@dataclass(frozen=True)
class Load:
    """What is done to a server.

    Args:
        path: where the streams are.
        change: makes the server send one message to all streams; returns the monotonic clock
            from which the message counts as under way, in seconds.
        cookies: what each stream's visitor sends in the header `Cookie`; None: nothing.
    """

    path: str
    change: Callable[[], float]
    streams: int
    deliveries: int
    cookies: Sequence[str] | None = None


def measure_streams(server: Server, crowd: Client, load: Load) -> Figures:
    """Open streams, hold them, and have the server send messages to all, one after another."""
    _warm_up(server, crowd, load)
    memory_before, cpu_before = server.memory(), server.cpu()
    opened = _open(server, crowd, load, load.streams)
    _settle(server)
    memory, cpu = server.memory() - memory_before, server.cpu() - cpu_before
    broadcasts = _broadcast(server, crowd, load)
    memory_after = server.memory() - memory_before
    crowd.do(DELIVERY, do="leave")
    return Figures(
        memory=memory / load.streams,
        memory_after=memory_after / load.streams,
        cpu_per_opening=cpu / load.streams,
        client_per_opening=opened["cpu"] / load.streams,
        opened_per_second=load.streams / opened["seconds"],
        **_of_broadcasts(broadcasts, load.streams),
    )


def _of_broadcasts(broadcasts: list[Broadcast], streams: int) -> dict[str, float]:
    lasted = sum(one.last for one in broadcasts)
    return {
        "cpu_per_delivery": median(one.server for one in broadcasts) / streams,
        "client_per_delivery": median(one.client for one in broadcasts) / streams,
        "server_busy": sum(one.server for one in broadcasts) / lasted,
        "client_busy": sum(one.client for one in broadcasts) / lasted,
        "first_to_last": median(one.last - one.first for one in broadcasts),
        "to_half": median(one.half for one in broadcasts),
        "to_last": median(one.last for one in broadcasts),
        "to_last_worst": max(one.last for one in broadcasts),
    }


def _warm_up(server: Server, crowd: Client, load: Load) -> None:
    _open(server, crowd, load, _WARM_UP)
    _deliver(crowd, load)
    crowd.do(DELIVERY, do="leave")
    # A server that waits at a queue notices only when it writes that nobody reads any more.
    for _ in range(2):
        load.change()
        _settle(server)


def _settle(server: Server) -> None:
    """Wait until the server has done what it has to do."""
    deadline, before = time.monotonic() + _SETTLE, server.cpu()
    while time.monotonic() < deadline:
        time.sleep(_LOOK)
        worked, before = server.cpu() - before, server.cpu()
        if worked < _IDLE * _LOOK:
            return


def _open(server: Server, crowd: Client, load: Load, count: int) -> dict[str, float]:
    opened: dict[str, float] = crowd.do(
        OPENING + DELIVERY,
        do="open",
        port=server.port,
        path=load.path,
        count=count,
        timeout=OPENING,
        cookies=load.cookies and list(load.cookies[:count]),
    )
    return opened


def _broadcast(server: Server, crowd: Client, load: Load) -> list[Broadcast]:
    """Have messages sent, one after another; each one's CPU time counts until the next begins."""
    heard, cpu = [], [server.cpu()]
    for _ in range(load.deliveries):
        heard.append(_deliver(crowd, load))
        cpu.append(server.cpu())
    _settle(server)
    cpu[-1] = server.cpu()
    spent = [after - before for before, after in pairwise(cpu)]
    return [Broadcast(**times, server=taken) for times, taken in zip(heard, spent, strict=True)]


def _deliver(crowd: Client, load: Load) -> dict[str, float]:
    crowd.do(DELIVERY, do="prepare")
    crowd.tell(do="expect", timeout=DELIVERY)
    began = load.change()
    heard: dict[str, Any] = crowd.answer(2 * DELIVERY)
    times = {moment: heard[moment] - began for moment in ("first", "half", "last")}
    return {**times, "client": heard["cpu"]}
