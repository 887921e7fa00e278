"""The shop's texts, and the files of its brand."""

from __future__ import annotations

import mimetypes

from flask import Blueprint, Response, abort

from shop.services import services
from shop.web.pages import show_page

bp = Blueprint("face", __name__)

_STYLESHEET = "brand.css"

#: A logo may be opened by itself, and comes from an operator: nothing in it acts.
_HARMLESS = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

_FOR_EVER = "public, max-age=31536000, immutable"


@bp.get("/pages/<name>")
def text(name: str) -> Response:
    found = services.face.current().texts.get(name)
    if found is None:
        abort(404, "There is no such page of this shop.")
    return show_page("texts/show.html", text=found)


@bp.get("/brand/<key>/<file>")
def brand(key: str, file: str) -> Response:
    seen = services.face.current()
    logo = seen.brand.logo
    if file == _STYLESHEET:
        response = Response(seen.stylesheet, mimetype="text/css")
    elif logo is not None and file == logo.file:
        kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
        response = Response(logo.content, mimetype=kind)
        response.headers["Content-Security-Policy"] = _HARMLESS
    else:
        abort(404)
    if key == seen.key:
        response.headers["Cache-Control"] = _FOR_EVER
    return response
