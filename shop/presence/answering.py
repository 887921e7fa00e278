"""Answering for this process what is open here.

An answer is lines of JSON: some carts in each, and at last which server it is. No cart is named
otherwise than by its public fingerprint.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from shop.changes import cart_id_of, cart_name
from shop.inventory import Inventory
from shop.models.cart import cart_ref
from shop.open_carts import OpenCarts
from shop.presence import COUNTS, Presence, relayed, sockets
from shop.relay import Relay
from shop.streams import Hub
from shop.time_slice import yield_to_others

log = logging.getLogger(__name__)

#: How many carts are listed before other greenlets get their turn: about 1 ms of work.
BATCH = 100

#: Characters of a fingerprint that tell carts apart where they are only counted.
SHORT = 12


class AnsweringPresence(Presence):
    """Asks all servers, and answers for this one."""

    def __init__(
        self,
        folder: Path,
        hub: Hub,
        open_carts: OpenCarts,
        inventory: Inventory,
        relay: Relay | None = None,
    ) -> None:
        super().__init__(folder, relay)
        self._hub, self._open, self._inventory = hub, open_carts, inventory
        #: The name of this process among all that serve the shop: machines, as containers are, can
        #: have the same name, and processes on them the same number.
        self.server = f"{socket.gethostname()}-{secrets.token_hex(3)}#{os.getpid()}"
        self._started = False

    def start(self) -> None:
        """Begin to answer, in threads (under gevent: greenlets) of their own."""
        if self._started:
            return
        self._started = True
        if self._relay is not None:
            relayed.serve(self._relay, self.answer)
            self._relay.start()
        try:
            sockets.serve(self._folder, self.server, self.answer)
        except OSError as error:
            log.warning("operators of this machine can't ask what is open: %s", error)

    def answer(self, question: str) -> Iterator[str]:
        """Give an answer in pieces; others get their turn while they are made."""
        cart_ids = [i for i in map(cart_id_of, self._hub.topics()) if i is not None]
        for start in range(0, len(cart_ids), BATCH):
            some = cart_ids[start : start + BATCH]
            if question == COUNTS:
                yield _line({cart_ref(cart_id)[:SHORT]: None for cart_id in some})
            else:
                yield _line({cart_ref(cart_id): self._tabs_of(cart_id) for cart_id in some})
            yield_to_others()
        yield _line({"name": self.server, "tabs": len(self._hub)})

    def _tabs_of(self, cart_id: str) -> dict[str, object]:
        """Say what `OpenTabs` holds of a cart."""
        snapshot = self._open.snapshot(cart_id)
        items = self._inventory.last_known.items
        held = snapshot.item_ids if snapshot is not None else ()
        return {
            "since": self._open.since(cart_id) or int(time.time()),
            "open_for": self._open.open_for(cart_id),
            "pages": Counter(self._hub.pages(cart_name(cart_id))),
            "skus": [items[i].sku for i in held if i in items],
        }


def _line(values: dict[str, object]) -> str:
    return f"{json.dumps(values)}\n"
