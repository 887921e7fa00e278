"""Whether the servers of one database agree on what must be the same for all of them.

Each writes every few seconds that it is there, with fingerprints of its secret keys and the
settings that count, and reads what the others say. That it could be written is also what tells
whether the shop is ready: an action would be written the same way.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.exc import DBAPIError

from shop.config import Settings, release_version
from shop.db import Database, DatabaseBusy, DatabaseReadOnly, Transaction
from shop.models import database_time
from shop.models.server import Server

log = logging.getLogger(__name__)

#: How often a server says that it is there, and after how long without that it is taken for gone;
#: in seconds.
BEAT, GONE_AFTER = 5.0, 15.0

#: How far a clock may be from the database's, in seconds, before that is said.
APART = 1.0

#: How long what others hold is waited for, in seconds: they can write, so this one could.
_TIMEOUT = 0.5

#: Settings that make a shop unfit for shoppers who come to this server and to others.
_KEY, _MUST = "SHOP_SECRET_KEY", ("SHOP_CURRENCY",)

_FORGET = delete(Server).where(
    (Server.name == bindparam("name")) | (Server.seen < bindparam("before"))
)
_SAY = insert(Server)
_OTHERS = select(Server.name, Server.settings, Server.keys, Server.started).where(
    Server.name != bindparam("name"), Server.seen >= bindparam("since")
)


@dataclass(frozen=True)
class Difference:
    """Something that is not as it must be."""

    text: str
    #: whether this server should not be given shoppers
    serious: bool


class Servers:
    """This server among the others on its database."""

    def __init__(self, database: Database, settings: Settings, name: str) -> None:
        self._database = database
        self._settings = settings
        self._name = name
        self._started: int | None = None
        self._keys: list[str] = []
        #: what differs, as of the last time that this server said that it is there
        self.differences: tuple[Difference, ...] = ()
        self._running = False

    def start(self) -> None:
        """Say that this server is there, from now on again and again; say at once what differs."""
        self._running = True
        self._beat()
        threading.Thread(target=self._run, name="servers", daemon=True).start()

    def stop(self) -> None:
        """Say that this server is gone."""
        self._running = False
        with suppress(DBAPIError, DatabaseBusy):
            self._database.transact(self._leave, durable=False, timeout=_TIMEOUT)

    def check(self) -> None:
        """See whether the shop can be written, and what differs; see `differences`.

        Raises:
            DatabaseReadOnly: it can be read, and not written.
            DBAPIError, DatabaseBusy: there is no answer.
        """
        try:
            self._report()
        except DatabaseReadOnly:
            raise
        except DatabaseBusy:  # others write, which is as good a sign
            self._database.ping()
        except DBAPIError as error:
            self._database.ping()
            raise DatabaseReadOnly("the database takes no changes") from error

    def with_other_keys(self) -> list[str]:
        """Return the names of servers whose secret keys have nothing to do with this one's."""
        since = {"name": self._name, "since": self._now() - int(GONE_AFTER * 1000)}
        others = self._database.rows(_OTHERS, since)
        return [other.name for other in others if not self._trusts(other.keys)]

    def _run(self) -> None:
        while self._running:
            time.sleep(BEAT)
            if self._running:
                self._beat()

    def _beat(self) -> None:
        try:
            self._report()
        except (DBAPIError, DatabaseBusy) as error:
            log.debug("this server could not say that it is there: %s", error)
        except Exception:
            log.exception("this server could not say that it is there")

    def _report(self) -> None:
        began = _here()
        now = self._now()
        differences = self._clock((began + _here()) / 2 - now)
        others = self._database.transact(
            lambda transaction: self._exchange(transaction, now),
            durable=False,
            timeout=_TIMEOUT,
        )
        for other in others:
            differences += self._compare(other)
        known = {difference.text for difference in self.differences}
        self.differences = tuple(differences)
        for difference in self.differences:
            if difference.text not in known:
                level = logging.ERROR if difference.serious else logging.WARNING
                log.log(level, "%s", difference.text)

    def _exchange(self, transaction: Transaction, now: int) -> Sequence[Any]:
        self._started = self._started or now
        since = now - int(GONE_AFTER * 1000)
        transaction.execute(_FORGET, {"name": self._name, "before": since})
        own = {
            "name": self._name,
            "settings": json.dumps(self._own_settings()),
            "keys": " ".join(self._own_keys()),
            "started": self._started,
            "seen": now,
        }
        transaction.execute_each(_SAY, [own])
        return transaction.execute(_OTHERS, {"name": self._name, "since": since})

    def _leave(self, transaction: Transaction) -> None:
        transaction.execute(_FORGET, {"name": self._name, "before": 0})

    def _now(self) -> int:
        return database_time(self._database)

    def _clock(self, apart: float) -> list[Difference]:
        if abs(apart) <= APART * 1000:
            return []
        way = "ahead of" if apart > 0 else "behind"
        return [Difference(f"clock: {round(abs(apart) / 1000)} s {way} the database's", False)]

    def _compare(self, other: Any) -> list[Difference]:
        """Return what differs from another server; the one that came later is wrong."""
        began = self._started or 0
        later = (other.started, other.name) < (began, self._name)
        found = []
        if not self._trusts(other.keys):
            text = f"{_KEY}: not the one of {other.name}, which refuses the carts of this server"
            found.append(Difference(text, later))
        theirs = json.loads(other.settings)
        for name, value in self._own_settings().items():
            if theirs.get(name, value) != value:
                text = f"{name}: {value} here, {theirs[name]} on {other.name}"
                found.append(Difference(text, later and name in _MUST))
        return found

    def _trusts(self, keys: str) -> bool:
        """Tell whether one of two servers believes what the other one signs."""
        theirs, ours = keys.split(), self._own_keys()
        return theirs[0] in ours or ours[0] in theirs

    def _own_keys(self) -> list[str]:
        if not self._keys:
            keys = [self._settings.secret_key, *self._settings.secret_keys]
            self._keys = [_fingerprint(key) for key in dict.fromkeys(keys)]
        return self._keys

    def _own_settings(self) -> dict[str, str]:
        settings = self._settings
        return {
            "version": release_version(),
            "SHOP_CURRENCY": settings.currency,
            "SHOP_HTTPS": "on" if settings.https else "off",
            "SHOP_LOW_STOCK": str(settings.low_stock),
            "SHOP_MEDIUM_STOCK": str(settings.medium_stock),
            "SHOP_REDIS_URL": "set" if settings.redis_url else "not set",
        }


def _here() -> int:
    return time.time_ns() // 1_000_000


def _fingerprint(key: str) -> str:
    """Return what tells two keys apart, and takes as long to guess from as memory-hard gets."""
    return hashlib.scrypt(key.encode(), salt=b"the shop's", n=2**14, r=8, p=1, dklen=12).hex()
