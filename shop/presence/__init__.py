"""Which carts and tabs are open, over all serving processes.

Nobody keeps a list: whoever wants to know asks every process that serves, and each says what it
has open at that moment. So nothing is written while nobody looks, and what a crashed server had
open is gone with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from shop.presence import sockets
from shop.presence.overview import OpenTabs, Overview, Server

if TYPE_CHECKING:
    from shop.relay import Relay

__all__ = ["OpenTabs", "Overview", "Presence", "Server"]

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
        servers: dict[str, Server] = {}
        missing, troubles = self._ask_all_machines(question, servers)
        try:
            here = sockets.ask_all(self._folder, question, but=servers)
        except PermissionError:
            here = {}
            troubles.append(f"{self._folder} can't be read: it is another user's")
        _read(here.values(), servers)
        silent = sorted(here.keys() - servers)
        elsewhere = max(0, missing - len(here))  # Redis counts those of this machine as well
        if count := len(silent) + elsewhere:
            names = [*silent, *([f"{elsewhere} elsewhere"] if elsewhere else [])]
            who = "1 server" if count == 1 else f"{count} servers"
            troubles.append(f"{who} did not answer: {', '.join(names)}")
        return Overview(tuple(sorted(servers.values())), tuple(troubles))

    def _ask_all_machines(self, question: str, servers: dict[str, Server]) -> tuple[int, list[str]]:
        """Ask whoever hears Redis; return how many of those said nothing, and what went wrong."""
        if self._relay is None:
            return 0, []
        from redis import RedisError  # which takes its time, and only some shops have

        from shop.presence.relayed import ask_all

        try:
            answers, reached = ask_all(self._relay, question)
        except RedisError as error:
            return 0, [f"only this machine was asked, Redis does not answer: {error}"]
        _read(answers, servers)
        return reached - len(servers), []


def _read(answers: Iterable[str], servers: dict[str, Server]) -> None:
    """Enter the servers that said these, but for what was cut short."""
    for server in filter(None, map(Server.read, answers)):
        servers[server.name] = server
