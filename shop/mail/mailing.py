"""The serving shop sends the mails that wait, in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from sqlalchemy.exc import DBAPIError

from shop.changes import order_id_of
from shop.db import Database, DatabaseBusy
from shop.mail.carriers import CarrierAway
from shop.mail.outbox import Outbox
from shop.models.mail import NO_BACKLOG, read_backlog

log = logging.getLogger(__name__)

#: How often it is looked for mails that other processes queued, or whose next try has come.
EVERY = 2.0

#: How long mails rest while none can be handed over, in seconds: at first, and at the most.
REST = (5.0, 60.0)

#: The part of its time that a process spends on mails at the most: shoppers have the other.
SHARE = 0.05


class Mailing:
    """Sends mails for as long as a process serves; several processes take turns, mail by mail."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._rest = REST[0]
        self._away = ""
        #: what waits, as it was last counted
        self.backlog = NO_BACKLOG
        self._counted_at = time.monotonic()

    @property
    def oldest(self) -> float:
        """How long the oldest mail waits by now, in seconds; 0 if none does."""
        if not self.backlog.waiting:
            return 0.0
        return self.backlog.oldest + time.monotonic() - self._counted_at

    def hear(self, names: Iterable[str]) -> None:
        """Look for mails soon, if something happened to an order."""
        if not self._wake.is_set() and any(order_id_of(name) is not None for name in names):
            self._wake.set()

    def start(self) -> None:
        """Begin, in a thread (under gevent: a greenlet) of its own."""
        self._thread = threading.Thread(target=self._run, name="mailing", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End when the mail that is being sent is sent, or after some seconds."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(3.0)

    def _run(self) -> None:
        while not self._stopping:
            rest = EVERY
            try:
                self._send()
            except CarrierAway as error:
                rest = self._wait_for_carrier(str(error))
            except (DBAPIError, DatabaseBusy) as error:
                log.warning("mails wait, the database does not answer: %s", error)
            except Exception:
                log.exception("sending mails failed; it goes on")
            self._wait(rest)

    def _send(self) -> None:
        self._count()
        if not self.backlog.waiting:
            return
        for outcome in self._outbox.send():
            if outcome.why:
                # Its address is the shopper's, and may be in what the server said.
                log.warning("mail %d is tried again later", outcome.mail.id)
            self._carrier_is_there()
            if self._stopping:
                return
            if time.monotonic() - self._counted_at > EVERY:
                self._count()
            time.sleep(outcome.worked * (1 / SHARE - 1))
        self._count()

    def _count(self) -> None:
        self.backlog = read_backlog(self._database)
        self._counted_at = time.monotonic()

    def _wait_for_carrier(self, why: str) -> float:
        """Say once that no mail can be handed over; return for how long to rest, in seconds."""
        if why != self._away:
            log.warning("mails wait: %s", why)
        self._away = why
        rest, self._rest = self._rest, min(self._rest * 2, REST[1])
        return rest

    def _carrier_is_there(self) -> None:
        if self._away:
            log.info("mails are sent again")
        self._away, self._rest = "", REST[0]

    def _wait(self, seconds: float) -> None:
        """Wait for a mail that was queued here, or for so long; while none can go, for so long."""
        if self._away:
            until = time.monotonic() + seconds
            while time.monotonic() < until and not self._stopping:
                time.sleep(min(1.0, max(0.0, until - time.monotonic())))
            return
        self._wake.wait(seconds)
        self._wake.clear()
