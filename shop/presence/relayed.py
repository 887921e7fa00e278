"""Asking the serving processes of all machines, over Redis.

The question goes out on the channel that every server listens to, and Redis says how many that
are. Each puts its answer into a list, which is gone soon whether it is read or not.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

from shop.presence.sockets import Answer
from shop.relay import Relay

#: For how many seconds all servers that were asked may say nothing, before they are given up.
TIMEOUT = 1.5

#: How long an answer that nobody fetches lies in Redis, in seconds.
EXPIRY = 10

#: How long Redis is waited for at a time, in seconds: shorter than what a connection allows.
_TURN = 0.25

_KIND = "presence"


def serve(relay: Relay, answer: Answer) -> None:
    """Answer whoever asks over Redis, each in a thread (under gevent: a greenlet) of its own."""

    def asked(payload: dict[str, str]) -> None:
        work = (relay, payload["key"], answer(payload["question"]))
        threading.Thread(target=_put, args=work, daemon=True).start()

    relay.subscribe(_KIND, asked)


def _put(relay: Relay, key: str, pieces: Iterator[str]) -> None:
    text = "".join(pieces)
    with relay.client.pipeline() as together:
        together.rpush(key, text)
        together.expire(key, EXPIRY)
        together.execute()


def ask_all(relay: Relay, question: str) -> tuple[list[str], int]:
    """Ask every server that listens on the shop's channel.

    Returns:
        What was answered, and how many servers were asked.

    Raises:
        RedisError: Redis doesn't answer.
    """
    key = f"{relay.prefix}{_KIND}:{secrets.token_hex(8)}"
    reached = relay.publish(_KIND, {"question": question, "key": key})
    answers: list[str] = []
    deadline = time.monotonic() + TIMEOUT
    while len(answers) < reached and time.monotonic() < deadline:
        found: Any = relay.client.blpop([key], timeout=_TURN)
        if found is not None:
            answers.append(found[1])
            deadline = time.monotonic() + TIMEOUT
    return answers, reached
