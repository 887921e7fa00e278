"""A server ends, and another one takes its place, while thousands of tabs are open."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import psutil

from bench.actions import Action, end_actions, percentiles, summary
from bench.bystanders import CUT_OFF, HAD_BEEN_DONE, REFUSED, UNANSWERED
from bench.carts import make_carts, pairs, write_carts
from bench.coming_back import Manner
from bench.processes import Client, Server, client
from bench.sale import BYSTANDERS, DELIVERY, OPENING, PATH
from bench.shops import Shop, open_shop, serve_shop
from machines.service import free_port
from shop.presentation import HTMX_CONFIG

#: What a page tells htmx's hx-sse, in milliseconds; the jitter is its own (hx-sse.min.js).
_SSE: dict[str, Any] = HTMX_CONFIG["sse"]  # type: ignore[assignment]
AS_HTMX = Manner(_SSE["reconnectDelay"] / 1e3, _SSE["reconnectMaxDelay"] / 1e3, 0.3)
AT_ONCE = Manner(0.0, 0.0, 0.0, at_once=True)

#: How long an ending server may take, in seconds, besides the window in which it lets tabs go; and
#: how long the tabs may take to come back.
_END, _BACK = 20.0, 120.0

#: Seconds for which visitors act before the end, and after everything is well again.
_BEFORE, _AFTER = 1.0, 1.0


_HALF = 0.5


@dataclass(frozen=True)
class Way:
    """How a server ends, and how its tabs come back."""

    name: str
    signal: int
    #: `SHOP_DRAIN_SECONDS`
    drain: float
    manner: Manner


@dataclass(frozen=True)
class Load:
    """How many tabs there are, each with a cart of its own, and what others do meanwhile."""

    tabs: int
    #: actions a second
    rate: float


@dataclass(frozen=True)
class Restart:
    """What came of it. Moments in seconds since the new server said that it serves."""

    way: str
    #: the old server's exit status; below 0 the signal that ended it
    status: int
    #: when it was told to end, and when it had
    told: float
    ended: float
    #: by tab: when it lost its stream, and when it was current again
    lost: list[float]
    current: list[float]
    #: what came of attempts to come back that failed
    failures: dict[str, int]
    #: calls that the kernel dropped as too many waited to be accepted; they are repeated by it
    dropped: int
    #: CPU times until all were current, in seconds: the new server's, without its start; its start;
    #: the tabs' client's from before the old one's end
    cpu: float
    start_cpu: float
    client_cpu: float
    #: what visitors did
    actions: list[Action]

    def as_json(self) -> dict[str, Any]:
        """Return all but what single tabs and visitors did, of which there are thousands."""
        return vars(self) | {
            "lost": percentiles(self.lost),
            "current": percentiles(self.current),
            "slowest": self.slowest(),
            "actions": {moment: summary(done) for moment, done in self.moments.items()},
        }

    @property
    def moments(self) -> dict[str, list[Action]]:
        """What visitors did, by when it was due."""
        return {
            "before": [action for action in self.actions if action.over < self.told],
            "while it ends": [a for a in self.actions if a.over >= self.told and a.due < 0],
            "while tabs come back": self.meanwhile,
        }

    def slowest(self) -> list[tuple[float, float]]:
        """Return for each half of a second the longest that an answer took, by when it was due."""
        longest: dict[int, float] = {}
        for action in self.meanwhile:
            place = int(action.due / _HALF)
            longest[place] = max(longest.get(place, 0.0), action.took)
        return [((place + 0.5) * _HALF, took) for place, took in sorted(longest.items())]

    @property
    def all_current(self) -> float:
        return max(self.current)

    @property
    def meanwhile(self) -> list[Action]:
        """What was due while tabs came back."""
        return [action for action in self.actions if 0 <= action.due <= self.all_current]

    @property
    def lost_requests(self) -> list[Action]:
        """Requests that went out, and to which no answer came."""
        return [action for action in self.actions if action.outcome in (CUT_OFF, UNANSWERED)]

    @property
    def wrong_answers(self) -> list[Action]:
        """Answers that an add or a remove should not have got."""
        fine = {"200", HAD_BEEN_DONE, REFUSED, CUT_OFF, UNANSWERED}
        return [action for action in self.actions if action.outcome not in fine]


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
