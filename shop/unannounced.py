"""What other processes changed of what tabs here have open, found in the database.

Where processes have no relay the commits themselves are the announcement, and even with one a
message can get lost.
"""

from __future__ import annotations

from shop.carts import Carts
from shop.changes import cart_name, order_name
from shop.db import Database
from shop.inventory import Inventory
from shop.tab_contents import TabContents
from shop.versions import Horizon, last_number


class Unannounced:
    """Finds changes of what tabs here have open; each is returned by its name."""

    def __init__(
        self, database: Database, inventory: Inventory, carts: Carts, contents: TabContents
    ) -> None:
        self._database, self._inventory, self._carts = database, inventory, carts
        self._contents = contents
        self._commits, self._swept = database.watch(), database.watch()
        #: whether something was committed that no sweep has seen yet
        self._unswept = True
        self._horizon = Horizon(database.overlap)

    def may_be_some(self) -> bool:
        """Tell whether anything was committed since this was asked last."""
        return self._commits.happened()

    def find(self) -> set[str] | None:
        """Find the carts and orders that were changed since this was done last.

        None: it was not done before, nor since `pause`. Only a sweep tells what was changed.
        """
        since = self._horizon.since
        if since is None:
            self._horizon.reached(last_number(self._database))
            return None
        return self._changed_carts(since) | set(map(order_name, self._contents.orders.changed()))

    def pause(self) -> None:
        """Note that changes are announced for now, so that nobody looks for them."""
        self._horizon.forget()

    def sweep(self) -> set[str]:
        """Read anew all that is watched, unless nobody can have committed anything since."""
        self._unswept |= self._swept.happened()
        if not self._unswept:
            return set()
        self._inventory.refresh()
        known = self._contents.open_carts.snapshots()
        found = set(map(order_name, self._contents.orders.differing()))
        for cart_id, snapshot in self._carts.snapshots(known).items():
            if snapshot.merged_into is not None or not snapshot.shows_what(known[cart_id]):
                found.add(cart_name(cart_id))
        self._unswept = False
        return found

    def _changed_carts(self, since: int) -> set[str]:
        last, changed = self._carts.changed_since(since)
        self._horizon.reached(last)
        return {
            cart_name(cart_id) for cart_id, version in changed if self._differs(cart_id, version)
        }

    def _differs(self, cart_id: str, version: int) -> bool:
        known = self._contents.open_carts.snapshot(cart_id)
        return known is not None and known.version != version
