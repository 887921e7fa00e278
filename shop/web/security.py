"""Headers that every answer carries, and what is trusted of the ones that come in."""

from __future__ import annotations

from functools import partial
from typing import cast

from flask import Flask, Response
from werkzeug.middleware.proxy_fix import ProxyFix

from shop.config import MAX_BODY
from shop.parts import Parts
from shop.web.requests import current_request

#: Everything from this origin, nothing inline, nothing framed.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

#: Hosts that browsers trust without HTTPS.
_OWN_MACHINE = ("localhost", "127.0.0.1")


def install(app: Flask) -> None:
    """Set limits, cookies' manners and headers."""
    settings = cast(Parts, app.extensions["shop"]).settings
    app.secret_key = settings.secret_key
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY,
        MAX_FORM_MEMORY_SIZE=MAX_BODY,
        MAX_FORM_PARTS=100,
        SOCK_SERVER_OPTIONS={"max_message_size": 1024},  # tabs listen; they have nothing to say
    )
    if settings.https:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_port=1, x_prefix=0
        )
    always = _ALWAYS | (_ALWAYS_BY_HTTPS if settings.https else {})
    app.after_request(partial(_harden, tuple(always.items())))


_ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}

_ALWAYS_BY_HTTPS = {"Strict-Transport-Security": "max-age=31536000"}


def _harden(always: tuple[tuple[str, str], ...], response: Response) -> Response:
    headers, asked = response.headers, current_request()
    # Carts and stock are of the moment: nobody keeps a copy.
    headers.setdefault("Cache-Control", "no-store")
    headers.extend(always)
    if asked.is_secure or asked.host.partition(":")[0] in _OWN_MACHINE:
        # Elsewhere browsers ignore it, and complain about it on every page.
        headers.add("Cross-Origin-Opener-Policy", "same-origin")
    return response
