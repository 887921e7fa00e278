"""The books of a double of Stripe's: sessions, refunds, and what the API answers of them."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

from tests.support.stripe_forms import CREATING, LISTING, REFUNDING, Unknown, check

#: What a session of Stripe's lasts at least, from when it is made, and at most, in seconds.
LEAST, MOST = 30 * 60, 86_400

Answer = tuple[int, dict[str, Any]]


class StripeBooks:
    """An account of Stripe's, by its API."""

    def __init__(self, *, live: bool) -> None:
        self.live = live
        #: where it is reached
        self.url = ""
        #: by how many seconds its clock is ahead
        self.ahead = 0.0
        self.sessions: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        #: method and path of each call that came
        self.calls: list[str] = []
        self._answered: dict[str, tuple[Any, Answer]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    def now(self) -> int:
        """Return the time by its clock, in seconds since 1970."""
        return int(time.time() + self.ahead)

    def tell(self, kind: str, name: str) -> None:
        """Send a message of what happened to a session."""

    def answer(self, method: str, path: str, body: dict[str, Any], key: str | None) -> Answer:
        """Answer a call; one whose idempotency key was answered before, by the same."""
        with self._lock:
            self.calls.append(f"{method} {path}")
            if key is not None and key in self._answered:
                asked, answered = self._answered[key]
                if asked == (path, body):
                    return answered
                return _OTHER_PARAMETERS
            answered = self._checked(method, path, body)
            if key is not None and answered[0] != 400:
                self._answered[key] = ((path, body), answered)
            return answered

    def fail(self, path: str, body: dict[str, Any], key: str | None) -> Answer:
        """Answer by an error, and by the same for the same key from then on."""
        answered = refused(500, "Something went wrong on Stripe's end")
        if key is not None:
            self._answered[key] = ((path, body), answered)
        return answered

    def _checked(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        """Answer a call, unless it names what the types of Stripe's library don't."""
        kinds = {("POST", "sessions"): CREATING, ("GET", "sessions"): LISTING}
        kinds[("POST", "refunds")] = REFUNDING
        kind = kinds.get((method, path.rpartition("/")[2]))
        try:
            if kind is not None:
                check(body, kind)
        except Unknown as error:
            return refused(400, str(error))
        return self._route(method, path, body)

    def _route(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        match (method, path.strip("/").split("/")[1:]):
            case ("POST", ["checkout", "sessions"]):
                return self._create(body)
            case ("GET", ["checkout", "sessions"]):
                self._end_what_is_over()
                return self._list(self.sessions, body, path)
            case ("GET", ["checkout", "sessions", name]) if name in self.sessions:
                return 200, seen(self.shown(name), body.get("expand", []))
            case ("POST", ["checkout", "sessions", name, "expire"]) if name in self.sessions:
                return self._expire(name)
            case ("POST", ["refunds"]):
                return self._refund(body)
            case ("GET", ["refunds"]):
                return self._list(self.refunds, body, path)
        return refused(404, f"Unrecognized request URL ({method}: {path})")

    def _create(self, body: dict[str, Any]) -> Answer:
        expires_at = int(body.get("expires_at", self.now() + MOST))
        if not LEAST <= expires_at - self.now() <= MOST:
            return refused(400, "expires_at must be in 30 min to 24 hours")
        lines = body.get("line_items", [])
        data = [line["price_data"] for line in lines]
        amount = sum(
            int(line["quantity"]) * int(price["unit_amount"])
            for line, price in zip(lines, data, strict=True)
        )
        if amount < 50:
            return refused(400, "The amount is below the least")
        email = body.get("customer_email", "")
        if not email.isascii():
            said = f"Invalid email address: {email}"
            return refused(400, said, "customer_email")
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
            "metadata": body.get("metadata", {}),
            "names": [price["product_data"]["name"] for price in data],
        }
        return 200, seen(self.shown(name), body.get("expand", []))

    def _expire(self, name: str) -> Answer:
        session = self.shown(name)
        if session["status"] != "open":
            said = f"Only open Checkout Sessions can be expired; this one is {session['status']}"
            return refused(400, said)
        self._end(name)
        return 200, seen(self.shown(name), [])

    def _refund(self, body: dict[str, Any]) -> Answer:
        intent, amount = body["payment_intent"], int(body["amount"])
        paid = [s for s in self.sessions.values() if _intent_id(s) == intent]
        if not paid or paid[0]["payment_status"] != "paid":
            return refused(400, "No such payment")
        before = sum(r["amount"] for r in self.refunds.values() if r["payment_intent"] == intent)
        if before + amount > paid[0]["amount_total"]:
            return refused(400, "Refund amount is greater than the charge")
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
        found = [row for row in found if asked.get("status") in (None, row["status"])]
        if "payment_intent" in asked:
            found = [r for r in found if r["payment_intent"] == asked["payment_intent"]]
        names = [row["id"] for row in found]
        start = names.index(asked["starting_after"]) + 1 if "starting_after" in asked else 0
        limit = int(asked.get("limit", 10))
        expand = [each.removeprefix("data.") for each in asked.get("expand", [])]
        page = [seen(row, expand) for row in found[start : start + limit]]
        more = start + limit < len(found)
        return 200, {"object": "list", "url": path, "has_more": more, "data": page}

    def shown(self, name: str) -> dict[str, Any]:
        """Return a session as it is now."""
        with self._lock:
            session = self.sessions[name]
            if session["status"] == "open" and session["expires_at"] <= self.now():
                self._end(name)
            return dict(session)

    def _end_what_is_over(self) -> None:
        for name in self.sessions:
            self.shown(name)

    def _end(self, name: str) -> None:
        self.sessions[name] |= {"status": "expired", "url": None}
        self.tell("checkout.session.expired", name)


def _intent_id(session: dict[str, Any]) -> str | None:
    intent = session["payment_intent"]
    return intent["id"] if intent else None


def seen(row: dict[str, Any], expand: list[str]) -> dict[str, Any]:
    """Return a row as it is answered: a payment by its name alone, unless it is asked for."""
    intent = row.get("payment_intent")
    if isinstance(intent, dict) and "payment_intent" not in expand:
        return {**row, "payment_intent": intent["id"]}
    return dict(row)


def refused(status: int, message: str, param: str | None = None) -> Answer:
    """Return an error as Stripe writes it."""
    kind = _KINDS.get(status, "invalid_request_error")
    return status, {"error": {"type": kind, "message": message, "param": param}}


_KINDS = {429: "rate_limit_error", 500: "api_error"}
_OTHER_PARAMETERS = (
    400,
    {"error": {"type": "idempotency_error", "message": "Keys are for the same parameters only"}},
)
