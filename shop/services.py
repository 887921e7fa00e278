"""The parts of one shop, put together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import cast

from flask import Flask, current_app
from werkzeug.local import LocalProxy

from shop import backups
from shop.carts import Carts
from shop.changes import EVERYTHING, Changes, cart_id_of
from shop.config import Settings
from shop.db import Database, open_database
from shop.inventory import Inventory
from shop.live import Live
from shop.logs import dropped_lines
from shop.metrics.counters import REDIS, Metrics
from shop.presence import OpenHere, Presence
from shop.product_views import Levels
from shop.pruning import Pruning
from shop.relay import Relay
from shop.render.fragments import Fragments
from shop.servers import Servers
from shop.stream_slots import StreamSlots
from shop.streams import Hub
from shop.versions import Floor


@dataclass(frozen=True)
class Services:
    """Everything that requests and commands work with."""

    settings: Settings
    database: Database
    changes: Changes
    inventory: Inventory
    carts: Carts
    fragments: Fragments
    hub: Hub
    stream_slots: StreamSlots
    live: Live
    metrics: Metrics
    #: to the other machines' servers; None on a single one
    relay: Relay | None
    presence: Presence
    servers: Servers
    pruning: Pruning


def install_services(app: Flask, settings: Settings) -> Services:
    """Build the parts for an app; `services` stands for them wherever the app is current."""
    database, changes, hub = open_database(settings.database_url), Changes(), Hub()
    floor = Floor(database, settings.instance / "version_numbers")
    inventory = Inventory(database, Levels(settings.low_stock, settings.medium_stock), floor)
    carts, fragments = Carts(database), Fragments(app.jinja_env)
    relay = Relay(settings.redis_url, settings.redis_prefix) if settings.redis_url else None
    _connect(changes, database, inventory, relay)
    metrics = Metrics()
    _count(metrics, hub, inventory, relay)
    metrics.follow_backups(partial(backups.age, settings.instance))
    live = Live(database, inventory, carts, changes, fragments, hub, metrics, relay)
    here = OpenHere(hub, live.open_carts, inventory)
    stream_slots = StreamSlots(settings.instance / "run" / "stream_slots")
    hub.on_event_stream = partial(_count_slot, stream_slots)
    built = Services(
        settings=settings,
        database=database,
        changes=changes,
        inventory=inventory,
        carts=carts,
        fragments=fragments,
        hub=hub,
        live=live,
        metrics=metrics,
        relay=relay,
        servers=Servers(database, settings, here.server),
        presence=Presence(settings.instance / "run", here, relay),
        pruning=Pruning(carts, settings.keep_carts_days),
        stream_slots=stream_slots,
    )
    app.extensions["shop"] = built
    return built


def _connect(
    changes: Changes, database: Database, inventory: Inventory, relay: Relay | None
) -> None:
    """Lay the way of a change: committed, heard here, carried to the others."""
    database.on_commit = changes.announce
    changes.subscribe(inventory.hear)
    if relay is not None:
        changes.carry = relay.announce
        relay.hear_changes(changes.hear)
        relay.on_change = lambda up: _relay_changed(changes, database, up)


def _count(metrics: Metrics, hub: Hub, inventory: Inventory, relay: Relay | None) -> None:
    """Have what the parts do counted, of those that know nothing of being counted."""
    metrics.follow(hub.statistics)
    metrics.follow_log(dropped_lines)
    inventory.on_refreshed = metrics.refresh.observe
    if relay is not None:
        relay.on_trouble = lambda: metrics.troubled(REDIS)


def _relay_changed(changes: Changes, database: Database, up: bool) -> None:
    database.relay_changed(up)
    changes.hear(frozenset({EVERYTHING}))  # what happened while nobody told may have been missed


def _count_slot(stream_slots: StreamSlots, topic: str, change: int) -> None:
    if cart_id_of(topic) is not None:
        stream_slots.count(topic, change)


def current_services() -> Services:
    """Return the parts of the current app: `services`, for who needs several of them."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # at half the cost
    found: Services = app.extensions["shop"]
    return found


services = cast(Services, LocalProxy(current_services))
