"""Asking the serving processes of all machines, over Redis.

The question goes out on the channel that every server listens to, and Redis says how many that
are. Each puts its answer into a list, which is gone soon whether it is read or not.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from base64 import b85decode, b85encode
from collections.abc import Iterator
from typing import Any

from redis import RedisError

from shop.presence.sockets import Answer
from shop.relay import Relay

log = logging.getLogger(__name__)

#: How long an answer that nobody fetches lies in Redis, in seconds.
EXPIRY = 10

#: How long Redis is waited for at a time, in seconds: shorter than what a connection allows.
_TURN = 0.25

_KIND = "presence"


def serve(relay: Relay, answer: Answer) -> None:
    """Answer whoever asks over Redis, each in a thread (under gevent: a greenlet) of its own."""

    def asked(asking: dict[str, str]) -> None:
        arguments = (relay, asking["key"], answer(asking["question"]))
        threading.Thread(target=_put, args=arguments, daemon=True).start()

    relay.subscribe(_KIND, asked)


def _put(relay: Relay, key: str, pieces: Iterator[bytes]) -> None:
    try:
        texts = b85encode(b"".join(pieces))
        with relay.client.pipeline() as together:
            together.rpush(key, texts)
            together.expire(key, EXPIRY)
            together.execute()
    except RedisError as error:
        log.warning("what is open could not be reported over Redis: %s", error)
    except Exception:
        log.exception("what is open could not be reported")


def ask_all(relay: Relay, question: str, patience: float) -> tuple[list[bytes], int]:
    """Ask every server that listens on the shop's channel.

    Args:
        patience: for how many seconds nobody may say anything.

    Returns:
        What was answered, and how many servers didn't.

    Raises:
        RedisError: Redis doesn't answer.
    """
    key = f"{relay.prefix}{_KIND}:{secrets.token_hex(8)}"
    expected = relay.publish(_KIND, {"question": question, "key": key})
    answers: list[bytes] = []
    deadline = time.monotonic() + patience
    while len(answers) < expected and time.monotonic() < deadline:
        found: Any = relay.client.blpop([key], timeout=_TURN)
        if found is not None:
            answers.append(b85decode(found[1]))
            deadline = time.monotonic() + patience
    return answers, expected - len(answers)
