"""Measuring one server of event streams: opening them, holding them, sending to them all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench.processes import Client, Server

#: How long opening all streams may take, in seconds, and one message to reach all of them.
OPENING, DELIVERY = 120.0, 30.0

#: Streams that are opened and closed before anything is measured, so that what a server makes
#: but once, on first use, isn't counted.
_WARM_UP = 20

#: One part in so many of the streams is opened before memory is looked at. The first ones find
#: room that the process has left over from its start, and would seem to take none.
_FIRST = 2

#: Seconds that a server has for ending what opening the streams began.
_SETTLE = 1.0


@dataclass(frozen=True)
class Figures:
    """What a server took. Memory in bytes per stream, CPU times in seconds."""

    memory: float
    #: the same after the deliveries
    memory_after: float
    cpu_per_delivery: float
    #: the load client's own
    client_per_delivery: float
    cpu_per_opening: float
    opened_per_second: float
    #: seconds from the change until half of the tabs had it, and the last: medians
    to_half: float
    to_last: float
    to_last_worst: float

    @classmethod
    def median(cls, runs: list[Figures]) -> Figures:
        """Return the median of each figure."""
        names = cls.__dataclass_fields__
        return cls(**{name: median(getattr(run, name) for run in runs) for name in names})


def measure_streams(
    server: Server,
    crowd: Client,
    path: str,
    change: Callable[[], float],
    streams: int,
    deliveries: int,
) -> Figures:
    """Open streams, hold them, and have the server send messages to all, one after another.

    Args:
        path: where the streams are.
        change: makes the server send one message to all streams; returns the monotonic clock
            from which the message counts as under way.
    """
    _warm_up(server, crowd, path, change)
    first = streams // _FIRST
    _open(server, crowd, path, first)
    time.sleep(_SETTLE)
    memory_before, cpu_before = server.memory(), server.cpu()
    opened = _open(server, crowd, path, streams - first)
    time.sleep(_SETTLE)
    memory, cpu_opened = server.memory() - memory_before, server.cpu()
    half, last, client_cpu = [], [], 0.0
    for _ in range(deliveries):
        began, heard = _deliver(crowd, change)
        half.append(heard["half"] - began)
        last.append(heard["last"] - began)
        client_cpu += heard["cpu"]
    messages = streams * deliveries
    cpu_delivered = server.cpu()
    memory_after = server.memory() - memory_before
    crowd.do(DELIVERY, do="leave")
    return Figures(
        memory=memory / (streams - first),
        memory_after=memory_after / (streams - first),
        cpu_per_delivery=(cpu_delivered - cpu_opened) / messages,
        client_per_delivery=client_cpu / messages,
        cpu_per_opening=(cpu_opened - cpu_before) / (streams - first),
        opened_per_second=(streams - first) / opened["seconds"],
        to_half=median(half),
        to_last=median(last),
        to_last_worst=max(last),
    )


def _warm_up(server: Server, crowd: Client, path: str, change: Callable[[], float]) -> None:
    _open(server, crowd, path, _WARM_UP)
    time.sleep(_SETTLE)
    _deliver(crowd, change)
    crowd.do(DELIVERY, do="leave")
    # A server that waits at a queue notices only when it writes that nobody reads any more.
    for _ in range(2):
        change()
        time.sleep(_SETTLE / 4)


def _open(server: Server, crowd: Client, path: str, count: int) -> dict[str, float]:
    opened: dict[str, float] = crowd.do(
        OPENING + DELIVERY, do="open", port=server.port, path=path, count=count, timeout=OPENING
    )
    return opened


def _deliver(crowd: Client, change: Callable[[], float]) -> tuple[float, dict[str, float]]:
    crowd.do(DELIVERY, do="prepare")
    crowd.tell(do="expect", timeout=DELIVERY)
    began = change()
    return began, crowd.answer(2 * DELIVERY)
