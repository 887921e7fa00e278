"""The servers of event streams that are compared: the shop's hub, and what stands beside it.

Each sends everybody what is posted to `/publish`, and whoever opens `/stream` gets at once what was
posted last. One that is not installed is named, and the others are measured without it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path

import click
import psutil

from bench.processes import START, Server, server
from tests.support.machines.nginx import Nginx
from tests.support.machines.service import NotThere

#: For how long a server's answer is waited for, in seconds.
TIMEOUT = 30.0

_SERVERS = Path(__file__).parent / "servers"
_NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


@dataclass(frozen=True)
class Contender:
    """A server that can be measured, if it is there.

    Args:
        label: as people read it.
        is_there: whether it is installed.
        run: runs it for so many streams.
    """

    label: str
    is_there: bool
    run: Callable[[int], AbstractContextManager[Server]]


def contenders() -> dict[str, Contender]:
    """Return all of them by name, the shop's hub first."""
    asgi = all(map(find_spec, ("starlette", "sse_starlette", "uvicorn", "uvloop", "httptools")))
    node = shutil.which("node")
    return {
        "hub": Contender("the shop's hub", True, _python("hub")),
        "nchan": Contender("nginx with nchan", _NCHAN.exists(), _nchan),
        "node": Contender(
            "Node's http",
            node is not None,
            lambda _: server(str(_SERVERS / "node.mjs"), program=node or "node"),
        ),
        "plain": Contender("gevent, a generator each", True, _python("plain")),
        "starlette": Contender("Starlette, sse-starlette", asgi, _python("asgi")),
    }


def publish(running: Server, text: str) -> float:
    """Have a server send a text to all; return when it was asked to, on the monotonic clock."""
    began = time.monotonic()
    connection = HTTPConnection("127.0.0.1", running.port, timeout=TIMEOUT)
    try:
        connection.request("POST", "/publish", text.encode())
        connection.getresponse().read()
    except (OSError, HTTPException) as error:
        raise click.ClickException(f"a server did not take a message: {error}") from None
    finally:
        connection.close()
    return began


def _python(name: str) -> Callable[[int], AbstractContextManager[Server]]:
    return lambda _: server("-m", f"bench.servers.{name}")


@contextmanager
def _nchan(streams: int) -> Iterator[Server]:
    """Run nginx with nchan, and give its worker: the process that holds the streams."""
    files = streams + streams // 10 + 200
    configuration = (_SERVERS / "nchan.conf").read_text()
    try:
        with Nginx(configuration, module=_NCHAN, files=files) as nginx:
            yield Server(nginx.port, _worker_of(nginx.pid))
    except NotThere as error:
        raise click.ClickException(str(error)) from None


def _worker_of(master: int) -> psutil.Process:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if workers := psutil.Process(master).children():
            return workers[0]
        time.sleep(0.01)
    raise click.ClickException("nginx has no worker")
