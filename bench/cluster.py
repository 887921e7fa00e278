"""`bin/bench cluster`: the shop on several servers, with PostgreSQL and Redis, under a drop."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from bench.cluster_report import Tabs, print_drop, print_profile, print_tabs
from bench.drop import Load, refuse_too_few, run_drop
from bench.machine import Machine, allow_files
from bench.one_cart import Delays, OneCart
from bench.report import json_option, write_json
from bench.samples import read_profile
from bench.shops import Shop, open_cluster, open_shop

#: What must hold, in seconds: a change is in all tabs of its cart, p95, with several servers and
#: with one alone.
SEVERAL, ALONE = 0.150, 0.100

PARTS = ("cart", "alone", "drop")


@click.command()
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Measure this only: tabs of one CART on all servers, the same on a server ALONE with "
    "SQLite, a DROP. Can be given twice.",
)
@click.option("--servers", default=2, type=click.IntRange(2, 8), show_default=True)
@click.option(
    "--tabs",
    default=12,
    type=click.IntRange(2, 40),
    show_default=True,
    help="Of one cart, on the servers in turn.",
)
@click.option(
    "--changes",
    default=200,
    type=click.IntRange(10, 5000),
    show_default=True,
    help="Of that cart, at the servers in turn.",
)
@click.option(
    "--streams",
    default=4000,
    type=click.IntRange(10, 50_000),
    show_default=True,
    help="Shoppers in the drop, each with a tab and a cart.",
)
@click.option(
    "--rate",
    default=100.0,
    type=click.FloatRange(0.5, 5000),
    show_default=True,
    help="Purchases offered a second, however the shop is doing.",
)
@click.option(
    "--seconds",
    default=60.0,
    type=click.FloatRange(2, 3600),
    show_default=True,
    help="Of purchases.",
)
@click.option(
    "--at-checkout",
    is_flag=True,
    help="Shoppers stand at the checkout with what they want: a purchase is one request, and an "
    "add before it only for a cart that was bought before.",
)
@click.option(
    "--profile",
    is_flag=True,
    help="Tell where the servers' CPU time goes, and what PostgreSQL is asked. Costs some itself.",
)
@json_option
def cluster(
    parts: tuple[str, ...],
    servers: int,
    tabs: int,
    changes: int,
    streams: int,
    rate: float,
    seconds: float,
    at_checkout: bool,
    profile: bool,
    file: Path | None,
) -> None:
    """Measure a shop on several servers, with a real PostgreSQL (fsync on) and a real Redis.

    First, how soon a change of a cart is in all tabs that show it, on whichever server. Then a
    drop: shoppers with a tab and a cart each buy at random moments, half of them at another server
    than their tab's, and some sizes sell out. A purchase is an add, the checkout page and the
    order. Afterwards the books must agree with what was answered and with what tabs show.

    PostgreSQL and Redis must be installed; bin/test does that. Takes some five minutes, most of it
    for letting 4,000 shoppers in.

    \b
    Examples:
      bin/bench cluster
      bin/bench cluster --part cart --part alone --changes 500
      bin/bench cluster --part drop --streams 400 --rate 20 --seconds 15 --profile
    """
    machine, load = Machine.here(), Load(servers, streams, rate, seconds, at_checkout)
    wanted = parts or PARTS
    if "drop" in wanted:
        refuse_too_few(load)
        allow_files(2 * streams)
    figures: dict[str, Any] = {"carts": list(_measure_carts(wanted, servers, tabs, changes))}
    print_tabs(figures["carts"])
    if "drop" in wanted:
        figures |= _measure_drop(load, profile)
    figures["load_after"] = os.getloadavg()[0]
    click.echo(f"\n{machine}, after it {figures['load_after']:.1f}")
    if file is not None:
        write_json(file, machine=machine, **figures)


def _measure_carts(wanted: Sequence[str], servers: int, tabs: int, changes: int) -> Iterator[Tabs]:
    if "cart" in wanted:
        _say(f"{changes} changes of a cart in {tabs} tabs on {servers} servers …")
        with open_cluster(servers) as opened:
            delays = _change(opened.shop, tabs, changes)
        yield Tabs(f"{servers} servers, PostgreSQL", SEVERAL, delays)
    if "alone" in wanted:
        _say(f"{changes} changes of a cart in {tabs} tabs on one server …")
        with open_shop() as shop:
            delays = _change(shop, tabs, changes)
        yield Tabs("1 server, SQLite", ALONE, delays)


def _change(shop: Shop, tabs: int, changes: int) -> Delays:
    cart = OneCart([server.port for server in shop.servers], tabs)
    try:
        return cart.change(changes, [str(item["id"]) for item in shop.items()])
    finally:
        cart.close()


def _measure_drop(load: Load, looking: bool) -> dict[str, Any]:
    with TemporaryDirectory(prefix="shop-bench-samples-") as folder:
        samples = Path(folder) if looking else None
        drop = run_drop(load, samples, _say)
        profile = read_profile(samples) if samples else None
    print_drop(drop)
    if profile is not None:
        print_profile(profile, drop)
    return {"drop": drop, "profile": profile}


def _say(text: str) -> None:
    click.echo(text, err=True)
