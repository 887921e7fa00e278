"""Which carts and tabs are open, over all serving processes.

Nobody keeps a list: whoever wants to know asks every process that serves, and each says what it
has open at that moment. So nothing is written while nobody looks, and what a crashed server had
open is gone with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shop.presence import sockets
from shop.presence.overview import CartPresence, Overview, Report, Server

if TYPE_CHECKING:
    from shop.relay import Relay

__all__ = ["CartPresence", "Overview", "Presence", "Server"]

#: How long servers that were asked may say nothing, in seconds, before they are given up: those
#: of this machine, and those of all.
PATIENCE = 1.0
PATIENCE_RELAYED = 1.5

CARTS, COUNTS = "carts", "counts"


class Presence:
    """Asks all servers of the shop what is open there."""

    def __init__(self, folder: Path, relay: Relay | None = None) -> None:
        """Take the folder of the sockets by which this machine's servers are asked."""
        self._folder = folder
        self._relay = relay

    def overview(self, *, brief: bool = False) -> Overview:
        """Ask every server what is open there now.

        Servers that don't answer, or a Redis that doesn't, are troubles of the overview.

        Args:
            brief: only how many tabs and carts there are; costs the servers a fifth.
        """
        question = COUNTS if brief else CARTS
        round_ = _Round()
        if self._relay is not None:
            round_.ask_all_machines(self._relay, question)
        round_.ask_this_machine(self._folder, question)
        return Overview.of(round_.reports.values(), round_.troubles())


class _Round:
    """One round of asking."""

    def __init__(self) -> None:
        self.reports: dict[str, Report] = {}
        self._missing = 0
        self._silent: list[str] = []
        self._troubles: list[str] = []

    def ask_all_machines(self, relay: Relay, question: str) -> None:
        from redis import RedisError

        from shop.presence.relayed import ask_all

        try:
            answers, self._missing = ask_all(relay, question, PATIENCE_RELAYED)
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
