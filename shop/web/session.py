"""The session: what a page is to say next, a draft, and the last receipt, in a signed cookie."""

from __future__ import annotations

from flask import Flask, Request, Response, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from itsdangerous import BadSignature, URLSafeTimedSerializer

from shop.services import services_of
from shop.web.cookies import HOST_PREFIX, MOST_CHARACTERS
from shop.web.draft import DRAFT
from shop.web.visitor import carries_over

_NAME = "shop_session"


def install(app: Flask) -> None:
    """Keep sessions in a cookie with the shop's attributes."""
    settings = services_of(app).settings
    app.config.update(
        SESSION_COOKIE_NAME=f"{HOST_PREFIX}{_NAME}" if settings.https else _NAME,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.https,
    )
    app.session_interface = Sessions()


#: What a session can do without, in this order.
_SPARED = (DRAFT, "_flashes")


class Sessions(SecureCookieSessionInterface):
    """Flask's own sessions, at less cost for the many requests that have none."""

    def __init__(self) -> None:
        self._signer: URLSafeTimedSerializer | None = None

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """Return what signs, made once: the secret key stays the same as long as the app lives."""
        if self._signer is None:
            self._signer = super().get_signing_serializer(app)
        return self._signer

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return what the request's cookie holds.

        It has no age: a session ends with the browser's, whatever a clock says, or the clock of
        the server that signed it. Flask's own would not believe one that a clock ahead signed.
        """
        text = request.cookies.get(self.get_cookie_name(app))
        # The one from before HTTPS was switched on comes along with the cart, and not without it.
        left_over = text is None and _NAME in request.cookies and carries_over()
        if left_over:
            text = request.cookies[_NAME]
        signer = self.get_signing_serializer(app)
        if text is None or signer is None:
            return self.session_class()
        try:
            session = self.session_class(signer.loads(text))
        except BadSignature:
            return self.session_class()
        session.modified = left_over  # it is kept under its new name
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Write what was changed of a session into its cookie."""
        if session or session.modified:
            self._shorten(app, session)
            super().save_session(app, session, response)
            if self.get_cookie_name(app) != _NAME and _NAME in request.cookies:
                response.delete_cookie(_NAME, httponly=True, samesite="Lax", secure=True)
        elif session.accessed:
            response.headers.add("Vary", "Cookie")

    def _shorten(self, app: Flask, session: SessionMixin) -> None:
        """Take out of a session what a browser's cookie has no room for."""
        signer = self.get_signing_serializer(app)
        if signer is None or not session.modified or _is_short(session):
            return
        for key in _SPARED:
            if key in session and len(signer.dumps(dict(session))) > MOST_CHARACTERS:
                del session[key]


def _is_short(session: SessionMixin) -> bool:
    """Tell whether it surely fits: signing it to find out takes ten times as long as this."""
    text = repr(session)  # of ASCII, JSON makes at most twice as much, and base64 four thirds of it
    return text.isascii() and len(text) < MOST_CHARACTERS // 3
