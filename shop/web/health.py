"""Whether the process lives, whether it can do its work, and what it has done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from flask import Blueprint, Flask, Response, abort, current_app, request

from shop.metrics import DATABASE, REDIS
from shop.parts import Parts, parts
from shop.web.address import read_address

bp = Blueprint("health", __name__)

#: How long an answer of the database, and of Redis, is waited for, in seconds.
PATIENCE = 1.5

#: Headers by which a proxy says for whom it asks.
_FORWARDED = (
    *("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
    *("X-Real-IP", "True-Client-IP", "CF-Connecting-IP"),
)

_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class Check:
    """Something that a ready shop needs, and how it is asked."""

    def __init__(self, name: str, ask: Callable[[], object]) -> None:
        self.name = name
        self._ask = ask
        self._asked: Future[bool] | None = None

    def start(self) -> Future[bool]:
        """Ask, in a thread: True if it answers. While a question hangs, nobody asks another."""
        if self._asked is None or self._asked.done():
            self._asked = Future()
            threading.Thread(target=self._run, args=(self._asked,), daemon=True).start()
        return self._asked

    def _run(self, asked: Future[bool]) -> None:
        try:
            self._ask()
            asked.set_result(True)
        except Exception:  # whatever it says, it is no answer
            asked.set_result(False)


def install(app: Flask) -> None:
    """Make the checks of an app."""
    built: Parts = app.extensions["shop"]
    checks = [Check(DATABASE, built.database.ping)]
    if built.relay is not None:
        checks.append(Check(REDIS, built.relay.ping))
    app.extensions["shop.checks"] = checks


@bp.get("/healthz")
def healthz() -> tuple[str, int, dict[str, str]]:
    return "ok\n", 200, _TEXT


@bp.get("/readyz")
def readyz() -> tuple[str, int, dict[str, str]]:
    silent = _silent(current_app.extensions["shop.checks"])
    for name in silent:
        parts.metrics.troubled(name)
    if silent:
        text = "".join(f"{name}: does not answer\n" for name in silent)
        return text, 503, {**_TEXT, "Retry-After": "1"}
    return "ok\n", 200, _TEXT


@bp.get("/metrics")
def metrics() -> Response:
    if not _asked_by_an_operator():
        abort(404)
    text, content_type = parts.metrics.expose(request.headers.get("Accept", ""))
    return Response(text, headers={"Content-Type": content_type})


def _silent(checks: list[Check]) -> list[str]:
    """Ask everything at once, and return the names of what doesn't answer in time."""
    deadline = time.monotonic() + PATIENCE
    asked = [(check.name, check.start()) for check in checks]
    return [name for name, answer in asked if not _is_good(answer, deadline)]


def _is_good(answer: Future[bool], deadline: float) -> bool:
    try:
        return answer.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return False


def _asked_by_an_operator() -> bool:
    """Tell whether it is asked from a network that may: it counts what shoppers must not see.

    The address of a proxy says nothing of whom it asks for. One that is trusted has put that
    into the place of its own; a header of any other is a reason to say nothing.
    """
    trusted = parts.settings.https and "X-Forwarded-For" in request.headers
    if not trusted and any(name in request.headers for name in _FORWARDED):
        return False
    address = read_address(request.remote_addr or "")
    return address is not None and any(address in net for net in parts.settings.metrics_allow)
