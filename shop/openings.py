"""Products open by themselves at their announced moment, by whichever process is up.

Every process that serves waits for the next moment, by the database's clock, and then asks the
database to open what is due. That does it once; the others find it done. What came due while no
process was up opens when the first one starts.
"""

from __future__ import annotations

import logging
import threading
import time

from sqlalchemy.exc import DBAPIError

from shop.clock import ShopClock
from shop.db import Database, DatabaseBusy
from shop.inventory import Inventory
from shop.models import open_due

log = logging.getLogger(__name__)

#: How long is waited at a time, in seconds: a moment may be announced or changed meanwhile, and
#: clocks are set.
POLL = 0.25

#: Seconds until the next try while the database is away.
RETRY = 0.5


class Openings:
    """Opens products at their moment for as long as a process serves."""

    def __init__(self, database: Database, clock: ShopClock, inventory: Inventory) -> None:
        self._database = database
        self._clock = clock
        self._inventory = inventory

    def start(self) -> None:
        """Begin, in a thread (under gevent: a greenlet) of its own."""
        threading.Thread(target=self._run, name="openings", daemon=True).start()

    def _run(self) -> None:
        read = False
        while True:
            try:
                read = read or bool(self._clock.read())  # pages say what time it is
                pause = self._turn()
            except (DBAPIError, DatabaseBusy) as error:
                log.debug("what is due can't be opened: %s", error)
                pause = RETRY
            except Exception:
                log.exception("what is due could not be opened")
                pause = RETRY
            time.sleep(pause)

    def _turn(self) -> float:
        """Open what is due; return after how many seconds to look again."""
        moment = self._inventory.current().next_opening
        if moment is None:
            return POLL
        left = (moment - self._clock.read()) / 1000
        if left > 0:
            return min(left, POLL)
        opened = self._database.transact(open_due)
        if opened:
            skus = [p.sku for i, p in self._inventory.last_known.by_id.items() if i in opened]
            log.info("opened at the announced moment: %s", ", ".join(skus))
        return 0.0 if opened else POLL
