"""The parts of one shop, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app
from werkzeug.local import LocalProxy

from shop.carts import Carts
from shop.changes import Changes
from shop.config import Settings
from shop.db import Database
from shop.fragments import Fragments
from shop.inventory import Inventory, Levels
from shop.live import Live
from shop.streams import Hub


@dataclass(frozen=True)
class Parts:
    """Everything that requests and commands work with."""

    settings: Settings
    database: Database
    changes: Changes
    inventory: Inventory
    carts: Carts
    fragments: Fragments
    hub: Hub
    live: Live


def install_parts(app: Flask, settings: Settings) -> Parts:
    """Build the parts for an app; `parts` stands for them wherever the app is current."""
    database, changes, hub = Database(settings.database_url), Changes(), Hub()
    inventory = Inventory(database, Levels(settings.low_stock, settings.medium_stock))
    carts, fragments = Carts(database, changes), Fragments(app.jinja_env)
    built = Parts(
        settings=settings,
        database=database,
        changes=changes,
        inventory=inventory,
        carts=carts,
        fragments=fragments,
        hub=hub,
        live=Live(database, inventory, carts, changes, fragments, hub),
    )
    app.extensions["shop"] = built
    return built


parts = cast(Parts, LocalProxy(lambda: current_app.extensions["shop"]))
