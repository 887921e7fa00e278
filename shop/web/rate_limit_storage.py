"""Where limits are counted: by the processes of one machine together, or in Redis for all servers.

Both are storages of the library limits, by its way for storages of one's own. A window begins
with its first hit; all windows that are counted in one place have the same length.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from limits.storage import RedisStorage, Storage
from redis import BlockingConnectionPool, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from shop.shared_table import COLUMNS, SharedTable

log = logging.getLogger(__name__)

#: Of the 64 bits of a cell those that hold the hits; the others hold the window's end, in
#: milliseconds of the clock that all processes of a machine share.
_HITS = (1 << 24) - 1
_END_AT = 24

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


class MachineStorage(Storage):
    """Counts over the processes of this machine, in a table of fixed size.

    Keys share columns by a hash that nobody outside can work out. Where two do that have a window
    at the same time, their hits count together: limits are far above what people do.
    """

    STORAGE_SCHEME = ["counts"]  # noqa: RUF012

    def __init__(
        self,
        uri: str | None = None,
        *,
        table: SharedTable,
        secret: str,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        super().__init__(uri, **options)  # whose options mean nothing here
        self._table = table
        self._secret = secret.encode()[:64]
        self._clock = clock

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count a hit and return how many there were in this window, of `expiry` seconds."""
        now = int(self._clock() * 1000)
        column = self._column(key)
        end, hits = _window(self._table.own(column), now)
        if not end:  # a window that others began goes on here: it ends at one moment for all
            ends = [end for end, _ in self._windows_of_others(column, now)]
            end = max(ends, default=now + expiry * 1000)
        hits = min(hits + amount, _HITS)
        # Written before the others are read again: two processes can't both take the last one.
        self._table.write(column, end << _END_AT | hits)
        return hits + sum(hits for _, hits in self._windows_of_others(column, now))

    def get(self, key: str) -> int:
        now = int(self._clock() * 1000)
        return sum(hits for _, hits in self._windows(self._column(key), now))

    def get_expiry(self, key: str) -> float:
        """Return when a key's window ends, in seconds since 1970."""
        now = int(self._clock() * 1000)
        ends = [end for end, _ in self._windows(self._column(key), now)]
        return time.time() + (max(ends, default=now) - now) / 1000

    def check(self) -> bool:
        return True

    def clear(self, key: str) -> None:
        self._table.write(self._column(key), 0)

    def reset(self) -> int | None:
        return None  # what others count is theirs

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ()

    def _windows(self, column: int, now: int) -> list[tuple[int, int]]:
        own = _window(self._table.own(column), now)
        return [own, *self._windows_of_others(column, now)]

    def _windows_of_others(self, column: int, now: int) -> list[tuple[int, int]]:
        cells = self._table.others(column)
        return [_window(cell, now) for cell in cells if cell >> _END_AT > now]

    def _column(self, key: str) -> int:
        digest = blake2b(key.encode(), digest_size=4, key=self._secret).digest()
        return int.from_bytes(digest) % COLUMNS


def _window(cell: int, now: int) -> tuple[int, int]:
    """Return when a cell's window ends and its hits; zeros if it is over."""
    end = cell >> _END_AT
    return (end, cell & _HITS) if end > now else (0, 0)


class SharedStorage(RedisStorage):
    """Counts in Redis, and on this machine while Redis doesn't count.

    Nobody waits to find out whether it is back: that is tried beside the requests.
    """

    STORAGE_SCHEME = ["counts+redis", "counts+rediss", "counts+unix"]  # noqa: RUF012

    def __init__(
        self, uri: str, key_prefix: str, *, table: SharedTable, secret: str, **options: Any
    ) -> None:
        address = uri.removeprefix("counts+")
        super().__init__(address, _pool(address), key_prefix=key_prefix, **options)
        self._local = MachineStorage(table=table, secret=secret)
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
                # Not ttl, which rounds: a client that comes when it was told to isn't early.
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
            log.warning("Redis does not count: %s; each machine limits for itself", error)
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
