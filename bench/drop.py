"""A drop on several servers: thousands of tabs, purchases at a given rate, and what it took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psutil

from bench.errands import BOUGHT
from bench.ledger import Database, Ledger, balance, read_database
from bench.processes import Client, client, cpu_of
from bench.shops import Cluster, Shop, open_cluster
from bench.statements import Statement, count_statements, read_statements
from shop.models.cart import cart_ref

#: One size in so many is scarce: it sells out during the drop.
_SCARCE = 3

#: Of what will be asked for of a size: how much there is of the scarce ones, from and to, and of
#: the others, with some more for chance.
_FEW, _ENOUGH, _SPARE = (0.2, 0.9), 1.6, 10

#: Seconds that a shopper's arrival may take on average, and what the client may take besides.
_ARRIVAL, _BESIDES = 0.5, 60.0

_CLIENT = "bench.shoppers"

_ALL = "machine"

#: Seconds that servers have, when the shoppers have left, for what they were asked before.
_SETTLE = 40.0


@dataclass(frozen=True)
class Load:
    """What the shop is to bear."""

    servers: int
    streams: int
    #: purchases a second that are offered
    rate: float
    seconds: float
    #: whether shoppers stand at the checkout with what they want
    at_checkout: bool


@dataclass(frozen=True)
class Delays:
    """How long things took, in seconds, each time."""

    #: from the commit of a purchase until its shopper's tab shows the empty cart, by whether the
    #: tab is at the server that made the purchase
    here: list[float]
    elsewhere: list[float]
    #: the same, from when the purchase's answer was there; below 0, the tab was faster
    from_answer: list[float]
    #: from the commit that sold the last piece of a size until a tab shows it, for all tabs
    sold_out: list[float]
    #: from the moment at which a purchase was due until it was answered
    purchases: list[float]
    #: from that moment until the client began with it
    client_late: list[float]
    #: from a request until its answer, by kind
    answers: dict[str, list[float]]


@dataclass(frozen=True)
class Drop:
    """What was measured."""

    load: Load
    #: seconds that the shoppers took to come in
    arrival: float
    seconds: float
    outcomes: dict[str, int]
    #: purchases that were answered as made while the drop lasted
    in_time: int
    #: CPU time by part, in seconds, until all had ended
    cpu: dict[str, float]
    #: seconds until all had ended
    lasted: float
    #: bought purchases that the shopper's tab never showed; and sold-out sizes, tab by tab
    never_emptied: int
    never_sold_out: int
    delays: Delays
    ledger: Ledger
    statements: list[Statement]

    @property
    def achieved(self) -> float:
        """Purchases a second."""
        return self.in_time / self.seconds


def run_drop(load: Load, samples: Path | None, say: Callable[[str], None]) -> Drop:
    """Open a shop, let shoppers in, have them buy; then read the books.

    Args:
        samples: a folder for what is seen of the servers' work; None if they aren't looked at.
        say: told what happens now.
    """
    with open_cluster(load.servers, load.streams, samples) as cluster, client(_CLIENT) as crowd:
        _stock(cluster.shop, load)
        before = _shelf(cluster.shop)
        say(f"{load.streams:,} shoppers come in …")
        arrival = _let_in(crowd, cluster.shop, load)
        say(f"they were there after {arrival:.0f} s, and buy for {load.seconds:g} s …")
        _begin_to_look(cluster, samples)
        told, cpu = _let_buy(crowd, cluster, load)
        books, ledger = _balance(crowd, cluster, before, told)
        statements = read_statements(cluster.url) if samples else []
    return _drop(load, arrival, told, cpu, books, ledger, statements)


def _let_in(crowd: Client, shop: Shop, load: Load) -> float:
    """Have all shoppers open a tab with a cart; return the seconds that it took."""
    patience = _BESIDES + load.streams * _ARRIVAL
    arrived = crowd.do(
        patience + _BESIDES,
        do="arrive",
        ports=[server.port for server in shop.servers],
        count=load.streams,
        items=_item_ids(shop),
        patience=patience,
    )
    return float(arrived["seconds"])


def _let_buy(
    crowd: Client, cluster: Cluster, load: Load
) -> tuple[dict[str, Any], dict[str, float]]:
    """Have shoppers buy; return what the client tells, and the CPU seconds of each part."""
    began, before = time.monotonic(), _cpu(cluster)
    told = crowd.do(
        load.seconds + _BESIDES,
        do="buy",
        rate=load.rate,
        seconds=load.seconds,
        items=_item_ids(cluster.shop),
        at_checkout=load.at_checkout,
    )
    used = {part: after - before[part] for part, after in _cpu(cluster).items()}
    told["lasted"] = time.monotonic() - began
    everything = used.pop(_ALL)
    used["load client"] = told["cpu"]
    used["all else on this machine"] = max(0.0, everything - sum(used.values()))
    return told, used


def _balance(
    crowd: Client, cluster: Cluster, before: dict[str, int], told: dict[str, Any]
) -> tuple[Database, Ledger]:
    """Read the books, and again while the servers still work for shoppers who have left."""
    answered = [p["email"] for p in _bought(told)]
    deadline = time.monotonic() + _SETTLE
    while True:
        shown = crowd.do(_BESIDES, do="look", after=1.0)
        books = read_database(cluster.url, cart_ref)
        told["flips"] = shown["flips"]
        ledger = balance(before, books, answered, shown)
        if ledger.agrees or time.monotonic() > deadline:
            return books, ledger


def _item_ids(shop: Shop) -> list[str]:
    return [str(item["id"]) for item in shop.items()]


def _stock(shop: Shop, load: Load) -> None:
    """Put so much on the shelf that some sizes sell out in the drop, one after another."""
    skus = [item["sku"] for item in shop.items()]
    scarce, (least, most) = skus[::_SCARCE], _FEW
    asked_for = _pieces(load) / len(skus)
    for sku in skus:
        shop.set_stock(sku, round(asked_for * _ENOUGH) + _SPARE)
    for number, sku in enumerate(scarce):
        share = least + (most - least) * number / (len(scarce) - 1)
        shop.set_stock(sku, round(asked_for * share) + 1)


def _pieces(load: Load) -> float:
    """Return how many pieces will be asked for: those in the carts, then one with each purchase."""
    purchases = load.rate * load.seconds
    carts = min(purchases, load.streams)
    return 1.5 * carts + (purchases - carts if load.at_checkout else purchases)


def _shelf(shop: Shop) -> dict[str, int]:
    return {item["sku"]: item["available"] for item in shop.items()}


def _begin_to_look(cluster: Cluster, samples: Path | None) -> None:
    """Forget what was seen while the shoppers came in."""
    if samples is not None:
        count_statements(cluster.url)
        cluster.shop.look_anew()


def _cpu(cluster: Cluster) -> dict[str, float]:
    """Return the CPU times of all that runs here, in seconds."""
    times = psutil.cpu_times()
    return {
        "servers": sum(cpu_of(server.pid) for server in cluster.shop.servers),
        "PostgreSQL": cpu_of(cluster.postgresql.pid),
        "Redis": cpu_of(cluster.redis.pid),
        _ALL: sum(times[:3]) + times.irq + times.softirq,
    }


def _drop(
    load: Load,
    arrival: float,
    told: dict[str, Any],
    cpu: dict[str, float],
    books: Database,
    ledger: Ledger,
    statements: list[Statement],
) -> Drop:
    bought, over = _bought(told), told["began"] + told["seconds"]
    seen = sum(len(told["flips"].get(item, ())) for item in books.sold_out)
    return Drop(
        load=load,
        arrival=arrival,
        seconds=told["seconds"],
        outcomes=_outcomes(told),
        in_time=sum(p["answered"] <= over for p in bought),
        cpu=cpu,
        lasted=told["lasted"],
        never_emptied=sum(p["emptied"] is None for p in bought),
        never_sold_out=len(books.sold_out) * load.streams - seen,
        delays=_delays(told, books),
        ledger=ledger,
        statements=statements,
    )


def _bought(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [p for p in told["purchases"] if p["outcome"] == BOUGHT]


def _outcomes(told: dict[str, Any]) -> dict[str, int]:
    outcomes = Counter(p["outcome"] or "no answer in time" for p in told["purchases"])
    outcomes["all shoppers still waiting"] = told["nobody"]
    return {outcome: count for outcome, count in outcomes.most_common() if count}


def _delays(told: dict[str, Any], books: Database) -> Delays:
    bought = _bought(told)
    shown = [p for p in bought if p["emptied"] is not None and p["email"] in books.orders]

    def from_commit(elsewhere: bool) -> list[float]:
        those = (p for p in shown if p["elsewhere"] == elsewhere)
        return [p["emptied"] - books.orders[p["email"]] for p in those]

    return Delays(
        here=from_commit(False),
        elsewhere=from_commit(True),
        from_answer=[p["emptied"] - p["answered"] for p in shown],
        sold_out=[
            at - since for i, since in books.sold_out.items() for at in told["flips"].get(i, ())
        ],
        purchases=[p["answered"] - p["due"] for p in bought],
        client_late=[p["began"] - p["due"] for p in told["purchases"]],
        answers=told["times"],
    )


def refuse_too_few(load: Load) -> None:
    """Refuse a load that tells nothing.

    Raises:
        BadParameter: there would be hardly a purchase.
    """
    if load.rate * load.seconds < 20:
        raise click.BadParameter("give more --rate or --seconds: at least 20 purchases")
