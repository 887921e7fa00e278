"""Speaks as Stripe does, as far as the shop asks, and breaks as it is told to.

    python -m tests.support.stripe_double --port 12111 --webhook http://127.0.0.1:8000/payments/stripe

serves one for a developer: see docs/payments.md. Real HTTP, real signatures; no money.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import html
import itertools
import json
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.stripe_forms import nested

KEY = "sk_test_double"
SECRET = "whsec_double"

#: What a session of Stripe's lasts at least, from when it is made, in seconds.
LEAST = 30 * 60

Answer = tuple[int, dict[str, Any]]


@dataclass
class Faults:
    """What goes wrong; each holds until it is switched off."""

    #: of webhooks: `lost`, `twice`, `late` (out of order), `early` (before our call is answered)
    webhooks: str = ""
    #: of the next calls, one each: `away`, `lost` (done, no answer), `error`, `error after`,
    #: `silence` (10 s), `busy` (429)
    next_calls: deque[str] = field(default_factory=deque)
    #: calls a second, above which it answers 429; 0: as many as come
    most_calls: int = 0
    #: whether nothing is answered at all
    away: bool = False
    #: seconds of silence before every answer
    silence: float = 0.0


class StripeDouble:
    """An account of Stripe's."""

    def __init__(self, webhook: str = "", *, live: bool = False) -> None:
        self.webhook = webhook
        self.live = live
        self.faults = Faults()
        #: by how many seconds its clock is ahead
        self.ahead = 0.0
        self.sessions: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        #: method and path of each call that came
        self.calls: list[str] = []
        self._answered: dict[str, tuple[Any, Answer]] = {}
        self._numbers = itertools.count(1)
        self._recent: deque[float] = deque()
        self._late: list[dict[str, Any]] = []
        self._lock = threading.RLock()
        self.url = ""

    def now(self) -> int:
        return int(time.time() + self.ahead)

    # --- The API ----------------------------------------------------------------------------

    def answer(self, method: str, path: str, body: dict[str, Any], key: str | None) -> Answer:
        """Answer a call; one whose idempotency key was answered before, by the same."""
        with self._lock:
            self.calls.append(f"{method} {path}")
            if self._is_too_much():
                return _error(429, "rate_limit_error", "Too many requests")
            if key is not None and key in self._answered:
                asked, answered = self._answered[key]
                if asked == (path, body):
                    return answered
                return _error(400, "idempotency_error", "Keys are for the same parameters only")
            answered = self._route(method, path, body)
            if key is not None and answered[0] != 400:
                self._answered[key] = ((path, body), answered)
            return answered

    def fail(self, path: str, body: dict[str, Any], key: str | None) -> Answer:
        """Answer by an error, and by the same for the same key from then on."""
        answered = _error(500, "api_error", "Something went wrong on Stripe's end")
        if key is not None:
            self._answered[key] = ((path, body), answered)
        return answered

    def _is_too_much(self) -> bool:
        now = time.monotonic()
        while self._recent and self._recent[0] < now - 1:
            self._recent.popleft()
        if self.faults.most_calls and len(self._recent) >= self.faults.most_calls:
            return True
        self._recent.append(now)
        return False

    def _route(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        match (method, path.strip("/").split("/")[1:]):
            case ("POST", ["checkout", "sessions"]):
                return self._create(body)
            case ("GET", ["checkout", "sessions"]):
                return self._list(self.sessions, body, path)
            case ("GET", ["checkout", "sessions", name]) if name in self.sessions:
                return 200, self._shown(name)
            case ("POST", ["checkout", "sessions", name, "expire"]) if name in self.sessions:
                return self._expire(name)
            case ("POST", ["refunds"]):
                return self._refund(body)
            case ("GET", ["refunds"]):
                return self._list(self.refunds, body, path)
        return _error(404, "invalid_request_error", f"Unrecognized request URL ({method}: {path})")

    def _create(self, body: dict[str, Any]) -> Answer:
        expires_at = int(body.get("expires_at", self.now() + 86_400))
        if not LEAST <= expires_at - self.now() <= 86_400:
            return _error(400, "invalid_request_error", "expires_at must be in 30 min to 24 hours")
        lines = body.get("line_items", [])
        data = [line["price_data"] for line in lines]
        amount = sum(
            int(line["quantity"]) * int(price["unit_amount"])
            for line, price in zip(lines, data, strict=True)
        )
        if amount < 50:
            return _error(400, "invalid_request_error", "The amount is below the least")
        name = f"cs_test_{next(self._numbers)}"
        self.sessions[name] = {
            "id": name,
            "object": "checkout.session",
            "mode": body["mode"],
            "status": "open",
            "payment_status": "unpaid",
            "amount_total": amount,
            "currency": data[0]["currency"],
            "client_reference_id": body.get("client_reference_id"),
            "customer_email": body.get("customer_email"),
            "livemode": self.live,
            "created": self.now(),
            "expires_at": expires_at,
            "url": f"{self.url}/pay/{name}",
            "success_url": body["success_url"],
            "cancel_url": body["cancel_url"],
            "payment_intent": None,
            "names": [price["product_data"]["name"] for price in data],
        }
        return 200, self._shown(name)

    def _expire(self, name: str) -> Answer:
        session = self._shown(name)
        if session["status"] != "open":
            said = f"Only open Checkout Sessions can be expired; this one is {session['status']}"
            return _error(400, "invalid_request_error", said)
        self._end(name)
        return 200, self._shown(name)

    def _refund(self, body: dict[str, Any]) -> Answer:
        intent, amount = body["payment_intent"], int(body["amount"])
        paid = [s for s in self.sessions.values() if _intent_id(s) == intent]
        if not paid or paid[0]["payment_status"] != "paid":
            return _error(400, "invalid_request_error", "No such payment")
        before = sum(r["amount"] for r in self.refunds.values() if r["payment_intent"] == intent)
        if before + amount > paid[0]["amount_total"]:
            return _error(400, "invalid_request_error", "Refund amount is greater than the charge")
        name = f"re_{next(self._numbers)}"
        self.refunds[name] = {
            "id": name,
            "object": "refund",
            "amount": amount,
            "currency": paid[0]["currency"],
            "payment_intent": intent,
            "metadata": body.get("metadata", {}),
            "status": "succeeded",
            "created": self.now(),
        }
        return 200, self.refunds[name]

    def _list(self, rows: dict[str, Any], asked: dict[str, Any], path: str) -> Answer:
        found = list(reversed(rows.values()))
        since = int(asked.get("created", {}).get("gte", 0))
        found = [row for row in found if row["created"] >= since]
        if "payment_intent" in asked:
            found = [r for r in found if r["payment_intent"] == asked["payment_intent"]]
        names = [row["id"] for row in found]
        start = names.index(asked["starting_after"]) + 1 if "starting_after" in asked else 0
        limit = int(asked.get("limit", 10))
        page = found[start : start + limit]
        more = start + limit < len(found)
        return 200, {"object": "list", "url": path, "has_more": more, "data": page}

    def _shown(self, name: str) -> dict[str, Any]:
        session = self.sessions[name]
        if session["status"] == "open" and session["expires_at"] <= self.now():
            self._end(name)
        return dict(session)

    def _end(self, name: str) -> None:
        self.sessions[name] |= {"status": "expired", "url": None}
        self.tell("checkout.session.expired", name)

    # --- The shopper on the page --------------------------------------------------------------

    def pay(self, name: str, *, delayed: bool = False) -> bool:
        """Pay on a page; False: it can't be paid any more."""
        with self._lock:
            if self._shown(name)["status"] != "open":
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
            "data": {"object": dict(self.sessions[name])},
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

        class Handler(_Handler):
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


def _intent_id(session: dict[str, Any]) -> str | None:
    intent = session["payment_intent"]
    return intent["id"] if intent else None


def _error(status: int, kind: str, message: str) -> Answer:
    return status, {"error": {"type": kind, "message": message}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    account: StripeDouble

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def do_GET(self) -> None:
        if self.path.startswith("/pay/"):
            self._show_page()
        else:
            self._answer_call("GET", dict(nested(parse_qsl(urlsplit(self.path).query))))

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path.startswith("/pay/"):
            self._act(dict(parse_qsl(text)).get("do", ""))
        else:
            self._answer_call("POST", dict(nested(parse_qsl(text, keep_blank_values=True))))

    def _answer_call(self, method: str, body: dict[str, Any]) -> None:
        account, path = self.account, urlsplit(self.path).path
        key = self.headers.get("Idempotency-Key")
        fault = account.faults.next_calls.popleft() if account.faults.next_calls else ""
        time.sleep(10 if fault == "silence" else account.faults.silence)
        if account.faults.away or fault == "away":
            self.close_connection = True
            return
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            self._send(*_error(401, "invalid_request_error", "Invalid API Key provided"))
            return
        if fault == "busy":
            self._send(*_error(429, "rate_limit_error", "Too many requests"))
            return
        if fault == "error":
            self._send(*account.fail(path, body, key))
            return
        answer = account.answer(method, path, body, key)
        if fault == "error after":
            answer = account.fail(path, body, key)
        if fault == "lost":
            self.close_connection = True
            return
        self._send(*answer)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self._write(status, json.dumps(body).encode(), "application/json")

    def _write(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        with suppress(OSError):  # who asked may have left
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    # --- Its page -------------------------------------------------------------------------------

    def _show_page(self, said: str = "") -> None:
        session = self.account._shown(self.path.removeprefix("/pay/"))
        if session["status"] != "open":
            shown = "<p>You did it – you have either completed the payment, or it timed out.</p>"
        else:
            amount = f"{session['amount_total']} {session['currency']}"
            shown = (
                f'<form method="post"><button name="do" value="pay">Pay {amount}</button>'
                '<button name="do" value="pay later">Pay by bank</button>'
                '<button name="do" value="decline">Decline</button></form>'
                f'<a href="{html.escape(session["cancel_url"])}">Back</a>'
            )
        names = "".join(f"<li>{html.escape(name)}</li>" for name in session["names"])
        page = (
            "<!doctype html><html lang=en><title>Double</title><h1>No money moves here</h1>"
            f"<p role=status>{said}</p><ul>{names}</ul>{shown}"
        )
        self._write(200, page.encode(), "text/html; charset=utf-8")

    def _act(self, what: str) -> None:
        name = self.path.removeprefix("/pay/")
        if what == "decline":
            self._show_page("Your card was declined.")
        elif self.account.pay(name, delayed=what == "pay later"):
            address = self.account.sessions[name]["success_url"]
            self._write(303, b"", "text/plain", Location=address)
        else:
            self._show_page()


def main() -> None:
    """Serve a double for a developer, until Ctrl-C."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--webhook", default="http://127.0.0.1:8000/payments/stripe")
    given = parser.parse_args()
    with StripeDouble(given.webhook).serving(given.port) as double:
        print(f"SHOP_STRIPE_API={double.url} SHOP_STRIPE_KEY={KEY}")
        print(f"SHOP_STRIPE_WEBHOOK_SECRET={SECRET}")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
