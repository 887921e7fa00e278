"""Where limits are counted: in this process's memory, or in Redis for all servers together.

Both are storages of the library limits, by its way for storages of one's own. A window begins
with its first hit; all windows that are counted in one place have the same length.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from limits.storage import RedisStorage, Storage
from redis import BlockingConnectionPool, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

#: The most keys that are counted in memory, some 250 bytes each; the oldest are let go.
MOST_KEYS = 200_000

#: Seconds that an action waits for a free connection to Redis, and for opening one.
CONNECT = 0.1

#: Seconds that an action waits for Redis's answer.
ANSWER = 0.2

#: Connections that one process opens at most: each is taken for some 0.3 ms at a time.
MOST_CONNECTIONS = 32

#: Seconds between two tries whether Redis is back.
PAUSE = 1.0

#: How it shows that Redis doesn't count: it is away, or not to be written to.
FAILURES = (RedisError, OSError)


def storage_uri(redis_url: str | None) -> str:
    """Return the address by which the libraries know the storage below that is to be used."""
    return f"counts+{redis_url}" if redis_url else "counts:"


class Counts(Storage):
    """Counts in memory.

    The library's own MemoryStorage walks through all that it holds every 10 ms while hits come,
    in a thread that is started for it each time. Here each hit lets go of what is over.
    """

    STORAGE_SCHEME = ["counts"]  # noqa: RUF012

    def __init__(
        self, uri: str | None = None, clock: Callable[[], float] = time.monotonic, **options: Any
    ) -> None:
        super().__init__(uri, **options)  # whose options mean nothing here
        self._clock = clock
        #: how many hits, and when the window ends, by key; what ends first comes first
        self._windows: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count a hit and return how many there were in this window, of `expiry` seconds."""
        now = self._clock()
        self._forget(now)
        hits, end = self._windows.get(key, (0, 0.0))
        if end <= now:
            self._windows.pop(key, None)  # a new window has its place at the end
            hits, end = 0, now + expiry
        self._windows[key] = (hits + amount, end)
        return hits + amount

    def _forget(self, now: float) -> None:
        """Let two windows go that are over: one hit adds one at most."""
        for _ in range(2):
            oldest = next(iter(self._windows), None)
            if oldest is None or (self._windows[oldest][1] > now and len(self) < MOST_KEYS):
                return
            del self._windows[oldest]

    def get(self, key: str) -> int:
        hits, end = self._windows.get(key, (0, 0.0))
        return hits if end > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        """Return when a key's window ends, in seconds since 1970."""
        now = self._clock()
        _, end = self._windows.get(key, (0, now))
        return time.time() + max(end - now, 0.0)

    def check(self) -> bool:
        return True

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    def reset(self) -> int:
        held = len(self)
        self._windows.clear()
        return held

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ()


class SharedCounts(RedisStorage):
    """Counts in Redis, and in memory while Redis doesn't count.

    Nobody waits to find out whether it is back: that is tried beside the requests.
    """

    STORAGE_SCHEME = ["counts+redis", "counts+rediss", "counts+unix"]  # noqa: RUF012

    def __init__(self, uri: str, key_prefix: str, **options: Any) -> None:
        address = uri.removeprefix("counts+")
        super().__init__(address, _pool(address), key_prefix=key_prefix, **options)
        self._local = Counts()
        self._there = True

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        if self._there:
            try:
                return super().incr(key, expiry, amount)
            except FAILURES as error:
                self._do_without(error)
        return self._local.incr(key, expiry, amount)

    def get_expiry(self, key: str) -> float:
        """Return when a key's window ends, in seconds since 1970."""
        if self._there:
            try:
                # Not ttl, which rounds: who comes back when they were told to isn't too early.
                left: int = self.storage.pttl(self.prefixed_key(key))
                return time.time() + max(left, 0) / 1000
            except FAILURES as error:
                self._do_without(error)
        return self._local.get_expiry(key)

    def _do_without(self, error: Exception) -> None:
        if self._there:
            self._there = False
            threading.Thread(target=self._come_back, args=(error,), daemon=True).start()

    def _come_back(self, error: Exception) -> None:
        if not self._counts():  # else it was a connection that broke, and not Redis
            log.warning("Redis does not count: %s; each process limits for itself", error)
            while not self._counts():
                time.sleep(PAUSE)
            log.warning("Redis counts again, for all servers together")
        self._there = True

    def _counts(self) -> bool:
        """Tell whether Redis does what is needed of it: one that is read-only answers a ping."""
        try:
            return super().incr("probe", 1) > 0
        except FAILURES:
            return False


def _pool(address: str) -> BlockingConnectionPool:
    return BlockingConnectionPool.from_url(
        address,
        max_connections=MOST_CONNECTIONS,
        timeout=CONNECT,
        socket_connect_timeout=CONNECT,
        socket_timeout=ANSWER,
        retry=Retry(NoBackoff(), 0),
    )
