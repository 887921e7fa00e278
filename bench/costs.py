"""What things cost, read from what the other benchmarks wrote down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from bench.trials import CARTS, FRAGMENT
from bench.visits import CHANGE, CHECKOUT, OPEN, PAGE, Round, Slice

#: Which command makes which file; the last two write where they are told to.
COMMANDS = {
    "streams": "bin/bench streams",
    "sellout": "bin/bench sellout",
    "herd": "bin/bench herd",
    "pages": "bin/bench pages",
    "parts": "bin/bench parts",
    "cluster": "bin/bench cluster --part drop --json docs/benchmarks/cluster.json",
}

#: Messages that a purchase makes: of the add, and of the order.
MESSAGES = 2

Figures = dict[str, Any]


@dataclass(frozen=True)
class Costs:
    """What a thing costs. CPU times in seconds, of one processor; sizes in bytes."""

    #: a server process before any stream is open, and each stream with a cart of its own
    process_memory: float
    stream_memory: float
    #: opening a stream with a cart; a fragment that is the same for all, to one tab; a cart's own
    opening: float
    delivery: float
    own_delivery: float
    #: that fragment, as it goes to a tab
    fragment_bytes: int
    #: requests at a server with SQLite
    page: float
    change: float
    checkout: float
    #: a purchase (add, checkout page, order) of a shop on several servers, by who works for it
    purchase: float
    purchase_database: float
    purchase_redis: float
    #: a change that another server made: for each message that is heard, and each name in it
    hearing_message: float
    hearing_name: float
    #: Redis: for each message, and each process that it goes to
    redis_message: float
    redis_subscriber: float
    #: PostgreSQL: the catalogue, read once, and a cart
    shelf_read: float
    cart_read: float
    #: for how long a purchase keeps others from the same item
    hot_row: float
    #: nginx with TLS: each stream that is open, its opening, and a fragment to it
    proxied_memory: float
    proxied_opening: float
    proxied_delivery: float
    #: how many processes served when `purchase` was measured
    servers: int = 2

    @property
    def requests(self) -> float:
        """What a purchase's three requests take, without what other servers hear of them."""
        heard = MESSAGES * (self.servers - 1) * self.hearing_message
        return max(self.purchase / 2, self.purchase - heard)


@dataclass(frozen=True)
class Benchmarks:
    """The files of all benchmarks, by name."""

    files: dict[str, Figures]

    @classmethod
    def read(cls, folder: Path) -> Benchmarks:
        """Read them all.

        Raises:
            ClickException: some are not there; it says how they are made.
        """
        missing = [name for name in COMMANDS if not (folder / f"{name}.json").exists()]
        if missing:
            commands = "\n".join(f"  {COMMANDS[name]}" for name in missing)
            names = ", ".join(f"{name}.json" for name in missing)
            raise click.ClickException(f"{folder} lacks {names}. Run first:\n{commands}")
        return cls({name: json.loads((folder / f"{name}.json").read_text()) for name in COMMANDS})

    def __getitem__(self, name: str) -> Figures:
        return self.files[name]

    def told(self, what: str) -> list[Figures]:
        """Return the broadcasts of `sellout`: `carts` or `shared`."""
        return [told for told in self["sellout"]["told"] if told["what"] == what]

    def trials(self, who: str, message: str = FRAGMENT) -> list[Figures]:
        """Return what `streams` tried of one server, the fewest streams first."""
        those = (t for t in self["streams"]["trials"] if (t["who"], t["message"]) == (who, message))
        return sorted(those, key=lambda trial: int(trial["streams"]))

    def rounds(self) -> list[Round]:
        """Return the rounds of `pages`, in which what stands here was measured."""
        return [
            Round({w: {k: Slice(**s) for k, s in by.items()} for w, by in one["slices"].items()})
            for one in self["pages"]["rounds"]
        ]

    def costs(self) -> Costs:
        """Put together what everything costs."""
        largest, drop, parts = self.trials(CARTS)[-1], self["cluster"]["drop"], self["parts"]
        rounds, made = self.rounds(), max(1, drop["outcomes"].get("bought", 0))
        return Costs(
            process_memory=parts["process"]["memory"],
            stream_memory=largest["median"]["memory"],
            opening=largest["median"]["cpu_per_opening"],
            delivery=largest["median"]["cpu_per_delivery"],
            own_delivery=median(told["cpu"] for told in self.told("carts"))
            / self["sellout"]["options"]["tabs"],
            fragment_bytes=largest["bytes"],
            page=median(one.cpu(PAGE, OPEN) for one in rounds),
            change=median(one.cpu(CHANGE, OPEN) for one in rounds),
            checkout=median(one.cpu(CHECKOUT, OPEN) for one in rounds),
            purchase=drop["cpu"]["servers"] / made,
            purchase_database=drop["cpu"]["PostgreSQL"] / made,
            purchase_redis=drop["cpu"]["Redis"] / made,
            hearing_message=parts["hearing"]["message"],
            hearing_name=parts["hearing"]["name"],
            redis_message=parts["redis"]["message"],
            redis_subscriber=parts["redis"]["subscriber"],
            shelf_read=parts["postgresql"]["shelf_read"],
            cart_read=parts["postgresql"]["cart_read"],
            hot_row=parts["postgresql"]["hot_row"],
            proxied_memory=parts["nginx"]["memory"],
            proxied_opening=parts["nginx"]["opening"],
            proxied_delivery=parts["nginx"]["delivery"],
            servers=drop["load"]["servers"],
        )
