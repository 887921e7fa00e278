"""What must hold of open streams."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from bench.goals import Goal
from bench.trials import CARTS, FRAGMENT, SHOP, SMALL, Results, ratio

#: At most, in KB: memory of an idle stream without a cart, and with its own of two lines.
BARE, WITH_CART = 1.5, 3.0

#: At most, as multiples in the same run: of nchan's figure, and of a bare send and receive.
BESIDE_NCHAN, BESIDE_FLOOR = 1.0, 1.5

#: At most, in ms of CPU time: cookie check and first message included.
TO_OPEN = 0.8

#: At most, as multiples of a generator's and greenlet's for each stream.
_BESIDE_PLAIN = {"memory": 0.2, "cpu_per_delivery": 0.5}

#: What is compared: who, sending what.
_COMPARED = (("hub", SMALL), (SHOP, FRAGMENT))


def goals_of(results: Results) -> Iterator[Goal]:
    """Give what must hold, and what was found of it."""
    tabs = f"{results.most:,} tabs: "
    yield _absolute(results, f"{tabs}memory of an idle one, bare", SHOP, "memory", BARE)
    yield _absolute(results, f"{tabs}with a cart of two lines", CARTS, "memory", WITH_CART)
    yield from _beside_nchan(results, "CPU per delivery", "cpu_per_delivery")
    for who, message in _COMPARED:
        delivery = ratio(results.of(who, message, "cpu_per_delivery"), results.floor(message))
        what = f"CPU per delivery, {message}, to a bare send and receive"
        yield Goal(what, delivery, BESIDE_FLOOR, "×")
    yield from _beside_nchan(results, "first tab to last", "first_to_last")
    yield _absolute(results, "CPU to open a stream with a cart", CARTS, "cpu_per_opening", TO_OPEN)
    yield from _beside_plain(results)


def _absolute(results: Results, what: str, who: str, figure: str, allowed: float) -> Goal:
    """Make a goal of a figure of the real shop, in KB or ms."""
    scale, unit = (1 / 1024, "KB") if figure == "memory" else (1e3, "ms")
    values = results.of(who, FRAGMENT, figure)
    return Goal(what, median(values) * scale if values else None, allowed, unit)


def _beside_nchan(results: Results, title: str, figure: str) -> Iterator[Goal]:
    for who, message in _COMPARED:
        measured = ratio(results.of(who, message, figure), results.of("nchan", message, figure))
        yield Goal(f"{title}, {message}, to nchan's", measured, BESIDE_NCHAN, "×")


def _beside_plain(results: Results) -> Iterator[Goal]:
    for figure, allowed in _BESIDE_PLAIN.items():
        title = figure.replace("cpu", "CPU").replace("_", " ")
        measured = ratio(*(results.of(who, FRAGMENT, figure) for who in (SHOP, "plain")))
        yield Goal(f"{title}, {FRAGMENT}, to a plain generator's", measured, allowed, "×")
