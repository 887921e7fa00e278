"""The serving shop deletes what is old: untouched carts, and addresses that were mailed to."""

from __future__ import annotations

import logging
import random
import threading
import time

from sqlalchemy.exc import DBAPIError

from shop.carts import Carts
from shop.db import Database, DatabaseBusy
from shop.models.stock_alert import forget_old_addresses

log = logging.getLogger(__name__)

#: Seconds until it is looked for what is old the first time: after a start, others go first, and a
#: clock that is wrong is set. Drawn between these, as several processes start at once.
FIRST = (60.0, 600.0)

#: Seconds between two checks.
EVERY = (1800.0, 5400.0)

#: Seconds between two steps of one check, in which all others go on.
PAUSE = 0.1

_DAY = 24 * 3600


class Pruning:
    """Deletes what is old for as long as a process serves."""

    def __init__(self, database: Database, carts: Carts, keep_days: int) -> None:
        """Take for how many days a cart is kept that nobody touches; 0: for ever."""
        self._database = database
        self._carts = carts
        self._keep_days = keep_days

    def start(self) -> None:
        """Begin, in a thread (under gevent: a greenlet) of its own."""
        threading.Thread(target=self._run, name="pruning", daemon=True).start()

    def _run(self) -> None:
        time.sleep(random.uniform(*FIRST))
        while True:
            try:
                if self._keep_days:
                    self._prune()
                self._database.transact(forget_old_addresses, durable=False)
            except (DBAPIError, DatabaseBusy) as error:
                log.warning("what is old is left for later: %s", error)
            time.sleep(random.uniform(*EVERY))

    def _prune(self) -> None:
        deleted = self._carts.prune(self._keep_days * _DAY, PAUSE)
        if deleted:
            log.info("carts deleted that nobody touched for %d days: %d", self._keep_days, deleted)
