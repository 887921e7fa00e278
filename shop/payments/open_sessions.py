"""The sessions that can still be paid: listed once for all that ask for them at the same time.

After a provider's outage many orders ask at once, and a list of all sessions takes many calls.
"""

from __future__ import annotations

import time
from collections import defaultdict
from threading import Lock

from shop.payments.provider import Provider

#: How old a list is at the most, in seconds, if it needn't be made anew: a request is made a second
#: after the one before it failed, and what that one left behind is in it.
FRESH = 0.75


class OpenSessions:
    """Lists them, by order."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._lock = Lock()
        self._began = float("-inf")
        self._found: dict[str, list[str]] = {}

    def of(self, number: str, since: int, *, now: bool) -> list[str]:
        """Return the ids of an order's sessions.

        Args:
            since: what was opened before is of no interest, in seconds since 1970.
            now: whether by a list that is begun now: the request before may have failed just now.

        Raises:
            ProviderAway, ProviderRefused: the provider doesn't list them.
        """
        asked = time.monotonic()
        with self._lock:  # those that wait here for a list share the next
            if self._began < (asked if now else asked - FRESH):
                self._list(since)
            return self._found.get(number, [])

    def _list(self, since: int) -> None:
        began, found = time.monotonic(), defaultdict(list)
        for session in self._provider.open_sessions(since):
            found[session.number].append(session.id)
        self._began, self._found = began, dict(found)
