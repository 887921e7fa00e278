"""Whether the process lives, and whether it can do its work."""

from __future__ import annotations

from flask import Blueprint
from sqlalchemy.exc import SQLAlchemyError

from shop.parts import parts

bp = Blueprint("health", __name__)

_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


@bp.get("/healthz")
def healthz() -> tuple[str, int, dict[str, str]]:
    return "ok\n", 200, _TEXT


@bp.get("/readyz")
def readyz() -> tuple[str, int, dict[str, str]]:
    try:
        parts.database.ping()
    except SQLAlchemyError:
        return "database: does not answer\n", 503, {**_TEXT, "Retry-After": "1"}
    return "ok\n", 200, _TEXT
