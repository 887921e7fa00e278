"""Servers whose use of processor and memory is measured; those of event streams that are compared.

Those send everybody what is posted to `/publish`, and whoever opens `/stream` gets at once what was
posted last. One that is not installed is named, and the others are measured without it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import psutil

from bench.machine import ROOT, cpu_clock
from tests.support.machines.nginx import Nginx
from tests.support.machines.service import Service, takes_connections

_SERVERS = ROOT / "bench" / "servers"
_NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_STARLETTE = ("starlette", "sse_starlette", "uvicorn", "uvloop", "httptools")


class Measured(Service):
    """A server whose use of the processor and of memory is measured."""

    @property
    def worker(self) -> int:
        """The process that holds the streams."""
        return self.pid

    def cpu(self) -> float:
        """Return the CPU time it has used, in seconds."""
        return cpu_clock(self.worker)

    def memory(self) -> int:
        """Return its unique set size in bytes: what would be freed if it ended now.

        The kernel's memory for its sockets is not in it.
        """
        return int(psutil.Process(self.worker).memory_full_info().uss)


class Server(Measured):
    """A program that serves at the port that is in its environment as `PORT`."""

    def __init__(self, *command: str) -> None:
        super().__init__()
        self._words = command
        self.environ: Mapping[str, str] = {"PYTHONPATH": str(ROOT), "PORT": str(self.port)}

    def _command(self) -> list[str]:
        return ["env", *(f"{name}={value}" for name, value in self.environ.items()), *self._words]

    def _answers(self) -> bool:
        return takes_connections(self.host, self.port)


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


def python(name: str) -> Server:
    """Make a server of the program of that name in bench/servers."""
    return Server(sys.executable, "-m", f"bench.servers.{name}")


#: By label: what makes a server of event streams for so many of them.
STREAMERS: dict[str, Callable[[int], Measured]] = {
    "the shop's hub": lambda _: python("hub"),
    "nginx with nchan": Nchan,
    "Node's http": lambda _: Server("node", str(_SERVERS / "node.mjs")),
    "gevent, a generator each": lambda _: python("plain"),
    "Starlette, sse-starlette": lambda _: python("asgi"),
}
HUB, NCHAN, NODE, PLAIN, STARLETTE = STREAMERS


def missing() -> list[str]:
    """Return the labels of those that are not installed here."""
    there = {
        NCHAN: _NCHAN.exists(),
        NODE: shutil.which("node"),
        STARLETTE: all(map(find_spec, _STARLETTE)),
    }
    return [label for label, is_there in there.items() if not is_there]
