"""What is open in this process, as lines of JSON.

The first line says of which server, and of how many tabs; each further one of some carts. No
cart is named otherwise than by its public fingerprint.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from shop.changes import cart_id_of, cart_name
from shop.inventory import Inventory
from shop.models.cart import cart_ref
from shop.open_carts import OpenCarts
from shop.streams import Hub
from shop.time_slice import yield_to_others

#: How many carts are listed before other greenlets get their turn: about 1 ms of work.
TURN = 100

#: Characters of a fingerprint that tell carts apart where they are only counted.
SHORT = 12


class OpenHere:
    """The open tabs of this process and their carts."""

    def __init__(self, hub: Hub, open_carts: OpenCarts, inventory: Inventory) -> None:
        self._hub = hub
        self._open = open_carts
        self._inventory = inventory
        #: The name of this process among all that serve the shop: machines, as containers are, can
        #: have the same name, and processes on them the same number.
        self.server = f"{socket.gethostname()}-{secrets.token_hex(3)}#{os.getpid()}"

    def lines(self, *, brief: bool) -> Iterator[str]:
        """Give what is open, line by line.

        Args:
            brief: of carts only fingerprints, to be counted.
        """
        yield json.dumps({"server": self.server, "tabs": len(self._hub)})
        cart_ids = [i for i in map(cart_id_of, self._hub.topics()) if i is not None]
        for some in _batches(cart_ids):
            if brief:
                yield json.dumps([cart_ref(cart_id)[:SHORT] for cart_id in some])
            else:
                yield json.dumps([self._cart(cart_id) for cart_id in some])
            yield_to_others()

    def _cart(self, cart_id: str) -> dict[str, object]:
        state = self._open.state(cart_id)
        items = self._inventory.last_known.items
        held = sorted(state.item_ids) if state is not None else ()
        return {
            "ref": cart_ref(cart_id),
            "since": self._open.since(cart_id) or int(time.time()),
            "open_for": self._open.open_for(cart_id),
            "pages": Counter(self._hub.pages(cart_name(cart_id))),
            "skus": [items[i].sku for i in held if i in items],
        }


def _batches(cart_ids: Iterable[str]) -> Iterator[list[str]]:
    left = iter(cart_ids)
    while some := list(islice(left, TURN)):
        yield some
