"""What a double of Stripe's answers by HTTP: its API, its payment page, and its switches."""

from __future__ import annotations

import html
import json
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, fields
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from stripe import api_version

from tests.support.stripe_books import Answer, refused
from tests.support.stripe_forms import nested

if TYPE_CHECKING:
    from tests.support.stripe_double import StripeDouble


_HTML = "text/html; charset=utf-8"

_BUTTONS = """
<form method="post">
<button name="do" value="pay">Pay {amount}</button>
<button name="do" value="pay later">Pay by bank</button>
<button name="do" value="decline">Decline</button>
</form>
<a href="{back}">Back</a>
"""

_ARRIVAL = """
<form method="post" action="/faults">
<button name="arrived" value="{name}">The money arrives</button>
<button name="failed" value="{name}">It never comes</button>
</form>
"""

#: How the text of a switch becomes its value, by the value's type.
_READ: dict[type, Any] = {
    str: str,
    int: int,
    float: float,
    bool: lambda text: text.lower() in ("on", "true", "1"),
    deque: lambda text: deque(word.strip() for word in text.split(",") if word.strip()),
}


class Pages(BaseHTTPRequestHandler):
    """Answers for one account."""

    protocol_version = "HTTP/1.1"
    account: StripeDouble

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path == "/":
            self._show_switches()
        elif path.path.startswith("/pay/"):
            self._show_page()
        else:
            self._answer_call("GET", nested(parse_qsl(path.query)))

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        pairs = parse_qsl(text, keep_blank_values=True)
        if self.path == "/faults":
            self._switch(dict(pairs))
        elif self.path.startswith("/pay/"):
            self._act(dict(pairs).get("do", ""))
        else:
            self._answer_call("POST", nested(pairs))

    # --- The API ----------------------------------------------------------------------------

    def _answer_call(self, method: str, body: dict[str, Any]) -> None:
        faults = self.account.faults
        fault = faults.next_calls.popleft() if faults.next_calls else ""
        time.sleep(10 if fault == "silence" else faults.silence)
        if faults.away or fault == "away":
            self.close_connection = True
            return
        if fault == "gateway":
            self._write(503, b"<h1>Service unavailable</h1>")
            return
        answer = self._answer_as(fault or ("error" if faults.broken else ""), method, body)
        if fault == "lost":
            self.close_connection = True
            return
        retry = {"Stripe-Should-Retry": "false"} if answer[0] == 500 else {}
        self._write(answer[0], json.dumps(answer[1]).encode(), "application/json", **retry)

    def _answer_as(self, fault: str, method: str, body: dict[str, Any]) -> Answer:
        account, path = self.account, urlsplit(self.path).path
        key = self.headers.get("Idempotency-Key")
        if self.headers.get("Authorization") != f"Bearer {account.key}":
            return refused(401, "Invalid API Key provided")
        if self.headers.get("Stripe-Version") != api_version:
            return refused(400, "Another version than the library's was asked for")
        if fault == "busy" or account.is_too_much():
            return refused(429, "Too many requests")
        if fault == "error":
            return account.fail(path, body, key)
        answer = account.answer(method, path, body, key)
        return account.fail(path, body, key) if fault == "error after" else answer

    def _write(self, status: int, body: bytes, kind: str = _HTML, **headers: str) -> None:
        with suppress(OSError):  # the client may have left
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    # --- Its payment page ---------------------------------------------------------------------

    def _show_page(self, said: str = "") -> None:
        name = urlsplit(self.path).path.removeprefix("/pay/")
        if name not in self.account.sessions:
            self._write(404, b"There is no such page.")
            return
        session = self.account.shown(name)
        names = "".join(f"<li>{html.escape(each)}</li>" for each in session["names"])
        if session["status"] == "open":
            amount = f"{session['amount_total']} {session['currency']}"
            shown = _BUTTONS.format(amount=amount, back=html.escape(session["cancel_url"]))
        else:
            shown = "<p>You did it – you have either completed the payment, or it timed out.</p>"
        heading = "<h1>No money moves here</h1>"
        self._show(f"{heading}<p role=status>{said}</p><ul>{names}</ul>{shown}")

    def _act(self, what: str) -> None:
        name = self.path.removeprefix("/pay/")
        if what == "decline" or name not in self.account.sessions:
            self._show_page("Your card was declined.")
        elif self.account.pay(name, delayed=what == "pay later"):
            self._go_to(self.account.sessions[name]["success_url"])
        else:
            self._show_page()

    # --- Its switches ---------------------------------------------------------------------------

    def _show_switches(self) -> None:
        faults = asdict(self.account.faults) | {"ahead": self.account.ahead}
        faults["next_calls"] = ", ".join(faults["next_calls"])
        inputs = "".join(
            f'<p><label>{name} <input name="{name}" value="{html.escape(str(value))}"></label></p>'
            for name, value in faults.items()
        )
        rows = "".join(map(self._row, list(self.account.sessions)))
        refunds = "".join(
            f"<li>{each['id']}: {each['amount']} of {each['payment_intent']}, {each['status']}</li>"
            for each in list(self.account.refunds.values())
        )
        self._show(
            f"<h1>Stripe's double</h1><ul>{rows}</ul><ul>{refunds}</ul>"
            f'<form method="post" action="/faults">{inputs}<button>Set</button>'
            '<button name="send" value="late">Set, and send the late webhooks</button></form>'
        )

    def _row(self, name: str) -> str:
        session = self.account.shown(name)
        facts = (f"{session['amount_total']} {session['currency']}", session["status"])
        told = ", ".join([*facts, session["payment_status"]])
        row = f'<a href="/pay/{name}">{session["client_reference_id"]}</a>: {told}'
        is_coming = (session["status"], session["payment_status"]) == ("complete", "unpaid")
        return f"<li>{row}{_ARRIVAL.format(name=name) if is_coming else ''}</li>"

    def _switch(self, given: dict[str, str]) -> None:
        """Set what goes wrong, and what happens at a bank."""
        account = self.account
        for each in fields(account.faults):
            if each.name in given:
                read = _READ[type(getattr(account.faults, each.name))]
                setattr(account.faults, each.name, read(given[each.name]))
        account.ahead = float(given.get("ahead", account.ahead))
        if given.get("send") == "late":
            account.send_late_ones()
        for what, paid in (("arrived", True), ("failed", False)):
            if given.get(what) in account.sessions:
                account.come_through(given[what], paid=paid)
        self._go_to("/")

    def _show(self, shown: str) -> None:
        page = f"<!doctype html><html lang=en><title>Double</title>{shown}"
        self._write(200, page.encode())

    def _go_to(self, address: str) -> None:
        self._write(303, b"", Location=address)
