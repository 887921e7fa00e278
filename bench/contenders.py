"""The servers of event streams that are compared: the shop's hub, and what stands beside it.

Each sends everybody what is posted to `/publish`, and whoever opens `/stream` gets at once what was
posted last. One that is not installed is named, and the others are measured without it.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import click
import psutil

from bench.processes import Measured, Server
from tests.support.machines.nginx import Nginx

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
        make: makes one for so many streams; it is started as a context manager.
    """

    label: str
    is_there: bool
    make: Callable[[int], Measured]


class Nchan(Measured, Nginx):
    """nginx with nchan, whose only worker holds the streams."""

    def __init__(self, streams: int) -> None:
        configuration = (_SERVERS / "nchan.conf").read_text()
        super().__init__(configuration, module=_NCHAN, files=streams + streams // 10 + 200)

    @property
    def worker(self) -> int:
        return int(psutil.Process(self.pid).children()[0].pid)

    def _answers(self) -> bool:
        return super()._answers() and bool(psutil.Process(self.pid).children())


def contenders() -> dict[str, Contender]:
    """Return all of them by name, the shop's hub first."""
    asgi = all(map(find_spec, ("starlette", "sse_starlette", "uvicorn", "uvloop", "httptools")))
    node = shutil.which("node") or ""
    script = str(_SERVERS / "node.mjs")
    return {
        "hub": Contender("the shop's hub", True, _python("hub")),
        "nchan": Contender("nginx with nchan", _NCHAN.exists(), Nchan),
        "node": Contender("Node's http", bool(node), lambda _: Server(node, script)),
        "plain": Contender("gevent, a generator each", True, _python("plain")),
        "starlette": Contender("Starlette, sse-starlette", asgi, _python("asgi")),
    }


def publish(running: Measured, text: str) -> float:
    """Have a server send a text to all; return when it was asked to, on the monotonic clock."""
    began = time.monotonic()
    try:
        with urlopen(f"http://127.0.0.1:{running.port}/publish", text.encode(), TIMEOUT) as answer:
            answer.read()
    except OSError as error:
        raise click.ClickException(f"a server did not take a message: {error}") from None
    return began


def _python(name: str) -> Callable[[int], Measured]:
    return lambda _: Server(sys.executable, "-m", f"bench.servers.{name}")
