"""What is reported of every request: an id, a line of the log, a count and a time.

Never its path or its query, which hold what somebody typed, but the rule that it met. This is
done for every request, and so written to cost little: some 5 % of a page.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from contextvars import ContextVar

from flask import Flask, Request, Response, request

from shop.logs import log_answer, request_id
from shop.services import services, services_of

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"

#: What a proxy may call a request: URL-safe, and neither too short to be unique nor a novel.
_WELL_FORMED = re.compile(r"[A-Za-z0-9._~-]{8,64}")

#: Others are whatever a client has made up.
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})

#: Asked by machines every few seconds: counted, but not worth a line.
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

#: Last as long as their tab: how long says nothing.
_LASTING = frozenset({"/stream", "/socket"})

#: When the request came, by `time.perf_counter`; None once it was told of.
_began: ContextVar[float | None] = ContextVar("began", default=None)


def install(app: Flask) -> None:
    """Tell of every request. To be installed first: what comes first is done last."""
    app.before_request(_name_as_the_proxy_does if services_of(app).settings.https else _name)
    app.after_request(_end)
    app.teardown_request(_forget)


def current_request() -> Request:
    """Return the request that is being answered: `request`, for code that reads it often."""
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    return asked


def report(status: int) -> None:
    """Count and log the request that is being answered: now, and not again at its end."""
    began = _began.get()
    if began is None:
        return
    _began.set(None)
    seconds = time.perf_counter() - began
    asked = current_request()
    rule = asked.url_rule.rule if asked.url_rule is not None else "none"
    method = asked.method if asked.method in _METHODS else "other"
    services.metrics.answered(method, rule, status, None if rule in _LASTING else seconds)
    if rule not in _QUIET:
        log_answer(log, method, rule, status, round(seconds * 1000, 2))


def _name() -> None:
    _began.set(time.perf_counter())
    request_id.set(secrets.token_urlsafe(12))


def _name_as_the_proxy_does() -> None:
    _name()
    given = request.headers.get(HEADER, "")
    if _WELL_FORMED.fullmatch(given):
        request_id.set(given)


def _end(response: Response) -> Response:
    response.headers.add(HEADER, request_id.get() or "")
    report(response.status_code)
    return response


def _forget(_: BaseException | None) -> None:
    request_id.set(None)  # the connection may stay, and wait for its next request
