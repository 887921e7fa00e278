"""Pictures of products. What is at an address never changes, so browsers keep it."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request
from werkzeug.wrappers import Response as BaseResponse

from shop.services import services
from shop.serving.assets import FAR_FUTURE

bp = Blueprint("media", __name__)


@bp.get("/media/<picture_hash>/<name>")
def picture(picture_hash: str, name: str) -> BaseResponse:
    content = services.media.read(picture_hash, name)
    if content is None:
        abort(404)
    response = Response(content, mimetype=f"image/{name.rpartition('.')[2]}")
    response.headers["Cache-Control"] = f"public, max-age={FAR_FUTURE}, immutable"
    response.set_etag(f"{picture_hash}-{name}")
    return response.make_conditional(request)
