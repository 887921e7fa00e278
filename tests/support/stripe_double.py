"""Speaks as Stripe does, as far as the shop asks, and breaks as it is told to.

    python -m tests.support.stripe_double --port 12111 --webhook http://127.0.0.1:8000/payments/stripe

serves one for a developer: see docs/payments.md. Real HTTP, real signatures; no money.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.stripe_books import StripeBooks, seen
from tests.support.stripe_pages import Pages

KEY = "sk_test_double"
SECRET = "whsec_double"


@dataclass
class Faults:
    """What goes wrong; each holds until it is switched off."""

    #: of webhooks: `lost`, `twice`, `late` (out of order), `early` (before our call is answered)
    webhooks: str = ""
    #: of the next calls, one each: `away`, `lost` (done, no answer), `error`, `error after`,
    #: `gateway` (503, nothing begun), `silence` (10 s), `busy` (429)
    next_calls: deque[str] = field(default_factory=deque)
    #: calls a second, above which it answers 429; 0: as many as come
    most_calls: int = 0
    #: whether nothing is answered at all
    away: bool = False
    #: whether every call is answered by an error, of which the first for a key is repeated
    broken: bool = False
    #: seconds of silence before every answer
    silence: float = 0.0


class StripeDouble(StripeBooks):
    """An account of Stripe's, with shoppers on its pages, messages, and what goes wrong."""

    def __init__(self, webhook: str = "", *, live: bool = False) -> None:
        super().__init__(live=live)
        self.webhook = webhook
        self.key = KEY
        self.faults = Faults()
        self._recent: deque[float] = deque()
        self._late: list[dict[str, Any]] = []

    def is_too_much(self) -> bool:
        """Count a call; tell whether there were too many in this second."""
        now = time.monotonic()
        while self._recent and self._recent[0] < now - 1:
            self._recent.popleft()
        if self.faults.most_calls and len(self._recent) >= self.faults.most_calls:
            return True
        self._recent.append(now)
        return False

    # --- The shopper on the page --------------------------------------------------------------

    def pay(self, name: str, *, delayed: bool = False) -> bool:
        """Pay on a page; False: it can't be paid any more."""
        with self._lock:
            if self.shown(name)["status"] != "open":
                return False
            intent = {"id": f"pi_{name}", "object": "payment_intent"}
            intent["status"] = "processing" if delayed else "succeeded"
            paid = "unpaid" if delayed else "paid"
            self.sessions[name] |= {"status": "complete", "url": None, "payment_status": paid}
            self.sessions[name]["payment_intent"] = intent
        self.tell("checkout.session.completed", name)
        return True

    def come_through(self, name: str, *, paid: bool) -> None:
        """Have money that was on its way be there, or never come."""
        with self._lock:
            status = "succeeded" if paid else "requires_payment_method"
            self.sessions[name]["payment_intent"]["status"] = status
            if paid:
                self.sessions[name]["payment_status"] = "paid"
        end = "succeeded" if paid else "failed"
        self.tell(f"checkout.session.async_payment_{end}", name)

    # --- Webhooks -------------------------------------------------------------------------------

    def tell(self, kind: str, name: str) -> None:
        """Send a message of what happened, as the faults have it."""
        how = self.faults.webhooks
        event = {
            "id": f"evt_{next(self._numbers)}",
            "object": "event",
            "type": kind,
            "livemode": self.live,
            "created": self.now(),
            "data": {"object": seen(self.sessions[name], [])},
        }
        if how == "lost" or not self.webhook:
            return
        if how == "late":
            self._late.append(event)
            return
        if how == "early":
            self.send(event)
            return
        for _ in range(2 if how == "twice" else 1):
            threading.Thread(target=self.send, args=(event,), daemon=True).start()

    def send_late_ones(self) -> None:
        """Send what was kept back, the last first."""
        while self._late:
            self.send(self._late.pop())

    def send(self, event: dict[str, Any], *, secret: str = SECRET, at: int | None = None) -> int:
        """Send a message, signed; return the status that it was answered with."""
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json"}
        headers["Stripe-Signature"] = signature(body, secret, at or int(time.time()))
        request = urllib.request.Request(self.webhook, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    # --- Serving ----------------------------------------------------------------------------

    @contextmanager
    def serving(self, port: int = 0) -> Iterator[StripeDouble]:
        """Serve for as long as the context lasts."""
        double = self

        class Handler(Pages):
            account = double

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


def signature(body: bytes, secret: str, at: int) -> str:
    """Return the header by which a message is known to be Stripe's."""
    signed = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


def main() -> None:
    """Serve a double for a developer, until Ctrl-C."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--webhook", default="http://127.0.0.1:8000/payments/stripe")
    given = parser.parse_args()
    with StripeDouble(given.webhook).serving(given.port) as double:
        print(f"Its books, and switches for what goes wrong: {double.url}/", flush=True)
        print(f"SHOP_PAYMENTS=stripe SHOP_STRIPE_API={double.url} SHOP_STRIPE_KEY={KEY} \\")
        print(f"SHOP_STRIPE_WEBHOOK_SECRET={SECRET} SHOP_PUBLIC_URL={shop_of(given.webhook)} \\")
        print("bin/serve", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def shop_of(webhook: str) -> str:
    """Return the address of the shop that hears of what happened here."""
    return "://".join(urlsplit(webhook)[:2])


if __name__ == "__main__":
    main()
