"""What operators' commands work with. Nothing of a server is imported here: commands start fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, current_app

from shop.changes import Changes
from shop.db import Database, open_database
from shop.presence import Presence

if TYPE_CHECKING:
    from shop.config import Settings
    from shop.relay import Relay


@dataclass(frozen=True)
class CommandServices:
    """What operators' commands work with, in a process of their own."""

    settings: Settings
    database: Database
    changes: Changes
    #: to the other machines' servers; None on a single one
    relay: Relay | None
    presence: Presence


def install_command_services(app: Flask, settings: Settings) -> None:
    """Build what commands work with; `command_services` stands for it where the app is current."""
    relay = open_relay(settings)
    built = CommandServices(
        settings=settings,
        database=open_database(settings.database_url),
        changes=Changes(),
        relay=relay,
        presence=Presence(settings.instance / "run", relay),
    )
    announce_commits(built)
    app.extensions["shop"] = built


def open_relay(settings: Settings) -> Relay | None:
    """Return the relay to the other machines' servers; None on a single one."""
    if not settings.redis_url:
        return None
    from shop.relay import Relay

    return Relay(settings.redis_url, settings.redis_prefix)


def announce_commits(built: CommandServices) -> None:
    """Have what is committed announced: heard here, and sent to the other processes."""
    built.database.on_commit = built.changes.announce
    if built.relay is not None:
        built.changes.carry = built.relay.announce


def current_command_services() -> CommandServices:
    """Return what commands work with in the current app: `command_services`."""
    found: CommandServices = current_app.extensions["shop"]
    return found


class Current:
    """Stands for what is current wherever it is asked for something.

    Werkzeug's proxy takes three times as long, and a page asks a dozen times.
    """

    def __init__(self, find: Callable[[], object]) -> None:
        """Take what returns the one that is current."""
        self._find = find

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)


command_services = cast(CommandServices, Current(current_command_services))
