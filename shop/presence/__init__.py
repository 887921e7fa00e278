"""Which carts and tabs are open, over all serving processes.

Nobody keeps a list: whoever wants to know asks every process that serves, and each says what it
has open at that moment. So nothing is written while nobody looks, and what a crashed server had
open is gone with it.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

from redis import RedisError

from shop.presence import relayed, sockets
from shop.presence.here import OpenHere
from shop.presence.overview import CartPresence, Overview, Report, Server
from shop.relay import Relay

__all__ = ["CartPresence", "OpenHere", "Overview", "Presence", "Server"]

log = logging.getLogger(__name__)

#: How long servers that were asked may say nothing, in seconds, before they are given up: those
#: of this machine, and those of all.
PATIENCE = 1.0
PATIENCE_RELAYED = 1.5

_CARTS, _COUNTS = "carts", "counts"


class Presence:
    """Asks all servers of the shop what is open there, and answers for this one."""

    def __init__(self, folder: Path, here: OpenHere, relay: Relay | None = None) -> None:
        """Take the folder for the sockets by which this machine's servers are asked."""
        self._folder = folder
        self._here = here
        self._relay = relay
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

    def overview(self, *, brief: bool = False) -> Overview:
        """Ask every server what is open there now.

        Servers that don't answer, or a Redis that doesn't, are troubles of the overview.

        Args:
            brief: only how many tabs and carts there are; costs the servers a fifth.
        """
        question = _COUNTS if brief else _CARTS
        round_ = _Round()
        if self._relay is not None:
            round_.ask_all_machines(self._relay, question)
        round_.ask_this_machine(self._folder, question)
        return Overview.of(round_.reports.values(), round_.troubles())

    def _answer(self, question: str) -> Iterator[bytes]:
        """Give an answer in pieces; others get their turn while they are made."""
        squeeze = zlib.compressobj(1)
        for line in self._here.lines(brief=question == _COUNTS):
            yield squeeze.compress(f"{line}\n".encode())
        yield squeeze.flush()


class _Round:
    """One round of asking."""

    def __init__(self) -> None:
        self.reports: dict[str, Report] = {}
        self._missing = 0
        self._silent: list[str] = []
        self._troubles: list[str] = []

    def ask_all_machines(self, relay: Relay, question: str) -> None:
        try:
            answers, self._missing = relayed.ask_all(relay, question, PATIENCE_RELAYED)
        except RedisError as error:
            self._troubles.append(f"only this machine was asked, Redis does not answer: {error}")
        else:
            self._missing += sum(not self._take(answer) for answer in answers)

    def ask_this_machine(self, folder: Path, question: str) -> None:
        """Ask the servers of this machine that did not answer yet: each is there, or isn't."""
        try:
            names = [name for name in sockets.names_in(folder) if name not in self.reports]
        except PermissionError:
            self._troubles.append(f"{folder} can't be read: it is another user's")
            return
        texts = sockets.ask_all(folder, names, question, PATIENCE)
        self._silent = [name for name, answer in texts.items() if not self._take(answer)]
        self._missing = max(0, self._missing - len(texts))

    def troubles(self) -> list[str]:
        """Say what keeps the round from being whole."""
        count = len(self._silent) + self._missing
        if not count:
            return self._troubles
        names = [*sorted(self._silent), *([f"{self._missing} elsewhere"] if self._missing else [])]
        servers = "1 server" if count == 1 else f"{count} servers"
        return [*self._troubles, f"{servers} did not answer: {', '.join(names)}"]

    def _take(self, answer: bytes | None) -> bool:
        """Note what a server said; return whether it said anything whole."""
        try:
            report = Report.read(answer or b"")
        except ValueError:
            return False
        self.reports[report.server] = report
        return True
