"""A cart as it was read from the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from shop.versions import as_of

#: What a cart's hold is besides a moment: the payment page is not there yet, so its clock hasn't
#: started; or it has ended, and what was held is in the cart again.
NOT_STARTED, LAPSED = 0, -1

_readings = count(1)


def next_reading() -> int:
    """Number a reading that begins now."""
    return next(_readings)


@dataclass(frozen=True, slots=True)
class CartSnapshot:
    """What the database holds of a cart; `purchases` counts those made from it."""

    cart_id: str
    version: int
    purchases: int = 0
    item_ids: frozenset[int] = frozenset()
    #: whether the database knows this cart at all
    known: bool = True
    merged_into: str | None = None
    #: ids of the items that it is to hold as soon as they are on sale
    marked: frozenset[int] = frozenset()
    #: until when what was bought from it is held while it is paid for, in milliseconds since 1970;
    #: None: nothing is
    hold: int | None = None
    #: numbers the readings of this process: of two readings the later one is true
    reading: int = field(default_factory=next_reading, compare=False)

    @classmethod
    def unknown(cls, cart_id: str, last: int | None = None) -> CartSnapshot:
        """A cart that the database doesn't know: empty.

        Args:
            last: the last number that had been drawn then, so that it is newer than what a tab
                still shows of it from before a reset. None: no tab shows it yet.
        """
        return cls(cart_id, 0 if last is None else as_of(last), known=False)

    def shows_what(self, other: CartSnapshot) -> bool:
        """Tell whether tabs show of this one what they show of another, but for its version."""
        mine = (self.known, self.purchases, self.item_ids, self.marked, self.hold)
        return mine == (other.known, other.purchases, other.item_ids, other.marked, other.hold)
