"""The servers of event streams that are compared: the shop's hub, and what stands beside it.

Each sends everybody what is posted to `/publish`, and whoever opens `/stream` gets at once what was
posted last. One that is not installed is named, and the others are measured without it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import click

from bench.nchan import module as nchan_module
from bench.nchan import open_nchan
from bench.nchan import version as nchan_version
from bench.processes import Server, said, server

#: For how long a server's answer is waited for, in seconds.
PATIENCE = 30.0

_ASGI = ("starlette", "sse-starlette", "uvicorn", "uvloop", "httptools")


@dataclass(frozen=True)
class Contender:
    """A server that can be measured, if it is there.

    Args:
        label: as people read it.
        packages: what brings it: Debian's, or of requirements-bench.txt.
        is_there: tells whether it is installed.
        run: runs it for so many streams.
        version: tells what of it is installed; nothing of what is the shop's own or its Python's.
    """

    name: str
    label: str
    packages: str
    is_there: Callable[[], bool]
    run: Callable[[int], AbstractContextManager[Server]]
    version: Callable[[], str] = lambda: ""


def _python(name: str) -> Callable[[int], AbstractContextManager[Server]]:
    return lambda streams: server("-m", f"bench.servers.{name}")


def _node(streams: int) -> AbstractContextManager[Server]:
    file = Path(__file__).parent / "servers" / "node.mjs"
    return server(str(file), program=shutil.which("node") or "node")


def _has_asgi() -> bool:
    return all(find_spec(name.replace("-", "_")) for name in _ASGI)


HUB = Contender("hub", "the shop's hub", "", lambda: True, _python("hub"))

NCHAN = Contender(
    *("nchan", "nginx with nchan", "nginx and libnginx-mod-nchan"),
    *(lambda: nchan_module() is not None, open_nchan, nchan_version),
)
NODE = Contender(
    *("node", "Node's http", "nodejs"),
    *(lambda: shutil.which("node") is not None, _node, lambda: f"Node {said('node', '--version')}"),
)
PLAIN = Contender("plain", "gevent, a generator each", "", lambda: True, _python("plain"))
ASGI = Contender(
    *("starlette", "Starlette, sse-starlette", "starlette, sse-starlette and uvicorn"),
    *(_has_asgi, _python("asgi"), lambda: ", ".join(f"{name} {version(name)}" for name in _ASGI)),
)

#: All that ours is compared with.
OTHERS = (NCHAN, NODE, PLAIN, ASGI)


def missing() -> list[Contender]:
    """Return what is not installed, of all that ours is compared with."""
    return [other for other in OTHERS if not other.is_there()]


def versions() -> list[str]:
    """Return what is installed of what ours is compared with."""
    return [text for other in OTHERS if other.is_there() and (text := other.version())]


def say_what_is_missing() -> None:
    """Name each server that is not installed, and how to get it."""
    for other in missing():
        click.echo(f"Missing: {other.label} ({other.packages}); measured without it.", err=True)
    if missing():
        click.echo("`bin/bench --install` installs what is missing.", err=True)


def publisher(running: Server, text: str) -> Callable[[], float]:
    """Return a function that has a server send a text to all.

    It returns when the server was asked to, on the monotonic clock in seconds.
    """
    return partial(_publish, running, text)


def _publish(running: Server, text: str) -> float:
    began = time.monotonic()
    connection = HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE)
    try:
        connection.request("POST", "/publish", text.encode())
        connection.getresponse().read()
    except (OSError, HTTPException) as error:
        raise click.ClickException(f"a server did not take a message: {error}") from None
    finally:
        connection.close()
    return began
