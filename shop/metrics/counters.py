"""What this process counts, and how long things take. Nothing here knows a shop: callers say so."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from shop.metrics.files import registry_of_all
from shop.metrics.folder import FOLDER

#: Why an action was refused; a reason has its line from the start, so that rates begin at 0.
REFUSALS = (
    *("sold_out", "not_released", "unknown_item", "already_in_cart", "not_in_cart"),
    *("empty", "cart_changed", "price_changed", "wrong_details", "bad_token", "other_origin"),
    *("rate_limited", "no_place", "busy", "database_away"),
)

#: What a shop can have trouble with.
DATABASE, REDIS = "database", "redis"

#: The bounds of times, in seconds: of an answer, of a reading, from a commit to its tabs.
_ANSWERS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_READINGS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_LAGS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)

# When a count began is a line more for each, and not known of several processes together.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Statistics(Protocol):
    """What a hub of streams counts for itself, as its writing is too fast for more."""

    event_streams: int
    sockets: int
    deliveries: int
    slow_dropped: int


class Metrics:
    """The counts of one app."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._answers: dict[tuple[str, str, int], Counter] = {}
        self._times: dict[tuple[str, str], Histogram] = {}
        self._seen_deliveries = self._seen_drops = 0
        self._statistics: Statistics | None = None
        self._dropped_lines: Callable[[], int] = lambda: 0
        self._seen_lines = 0
        self._age_of_backup: Callable[[], float] = lambda: float("inf")
        self._age_of_mail: Callable[[], float] = lambda: 0.0
        self._count_requests()
        self._count_tabs()
        self._count_sales()
        self._count_troubles()
        self._begin_at_zero()

    def _count_requests(self) -> None:
        self._requests = Counter(
            "shop_http_requests",
            "Requests answered, by method, route and status; streams when they open.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "shop_http_request_duration_seconds",
            "Time from a request to its answer; streams and sockets aside.",
            ["method", "route"],
            buckets=_ANSWERS,
            registry=self._registry,
        )

    def _count_tabs(self) -> None:
        self._open = Gauge(
            "shop_open_streams",
            "Tabs that are connected right now, by the kind of their connection.",
            ["kind"],
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        deliveries = "Messages given to tabs, one for each tab."
        self._deliveries = Counter("shop_deliveries", deliveries, registry=self._registry)
        dropped = "Tabs that left what was written to them unread for too long."
        self._drops = Counter("shop_slow_tabs_dropped", dropped, registry=self._registry)
        self.lag = self._histogram(
            "shop_delivery_lag_seconds",
            "From a commit, of another process from hearing of it, until its tabs were written to.",
            _LAGS,
        )
        self.refresh = self._histogram(
            "shop_inventory_refresh_seconds", "Time of reading the catalogue anew.", _READINGS
        )
        self.sweep = self._histogram(
            "shop_sweep_seconds", "Time of reading everything anew that tabs watch.", _READINGS
        )

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self._registry)

    def _count_sales(self) -> None:
        registry = self._registry
        self._orders = Counter("shop_orders", "Purchases made by shoppers.", registry=registry)
        self._pieces = Counter("shop_pieces_sold", "Pieces in those orders.", registry=registry)
        refused = "What shoppers asked for and didn't get, by reason."
        self._refusals = Counter("shop_refusals", refused, ["reason"], registry=registry)

    def _count_troubles(self) -> None:
        registry = self._registry
        failed = "Times that the database or Redis did not do what was asked."
        self._troubles = Counter("shop_backend_troubles", failed, ["backend"], registry=registry)
        dropped = "Lines of the log that were dropped, as its reader stood still."
        self._lines = Counter("shop_log_lines_dropped", dropped, registry=registry)
        self._backup_age = Gauge(
            "shop_last_backup_age_seconds",
            "Time since bin/flask db backup last wrote one on this machine; +Inf: none is known.",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )

        self._mail_age = Gauge(
            "shop_oldest_unsent_mail_seconds",
            "For how long the oldest mail waits that is still to be sent; 0: none waits.",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )

    def _begin_at_zero(self) -> None:
        for reason in REFUSALS:
            self._refusals.labels(reason)
        for backend in (DATABASE, REDIS):
            self._troubles.labels(backend)
        self._sse, self._websocket = self._open.labels("sse"), self._open.labels("websocket")

    def answered(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Count a request.

        Args:
            method: one of a few, as each that there is gets a line of its own.
            route: the rule that it met, never its path.
            seconds: how long it took; None for what isn't answered once and for all.
        """
        key = (method, route, status)
        counter = self._answers.get(key)
        if counter is None:  # finding what belongs to labels takes longer than counting
            counter = self._answers[key] = self._requests.labels(method, route, status)
        counter.inc()
        if seconds is None:
            return
        times = self._times.get((method, route))
        if times is None:
            times = self._times[method, route] = self._seconds.labels(method, route)
        times.observe(seconds)

    def sold(self, pieces: int) -> None:
        """Count an order of so many pieces."""
        self._orders.inc()
        self._pieces.inc(pieces)

    def refused(self, reason: str) -> None:
        """Count something that a shopper didn't get; `reason` is one of `REFUSALS`."""
        self._refusals.labels(reason).inc()

    def troubled(self, backend: str) -> None:
        """Count a trouble with `DATABASE` or `REDIS`."""
        self._troubles.labels(backend).inc()

    def follow(self, statistics: Statistics) -> None:
        """Take the counts of streams from here, whenever `gather` is called."""
        self._statistics = statistics

    def follow_log(self, dropped_lines: Callable[[], int]) -> None:
        """Take the count of lines that the log dropped from here, whenever `gather` is called."""
        self._dropped_lines = dropped_lines

    def follow_backups(self, age: Callable[[], float]) -> None:
        """Take the age of the last backup, in seconds, from here, whenever counts are asked for."""
        self._age_of_backup = age

    def follow_mails(self, age: Callable[[], float]) -> None:
        """Take the age of the oldest unsent mail, in seconds, from here, as that of the backup."""
        self._age_of_mail = age

    def gather(self) -> None:
        """Take over what the log and the hub have counted since the last time."""
        seen, self._seen_lines = self._seen_lines, self._dropped_lines()
        self._lines.inc(self._seen_lines - seen)
        statistics = self._statistics
        if statistics is None:
            return
        self._sse.set(statistics.event_streams)
        self._websocket.set(statistics.sockets)
        delivered, self._seen_deliveries = self._seen_deliveries, statistics.deliveries
        dropped, self._seen_drops = self._seen_drops, statistics.slow_dropped
        self._deliveries.inc(statistics.deliveries - delivered)
        self._drops.inc(statistics.slow_dropped - dropped)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return all counts as text, and its content type, in the format that is asked for.

        With several processes those are of all of them; what their hubs counted of streams is
        of their last `gather`.
        """
        self.gather()
        self._backup_age.set(self._age_of_backup())
        self._mail_age.set(self._age_of_mail())
        encode, content_type = choose_encoder(accept)
        folder = os.environ.get(FOLDER)
        if not folder:
            return encode(self._registry), content_type
        with registry_of_all(Path(folder)) as registry:
            return encode(registry), content_type
