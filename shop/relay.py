"""Carries announcements between processes and machines, over Redis.

One subscription a process. What is carried is a hint: a message that gets lost costs time, not
truth. So nothing here waits for Redis where a shopper waits, and every trouble is answered by
trying again: while the relay is not `up`, the database is looked at more often instead.
"""

from __future__ import annotations

import json
import logging
import random
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from shop.changes import EVERYTHING

log = logging.getLogger(__name__)

#: Seconds after which Redis is taken for gone, when it accepts or answers nothing.
TIMEOUT = 1.0

#: Seconds of silence after which the subscription is asked for a sign of life; after which more
#: it is given up.
SILENCE = 1.0

#: Seconds to the next try of connecting: at first, and at most.
FIRST_DELAY, LONGEST_DELAY = 0.05, 1.0

#: For how long announcements are gathered into one message, in seconds.
TICK = 0.01

#: More names than this in one message say no more than `EVERYTHING`.
MOST_NAMES = 2000

_CHANGES = "changes"

Hearer = Callable[[Any], None]


class Relay:
    """This process's line to the others."""

    def __init__(self, url: str, prefix: str) -> None:
        """Take the address of Redis, and what the shop's keys and channels there begin with."""
        self.client = Redis.from_url(
            url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self.prefix = prefix
        self.channel = f"{prefix}channel"
        #: whether this process hears the others at present
        self.up = False
        #: called when that changes
        self.on_change: Callable[[bool], None] = lambda up: None
        #: called whenever Redis could not be used
        self.on_trouble: Callable[[], None] = lambda: None
        self._me = secrets.token_hex(8)
        self._hearers: dict[str, Hearer] = {}
        self._waiting: set[str] = set()
        self._wake = threading.Event()
        self._running = False

    def subscribe(self, kind: str, hearer: Hearer) -> None:
        """Have `hearer` called with the payload of each message of a kind, in the relay's thread.

        It must not wait for long: the next message waits for it.
        """
        self._hearers[kind] = hearer

    def hear_changes(self, hearer: Callable[[frozenset[str]], None]) -> None:
        """Have `hearer` called with the names that other processes announce."""
        self.subscribe(_CHANGES, lambda names: hearer(frozenset(names)))

    def announce(self, names: frozenset[str]) -> None:
        """Carry names to all other processes: soon in a server, at once in a command.

        Never raises and, in a server, never waits.
        """
        if self._running:
            self._waiting |= names
            self._wake.set()
        elif names:
            self._send_changes(names)

    def publish(self, kind: str, payload: Any) -> int:
        """Send a message to all other processes that listen, and return how many those are.

        Args:
            payload: what JSON can hold.

        Raises:
            RedisError: it could not be sent.
        """
        message = json.dumps({"from": self._me, "kind": kind, "payload": payload})
        reached: int = self.client.publish(self.channel, message)
        return reached

    def ping(self) -> None:
        """Ask Redis for a sign of life.

        Raises:
            RedisError: there is none.
        """
        self.client.ping()

    def check(self) -> None:
        """See whether Redis is there and lets this process do all that it has to.

        Raises:
            RedisError: it isn't, or refuses something; says what.
        """
        with closing(self.client.pubsub()) as subscription:  # type: ignore[no-untyped-call]
            subscription.subscribe(self.channel)
            subscription.get_message(timeout=TIMEOUT)
        self.publish("nothing", None)
        key = f"{self.prefix}check"
        with self.client.pipeline() as together:
            together.rpush(key, "")
            together.expire(key, 1)
            together.execute()

    def start(self) -> None:
        """Listen and send from now on, in threads (under gevent: greenlets) of their own."""
        if not self._running:
            self._running = True
            for work in (self._listen, self._send):
                threading.Thread(target=work, name=f"relay{work.__name__}", daemon=True).start()

    def _send(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(TICK)
            self._wake.clear()
            names, self._waiting = self._waiting, set()
            try:
                self._send_changes(names)
            except Exception:
                log.exception("a change could not be announced")

    def _send_changes(self, names: set[str] | frozenset[str]) -> None:
        payload = sorted(names) if len(names) <= MOST_NAMES else [EVERYTHING]
        try:
            self.publish(_CHANGES, payload)
        except RedisError as error:
            self.on_trouble()
            if self.up or not self._running:  # else it was said before
                log.warning("Redis does not answer; open tabs follow within seconds: %s", error)

    def _listen(self) -> None:
        delay = FIRST_DELAY
        while True:
            try:
                with closing(self.client.pubsub()) as subscription:  # type: ignore[no-untyped-call]
                    subscription.subscribe(self.channel)
                    for message in _messages(subscription):
                        delay = FIRST_DELAY
                        self._take(message)
            except (RedisError, OSError) as error:
                self.on_trouble()
                self._change(up=False, why=str(error))
            except Exception as error:
                log.exception("a message from another process could not be taken")
                self._change(up=False, why=type(error).__name__)
            time.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, LONGEST_DELAY)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._change(up=True)
        elif message["type"] == "message":
            sent = json.loads(message["data"])
            hearer = self._hearers.get(sent["kind"])
            if hearer is not None and sent["from"] != self._me:
                hearer(sent["payload"])

    def _change(self, *, up: bool, why: str = "") -> None:
        if up == self.up:
            return
        self.up = up
        if up:
            log.info("Redis: listening to the other servers")
            # What happened here in the meantime, the others have not heard.
            self.announce(frozenset({EVERYTHING}))
        else:
            log.warning("Redis does not answer, the database is asked instead: %s", why)
        self.on_change(up)


def _messages(subscription: Any) -> Any:
    """Give messages as they come.

    Raises:
        RedisError: the connection is lost, or nothing at all comes over it any more.
    """
    asked = False
    while True:
        message = subscription.get_message(timeout=SILENCE)
        if message is not None:
            asked = False
            yield message
        elif asked:
            raise RedisError("there is no sign of life")
        else:
            subscription.ping()
            asked = True
