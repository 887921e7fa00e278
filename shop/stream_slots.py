"""The stream slots of a cart: its event streams, counted over all worker processes of one machine.

A browser opens six connections to an HTTP/1.1 origin, whichever worker answers. So the workers
count in one table (see `shared_table`), a column for each cart.

Carts share columns by their hash. Where two with open streams do, some tab of one may be told
to take a WebSocket although there was a slot left: it will be as live as the others.
"""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

from shop.shared_table import COLUMNS, SharedTable


class StreamSlots:
    """One process's view of how many event streams each cart has."""

    def __init__(self, file: Path) -> None:
        self._table = SharedTable(file, "H")  # more streams than any process has of one cart

    def acquire(self, cart: str, own: int, most: int) -> bool:
        """Acquire a slot for a further event stream of a cart, if there is one.

        Whoever has one releases it, at the latest when `count` has counted the stream.
        It is counted before others' counts are read: two processes can't both take the last one.

        Args:
            cart: any name of the cart, the same in all processes.
            own: how many event streams of it this process has.
            most: how many there may be on this machine.
        """
        self.count(cart, 1)
        if own + 1 + sum(self._table.others(_column(cart))) <= most:
            return True
        self.count(cart, -1)
        return False

    def release(self, cart: str) -> None:
        """Release a slot that was acquired."""
        self.count(cart, -1)

    def count(self, cart: str, change: int) -> None:
        """Count event streams of a cart that came (1) or went (-1)."""
        column = _column(cart)
        self._table.write(column, self._table.own(column) + change)


def _column(cart: str) -> int:
    return crc32(cart.encode()) % COLUMNS
