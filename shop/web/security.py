"""Headers that every answer carries, and what is trusted of the ones that come in."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flask import Response
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

from shop.config import MAX_BODY
from shop.services import services_of
from shop.web.app import HeaderList, ShopApp
from shop.web.requests import current_request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

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


def install(app: ShopApp) -> None:
    """Set limits, cookies' attributes and headers."""
    settings = services_of(app).settings
    app.secret_key = settings.secret_key
    app.config.update(
        SECRET_KEY_FALLBACKS=[*settings.secret_keys[:-1]],
        MAX_CONTENT_LENGTH=MAX_BODY,
        MAX_FORM_MEMORY_SIZE=MAX_BODY,
        MAX_FORM_PARTS=100,
        SOCK_SERVER_OPTIONS={"max_message_size": 1024},  # tabs listen; they have nothing to say
    )
    if settings.https:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_port=0, x_prefix=0
        )
    always = _ALWAYS | (_ALWAYS_BY_HTTPS if settings.https else {})
    app.always = partial(_headers_of, [*always.items()])
    app.before_request(_refuse_large_bodies)
    app.after_request(_forbid_copies)


_ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}

_ALWAYS_BY_HTTPS = {"Strict-Transport-Security": "max-age=31536000"}

_BY_A_HOST_THAT_IS_TRUSTED = ("Cross-Origin-Opener-Policy", "same-origin")


def _headers_of(always: HeaderList, environ: WSGIEnvironment) -> HeaderList:
    host = environ.get("HTTP_HOST", "").partition(":")[0]
    if environ["wsgi.url_scheme"] == "https" or host in _OWN_MACHINE:
        return [*always, _BY_A_HOST_THAT_IS_TRUSTED]
    return always  # browsers would ignore it, and complain about it on every page


def _refuse_large_bodies() -> None:
    # Flask would refuse one when it is read, and not everything reads it.
    asked = current_request()
    if asked.environ.get("CONTENT_LENGTH", "0") != "0" and (asked.content_length or 0) > MAX_BODY:
        raise RequestEntityTooLarge


def _forbid_copies(response: Response) -> Response:
    # Carts and stock are of the moment: nobody keeps a copy.
    response.headers.setdefault("Cache-Control", "no-store")
    return response
