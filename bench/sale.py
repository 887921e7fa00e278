"""One item in thousands of different carts sells out, and is there again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from bench.actions import Action, end_actions, summary, within
from bench.carts import make_carts, pairs, write_carts
from bench.processes import Client
from bench.shops import PLENTY, Shop

#: What the tabs watch besides their carts: what the front page shows.
PATH = "/stream?product=1&product=2"

#: A count that a shopper sees as another level than `PLENTY`.
_FEW = 100

#: How long opening all streams may take, in seconds, and one message to reach all of them.
OPENING, DELIVERY = 240.0, 60.0

#: Seconds that server and clients have for what went before.
_SETTLE = 1.0

#: Visitors who act meanwhile: enough for all that is due while the shop takes its time.
BYSTANDERS = 40

#: Seconds for which they act before anything happens: what an action takes then is told as well.
_BEFORE = 0.5

CARTS, SHARED = "carts", "shared"


@dataclass(frozen=True)
class Load:
    """What is done."""

    tabs: int
    rounds: int
    #: actions a second of other visitors
    rate: float


@dataclass(frozen=True)
class Told:
    """One message to all tabs. Times in seconds from the commit; CPU times in seconds."""

    #: `CARTS`: each tab has its own, struck out; or `SHARED`: a fragment that is the same for all
    what: str
    first: float
    half: float
    last: float
    #: the server's and the tabs' client's
    cpu: float
    client_cpu: float
    #: how much of a processor the server had, from the operator's command until the last tab
    busy: float
    #: what visitors did meanwhile, and what they did in the moment before
    during: list[Action]
    before: list[Action]

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"during": summary(self.during), "before": summary(self.before)}


class Sale:
    """A shop with open tabs, in whose carts there is one item that sells out again and again.

    Args:
        crowd: a client of `cart_crowd`.
        bystanders: one of `bystanders`.
    """

    def __init__(self, shop: Shop, crowd: Client, bystanders: Client, load: Load) -> None:
        self._shop = shop
        self._crowd = crowd
        self._bystanders = bystanders
        self._load = load
        items = shop.items()
        self._scarce = items[0]
        # Of the other product: neither is a matter of any cart that holds the scarce one.
        self._levelled, self._wanted = items[-1], items[-2]
        self._others = [item["id"] for item in items[1:-2]]
        self._levels = cycle((_FEW, PLENTY))

    def open(self, file: Path) -> dict[str, Any]:
        """Fill a cart for each tab, and open them; return the seconds and CPU times it took."""
        contents = pairs(self._others, self._load.tabs, holding=self._scarce["id"])
        write_carts(file, make_carts(self._shop, contents), contents)
        server = self._shop.server
        self._bystanders.do(DELIVERY, do="come", **self._visits())
        before = server.cpu()
        opened: dict[str, Any] = self._crowd.do(
            OPENING + DELIVERY,
            do="open",
            port=server.port,
            carts=str(file),
            path=PATH,
            timeout=OPENING,
        )
        return opened | {"server_cpu": server.cpu() - before}

    def round(self, shared_first: bool) -> Iterator[Told]:
        """Have the item sell out, and be there again; before it or after, tell all of a product."""
        ways = (self._share, self._sell_out)
        for way in ways if shared_first else reversed(ways):
            yield way()

    def _share(self) -> Told:
        def change() -> float:
            return self._shop.set_stock(self._levelled["sku"], next(self._levels))

        return self._tell(SHARED, change, do="expect_product", product=2)

    def _sell_out(self) -> Told:
        told = self._tell(CARTS, lambda: self._set(0), do="expect_cart", struck=self._scarce["id"])
        self._crowd.do(DELIVERY, do="prepare")
        self._crowd.tell(do="expect_cart", struck=None, timeout=DELIVERY)
        self._set(PLENTY)
        self._crowd.answer(2 * DELIVERY)
        return told

    def _set(self, count: int) -> float:
        return self._shop.set_stock(self._scarce["sku"], count)

    def _tell(self, what: str, change: Callable[[], float], **expected: Any) -> Told:
        time.sleep(_SETTLE)
        self._crowd.do(DELIVERY, do="prepare")
        self._bystanders.tell(do="act", rate=self._load.rate, most=2 * DELIVERY)
        acting = time.monotonic()
        time.sleep(_BEFORE)
        cpu, told = self._shop.server.cpu(), time.monotonic()
        self._crowd.tell(timeout=DELIVERY, **expected)
        began = change()
        heard = self._crowd.answer(2 * DELIVERY)
        cpu, took = self._shop.server.cpu() - cpu, time.monotonic() - told
        actions, _ = end_actions(self._bystanders)
        return Told(
            what=what,
            first=heard["first"] - began,
            half=heard["half"] - began,
            last=heard["last"] - began,
            cpu=cpu,
            client_cpu=heard["cpu"],
            busy=cpu / took,
            during=within(actions, began, heard["last"]),
            before=[action for action in within(actions, acting, began) if action.over < began],
        )

    def _visits(self) -> dict[str, Any]:
        return {
            "port": self._shop.server.port,
            "count": BYSTANDERS,
            "item": self._wanted["id"],
        }
