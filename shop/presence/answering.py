"""Answering for this process what is open here."""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

from shop.presence import COUNTS, Presence, relayed, sockets
from shop.presence.here import OpenHere
from shop.relay import Relay

log = logging.getLogger(__name__)


class AnsweringPresence(Presence):
    """Asks all servers, and answers for this one."""

    def __init__(self, folder: Path, here: OpenHere, relay: Relay | None = None) -> None:
        super().__init__(folder, relay)
        self._here = here
        self._started = False

    def start(self) -> None:
        """Begin to answer, in threads (under gevent: greenlets) of their own."""
        if self._started:
            return
        self._started = True
        if self._relay is not None:
            relayed.serve(self._relay, self._answer)
            self._relay.start()
        try:
            listener = sockets.listen(self._folder, self._here.server)
        except OSError as error:
            log.warning("operators of this machine can't ask what is open: %s", error)
            return
        work = (listener, self._answer)
        threading.Thread(target=sockets.serve, args=work, name="presence", daemon=True).start()

    def _answer(self, question: str) -> Iterator[bytes]:
        """Give an answer in pieces; others get their turn while they are made."""
        squeeze = zlib.compressobj(1)
        for line in self._here.lines(brief=question == COUNTS):
            yield squeeze.compress(f"{line}\n".encode())
        yield squeeze.flush()
