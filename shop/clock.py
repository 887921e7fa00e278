"""The shop's time, as this process knows it: its database's clock, whatever its own says."""

from __future__ import annotations

import time

from shop.db import Database
from shop.models import database_time


class ShopClock:
    """Goes on from the last reading by this machine's own ticks, which nobody sets."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: the database's time less the ticks, in milliseconds; None: it was never asked
        self._apart: float | None = None

    def read(self) -> int:
        """Ask the database for the time, in milliseconds since 1970.

        Raises:
            DBAPIError, DatabaseBusy: it doesn't answer.
        """
        began = time.monotonic()
        now = database_time(self._database)
        # Half of the way there and back had passed when it looked at its clock.
        self._apart = now - (began + time.monotonic()) / 2 * 1000
        return now

    def now(self) -> int:
        """Return the time by the last reading, in milliseconds since 1970."""
        if self._apart is None:
            return time.time_ns() // 1_000_000
        return int(time.monotonic() * 1000 + self._apart)
