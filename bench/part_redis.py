"""What Redis takes to carry names of changes, and a server of the shop to hear of them."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import click
import redis

from bench.processes import cpu_of
from bench.shops import Cluster
from machines.redis import Redis
from machines.service import NotThere
from shop.changes import cart_name

#: How many listen, and how many names a message holds: costs follow from the two of each.
FEW_LISTENERS, MANY_LISTENERS = 10, 100
FEW_NAMES, MANY_NAMES = 1, 50

#: Messages in one go, before listeners read them; and seconds from one to the next to a server, as
#: they come from many others while some hundred purchases are made a second.
_AT_ONCE, _APART = 50, 0.001

#: Seconds that a server has for what it was told last.
_SETTLE = 0.5

_CHANNEL = "changes"


def measure_redis(messages: int) -> dict[str, float]:
    """Return Redis's CPU time for a message, and for each who listens, in seconds."""
    try:
        with Redis() as server:
            few = _publish(server, messages, FEW_LISTENERS)
            many = _publish(server, messages, MANY_LISTENERS)
    except NotThere as error:
        raise click.ClickException(str(error)) from None
    subscriber = max(0.0, many - few) / (MANY_LISTENERS - FEW_LISTENERS)
    return {"message": max(0.0, few - FEW_LISTENERS * subscriber), "subscriber": subscriber}


def measure_hearing(cluster: Cluster, messages: int) -> dict[str, float]:
    """Return a server's CPU time for a message heard, and for each name in it, in seconds.

    The names are of carts that none of its tabs has open: of most carts, with many servers.
    """
    server = cluster.shop.server
    with cluster.redis.client() as client, _stream(server.port):
        channel = _channel(client)
        few, many = (
            _cpu(server.cpu, messages, partial(client.publish, channel, _changes(n)))
            for n in (FEW_NAMES, MANY_NAMES)
        )
    name = max(0.0, many - few) / (MANY_NAMES - FEW_NAMES)
    return {"message": max(0.0, few - FEW_NAMES * name), "name": name}


def _publish(server: Redis, messages: int, listeners: int) -> float:
    with ExitStack() as stack:
        client = stack.enter_context(server.client())
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(listeners):
            listener = socket.create_connection((server.host, server.port))
            stack.enter_context(listener)
            listener.sendall(f"SUBSCRIBE {_CHANNEL}\r\n".encode())
            selector.register(listener, selectors.EVENT_READ)
        _await_listeners(client, listeners)
        before = cpu_of(server.pid)
        for number in range(messages):
            client.publish(_CHANNEL, _changes(FEW_NAMES))
            if number % _AT_ONCE == 0:
                _read(selector)
        return (cpu_of(server.pid) - before) / messages


def _read(selector: selectors.BaseSelector) -> None:
    for key, _ in selector.select(0):
        key.fileobj.recv(1 << 20)  # type: ignore[union-attr]


def _await_listeners(client: redis.Redis, listeners: int) -> None:
    deadline = time.monotonic() + 5
    while client.pubsub_numsub(_CHANNEL)[0][1] < listeners:
        if time.monotonic() > deadline:
            raise click.ClickException("Redis takes no listeners")
        time.sleep(0.01)


def _cpu(clock: Callable[[], float], messages: int, send: Callable[[], object]) -> float:
    """Return what a server takes for a message, less what it takes without any."""
    time.sleep(_SETTLE)
    idle, began, before = _idle(clock), time.monotonic(), clock()
    for number in range(messages):
        send()
        time.sleep(max(0.0, began + number * _APART - time.monotonic()))
    time.sleep(_SETTLE)
    lasted = time.monotonic() - began
    return max(0.0, clock() - before - idle * lasted) / messages


def _idle(clock: Callable[[], float]) -> float:
    """Return the share of a processor that a server takes for nothing."""
    began, before = time.monotonic(), clock()
    time.sleep(1.0)
    return (clock() - before) / (time.monotonic() - began)


def _changes(names: int) -> str:
    payload = [cart_name(f"{number:064d}") for number in range(names)]
    return json.dumps({"from": "bench", "kind": "changes", "payload": payload})


def _channel(client: redis.Redis) -> str:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if found := client.pubsub_channels():
            return str(found[0])
        time.sleep(0.01)
    raise click.ClickException("the server does not listen to Redis")


@contextmanager
def _stream(port: int) -> Iterator[None]:
    """Hold a stream open: a server without any need not listen."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /stream?product=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        connection.recv(1)
        yield
