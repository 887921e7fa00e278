"""A server ends, and another one takes its place, while thousands of tabs are open."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import psutil

from bench.actions import Action, end_actions
from bench.carts import make_carts, pairs, write_carts
from bench.processes import Client, Server, client
from bench.restart import Load, Restart, Way
from bench.sale import BYSTANDERS, DELIVERY, OPENING, PATH
from bench.shops import Shop, open_shop, serve_shop
from machines.service import free_port

#: How long an ending server may take, in seconds, besides the window in which it lets tabs go; and
#: how long the tabs may take to come back.
_END, _BACK = 20.0, 120.0

#: Seconds for which visitors act before the end, and after everything is well again.
_BEFORE, _AFTER = 1.0, 1.0


def restart(way: Way, load: Load, samples: Path | None = None) -> Restart:
    """Open a shop and tabs, have the server end, start another, wait until all tabs are current.

    While no server runs, an operator sells an item out that all the carts hold: a tab is current
    when it has its own cart with that line struck out.

    Args:
        samples: a file for what is seen of the new server's work while tabs come back.
    """
    port, drain = str(free_port()), f"{way.drain:g}"
    with ExitStack() as stack:
        shop = stack.enter_context(
            open_shop(load.tabs + 100, SHOP_PORT=port, SHOP_DRAIN_SECONDS=drain)
        )
        drill = _Drill(
            shop,
            stack.enter_context(client("bench.cart_crowd")),
            stack.enter_context(client("bench.bystanders")),
            load,
        )
        folder = stack.enter_context(TemporaryDirectory(prefix="shop-bench-carts-"))
        drill.open(Path(folder) / "carts.json")
        return drill.restart(way, samples)


class _Drill:
    """The parts of a restart, one after another."""

    def __init__(self, shop: Shop, crowd: Client, bystanders: Client, load: Load) -> None:
        self._shop = shop
        self._crowd = crowd
        self._bystanders = bystanders
        self._load = load
        items = shop.items()
        self._scarce, self._wanted = items[0], items[-2]
        self._others = [item["id"] for item in items[1:-2]]

    def open(self, file: Path) -> None:
        """Fill a cart for each tab, and open them."""
        contents = pairs(self._others, self._load.tabs, holding=self._scarce["id"])
        write_carts(file, make_carts(self._shop, contents), contents)
        port = self._shop.server.port
        wanted = self._wanted["id"]
        self._bystanders.do(DELIVERY, do="come", port=port, count=BYSTANDERS, item=wanted)
        how = {"port": port, "carts": str(file), "path": PATH, "timeout": OPENING}
        self._crowd.do(OPENING + DELIVERY, do="open", **how)
        self._crowd.do(DELIVERY, do="prepare")

    def restart(self, way: Way, samples: Path | None) -> Restart:
        self._begin(way)
        told = time.monotonic()
        status = self._end_old(way)
        ended = time.monotonic()
        self._shop.set_stock(self._scarce["sku"], 0)
        with serve_shop(self._shop.environ, samples) as new:
            back, start_cpu = time.monotonic(), new.cpu()
            overflows = _overflows()
            if samples is not None:
                os.kill(new.pid, signal.SIGUSR1)
            came = self._crowd.answer(_BACK + DELIVERY)
            cpu, dropped = new.cpu() - start_cpu, _overflows() - overflows
            time.sleep(_AFTER)
            actions, _ = end_actions(self._bystanders)
            self._crowd.do(DELIVERY, do="leave")
        return Restart(
            way=way.name,
            signal=way.signal,
            status=status,
            told=told - back,
            ended=ended - back,
            lost=[at - back for at in came["lost"]],
            current=[at - back for at in came["current"]],
            failures=came["failures"],
            dropped=dropped,
            cpu=cpu,
            start_cpu=start_cpu,
            client_cpu=came["cpu"],
            actions=list(_counted_from(back, actions)),
        )

    def _begin(self, way: Way) -> None:
        """Have visitors act, and tabs come back when they lose their streams."""
        self._bystanders.tell(do="act", rate=self._load.rate, most=_BACK + 2 * DELIVERY)
        self._crowd.tell(
            do="come_back",
            struck=self._scarce["id"],
            manner=asdict(way.manner),
            timeout=_BACK + way.drain,
        )
        time.sleep(_BEFORE)

    def _end_old(self, way: Way) -> int:
        """End the server; return its exit status."""
        old: Server = self._shop.server
        os.kill(old.pid, way.signal)
        try:
            return int(old.process.wait(way.drain + _END) or 0)
        except psutil.TimeoutExpired:
            raise click.ClickException("the server did not end when it was told to") from None


def _counted_from(back: float, actions: list[Action]) -> Iterator[Action]:
    for action in actions:
        yield Action(action.due - back, action.took, action.outcome, action.reused)


def _overflows() -> int:
    """Return how often a listening socket here had no room for one more, since the boot."""
    lines = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines()]
    names, values = (line for line in lines if line[0] == "TcpExt:")
    return int(dict(zip(names, values, strict=True))["ListenOverflows"])
