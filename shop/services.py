"""The services of one shop, and all the wiring between them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import cast

from flask import Flask, current_app

from shop import backups
from shop.background import Background
from shop.carts import Carts
from shop.changes import EVERYTHING, Changes, cart_id_of
from shop.clock import ShopClock
from shop.command_services import CommandServices, Current, announce_commits, open_relay
from shop.config import Settings
from shop.cost_file import FILE, read_costs
from shop.db import Database, open_database
from shop.descriptions import Descriptions
from shop.face.face import Face
from shop.inventory import Inventory
from shop.live import Live
from shop.logs import dropped_lines
from shop.mail.mailing import Mailing
from shop.mail.outbox import Outbox
from shop.media import Media
from shop.metrics.counters import REDIS, Metrics
from shop.openings import Openings
from shop.orders import Orders
from shop.payments.choosing import choose_provider
from shop.payments.provider import Provider
from shop.payments.queue import PaymentQueue
from shop.presence.answering import AnsweringPresence
from shop.product_views import Levels
from shop.pruning import Pruning
from shop.purchase import Terms
from shop.render.cache import RenderCache
from shop.render.fragments import Fragments
from shop.render.page_cache import PageCache
from shop.servers import Servers
from shop.stream_slots import StreamSlots
from shop.streams import Hub
from shop.tab_contents import TabContents
from shop.unannounced import Unannounced
from shop.versions import Floor

log = logging.getLogger(__name__)

_NO_MONEY = {"demo": "SHOP_PAYMENTS is demo", "stripe": "SHOP_STRIPE_KEY is a test key"}


@dataclass(frozen=True)
class Services(CommandServices):
    """Everything that requests work with."""

    presence: AnsweringPresence
    clock: ShopClock
    inventory: Inventory
    carts: Carts
    descriptions: Descriptions
    face: Face
    fragments: Fragments
    pages: PageCache
    hub: Hub
    stream_slots: StreamSlots
    contents: TabContents
    live: Live
    metrics: Metrics
    servers: Servers
    media: Media
    orders: Orders
    background: Background
    #: on what terms is sold
    terms: Terms
    #: takes the money; None: orders are paid outside
    provider: Provider | None

    def start(self) -> None:
        """Begin all that goes on beside the requests of a process that serves."""
        self.presence.start()
        self.servers.start()
        self.background.start()
        if self.settings.https and self.provider is not None and not self.provider.live:
            log.warning("no money moves in this shop: %s", _NO_MONEY[self.provider.name])

    def stop(self) -> None:
        """End what goes on beside the requests."""
        self.background.stop()
        self.servers.stop()


def install_services(app: Flask, settings: Settings) -> Services:
    """Build the services for an app; `services` stands for them wherever the app is current."""
    built = _build(app, settings)
    _connect(built)
    _count(built)
    app.extensions["shop"] = built
    return built


def _build(app: Flask, settings: Settings) -> Services:
    database, relay = open_database(settings.database_url), open_relay(settings)
    hub, metrics, carts, rendered = Hub(), Metrics(), Carts(database), RenderCache()
    run, provider = settings.instance / "run", choose_provider(settings, database)
    inventory, clock = _inventory(database, settings), ShopClock(database)
    terms = _terms(settings, provider)
    fragments = Fragments(app.jinja_env, rendered, terms.costs)
    descriptions, orders = Descriptions(database, rendered), Orders(database)
    contents = TabContents(hub, inventory, carts, fragments, descriptions, clock, orders)
    unannounced = Unannounced(database, inventory, carts, contents)
    presence = AnsweringPresence(run, hub, contents.open_carts, inventory, relay)
    background = _background(settings, database, carts, inventory, clock, provider)
    return Services(
        *(settings, database, Changes(), relay, presence),
        *(clock, inventory, carts, descriptions),
        face=Face(settings.instance, settings.name),
        fragments=fragments,
        pages=PageCache(rendered),
        hub=hub,
        stream_slots=StreamSlots(run / "stream_slots"),
        contents=contents,
        live=Live(database, inventory, contents, unannounced, hub, metrics, relay),
        metrics=metrics,
        servers=Servers(database, settings, presence.server),
        media=Media(database, settings.instance),
        orders=orders,
        background=background,
        terms=terms,
        provider=provider,
    )


def _background(
    settings: Settings,
    database: Database,
    carts: Carts,
    inventory: Inventory,
    clock: ShopClock,
    provider: Provider | None,
) -> Background:
    return Background(
        Pruning(database, carts, settings.keep_carts_days),
        Openings(database, clock, inventory),
        Mailing(database, Outbox.of(database, settings)),
        PaymentQueue.of(settings, database, provider) if provider else None,
    )


def _terms(settings: Settings, provider: Provider | None) -> Terms:
    return Terms(
        settings.currency,
        most=settings.max_per_order,
        most_each=settings.max_per_customer,
        provider=provider.name if provider else None,
        live=provider is not None and provider.live,
        costs=read_costs(settings.instance / FILE, settings.currency),
    )


def _inventory(database: Database, settings: Settings) -> Inventory:
    floor = Floor(database, settings.instance / "version_numbers")
    return Inventory(database, Levels(settings.low_stock, settings.medium_stock), floor)


def _connect(built: Services) -> None:
    """Wire the way of a change: committed, heard here, sent to other processes, shown in tabs."""
    changes, hub, relay = built.changes, built.hub, built.relay
    announce_commits(built)
    changes.subscribe(built.inventory.hear)
    changes.subscribe(built.live.hear)
    changes.subscribe(built.background.mailing.hear)
    if built.background.payments is not None:
        changes.subscribe(built.background.payments.hear)
    built.inventory.listeners.append(built.live.hear_stock)
    hub.on_empty = built.contents.forget
    hub.on_event_stream = partial(_count_slot, built.stream_slots)
    if relay is not None:
        relay.hear_changes(changes.hear)
        relay.on_change = partial(_relay_changed, built)


def _count(built: Services) -> None:
    """Have counted what the services do, of those that know nothing of being counted."""
    metrics = built.metrics
    metrics.follow(built.hub.statistics)
    metrics.follow_log(dropped_lines)
    metrics.follow_backups(partial(backups.age, built.settings.instance))
    metrics.follow_mails(lambda: built.background.mailing.oldest)
    built.inventory.on_refreshed = metrics.refresh.observe
    if built.relay is not None:
        built.relay.on_trouble = partial(metrics.troubled, REDIS)


def _relay_changed(built: Services, up: bool) -> None:
    built.database.relay_changed(up)
    # What happened while it was away may have been missed.
    built.changes.hear(frozenset({EVERYTHING}))


def _count_slot(slots: StreamSlots, topic: str, change: int) -> None:
    if cart_id_of(topic) is not None:
        slots.count(topic, change)


def current_services() -> Services:
    """Return the services of the current app: `services`, for code that needs several of them."""
    # At half the cost of asking what stands for the app.
    return services_of(current_app._get_current_object())  # type: ignore[attr-defined]


def services_of(app: Flask) -> Services:
    """Return the services of an app."""
    found: Services = app.extensions["shop"]
    return found


services = cast(Services, Current(current_services))
