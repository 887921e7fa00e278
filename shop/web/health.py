"""Whether the process lives, whether it can do its work, and what it has done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from flask import Blueprint, Flask, Response, abort, current_app, request

from shop.db import DatabaseReadOnly
from shop.metrics.counters import DATABASE, REDIS
from shop.services import services, services_of
from shop.web.address import read_address

bp = Blueprint("health", __name__)

#: How long an answer of the database, and of Redis, is waited for, in seconds.
TIMEOUT = 1.5

#: Headers by which a proxy says for whom it asks.
_FORWARDED = (
    *("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
    *("X-Real-IP", "True-Client-IP", "CF-Connecting-IP"),
)

#: From what age on an unsent mail is spoken of, in seconds.
_NEWS = 5

_SILENT = "does not answer"

_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class Check:
    """Something that a ready shop needs, and how it is asked."""

    def __init__(self, name: str, ask: Callable[[], object]) -> None:
        self.name = name
        self._ask = ask
        self._asked: Future[str] | None = None

    def start(self) -> Future[str]:
        """Ask, in a thread: what is wrong, or nothing.

        While a question hangs, nobody asks another.
        """
        if self._asked is None or self._asked.done():
            self._asked = Future()
            threading.Thread(target=self._run, args=(self._asked,), daemon=True).start()
        return self._asked

    def _run(self, asked: Future[str]) -> None:
        try:
            self._ask()
            asked.set_result("")
        except DatabaseReadOnly:
            asked.set_result("can only be read, nothing can be changed")
        except Exception:  # whatever it says, it is no answer
            asked.set_result(_SILENT)


def install(app: Flask) -> None:
    """Make the checks of an app."""
    built = services_of(app)
    checks = [Check(DATABASE, built.servers.check)]
    if built.relay is not None:
        checks.append(Check(REDIS, built.relay.ping))
    app.extensions["shop.checks"] = checks


@bp.get("/healthz")
def healthz() -> tuple[str, int, dict[str, str]]:
    return "ok\n", 200, _TEXT


@bp.get("/readyz")
def readyz() -> tuple[str, int, dict[str, str]]:
    troubles = _troubles(current_app.extensions["shop.checks"])
    for name in troubles:
        services.metrics.troubled(name)
    lines = [f"{name}: {trouble}" for name, trouble in troubles.items()]
    differences = services.servers.differences
    lines += [difference.text for difference in differences if difference.serious]
    if lines:
        return "".join(f"{line}\n" for line in lines), 503, {**_TEXT, "Retry-After": "1"}
    lines = ["ok", *_unsent_mails(), *(d.text for d in differences)]
    return "".join(f"{line}\n" for line in lines), 200, _TEXT


def _unsent_mails() -> list[str]:
    """Say that mails wait; one that was only just queued is no news."""
    mailing = services.background.mailing
    count, oldest = mailing.backlog.waiting, int(mailing.oldest)
    if not count or oldest < _NEWS:
        return []
    return [f"mail: {count} to be sent, the oldest since {oldest} s"]


@bp.get("/metrics")
def metrics() -> Response:
    if not _asked_by_an_operator():
        abort(404)
    text, content_type = services.metrics.expose(request.headers.get("Accept", ""))
    return Response(text, headers={"Content-Type": content_type})


def _troubles(checks: list[Check]) -> dict[str, str]:
    """Ask everything at once, and return what is wrong with it, by its name."""
    deadline = time.monotonic() + TIMEOUT
    asked = [(check.name, check.start()) for check in checks]
    notices_of_action = {name: _answer_by(answer, deadline) for name, answer in asked}
    return {name: trouble for name, trouble in notices_of_action.items() if trouble}


def _answer_by(answer: Future[str], deadline: float) -> str:
    try:
        return answer.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return _SILENT


def _asked_by_an_operator() -> bool:
    """Tell whether it is asked from a network that may: it counts what shoppers must not see.

    The address of a proxy says nothing of whom it asks for. One that is trusted has put that
    into the place of its own; a header of any other is a reason to say nothing.
    """
    trusted = services.settings.https and "X-Forwarded-For" in request.headers
    if not trusted and any(name in request.headers for name in _FORWARDED):
        return False
    address = read_address(request.remote_addr or "")
    return address is not None and any(address in net for net in services.settings.metrics_allow)
