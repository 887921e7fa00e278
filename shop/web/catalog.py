"""The catalogue, and a product."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response, abort, request

from shop.calendar import opening_entry
from shop.product_views import ProductView
from shop.render.previews import preview_of
from shop.services import services
from shop.web.pages import PageContext, page_context, show_products

bp = Blueprint("catalog", __name__)


@bp.get("/")
def index() -> Response:
    seen, number = page_context(), _page_number()
    if not 0 < number <= len(seen.catalog.lists):
        abort(404, "There is no such page of the shop.")
    shown = seen.catalog.page(number)
    listed = services.fragments.list(shown)
    return show_products("catalog/index.html", listed, f"list={number}", seen, shown=shown)


@bp.get("/products/<path:sku>")
def product(sku: str) -> Response:
    seen = page_context()
    found = _find(sku, seen)
    description = services.descriptions.html(found)
    detail = services.fragments.detail(found, found.version, description)
    preview = partial(preview_of, found, description, services.settings)
    values = {"product": found, "make_preview": preview}
    return show_products("catalog/product.html", detail, f"detail={found.id}", seen, **values)


@bp.get("/products/<path:sku>/opening.ics")
def opening(sku: str) -> Response:
    found = _find(sku, page_context())
    if found.opens_at is None or found.released:
        abort(404, "Nobody has announced when it opens, or it is open already.")
    title = f"{found.brand} {found.name} opens"
    address = request.base_url.removesuffix("/opening.ics")
    uid = f"{found.sku}@{request.host.partition(':')[0]}"
    entry = opening_entry(uid, title, address, found.opens_at, found.version)
    headers = {"Content-Disposition": 'attachment; filename="opening.ics"'}
    return Response(entry, mimetype="text/calendar", headers=headers)


def _page_number() -> int:
    if not request.query_string:  # mostly: the front page
        return 1
    text = request.args.get("page", "1")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _find(sku: str, seen: PageContext) -> ProductView:
    found = seen.catalog.find(sku)
    if found is None:
        abort(404, "There is no such product here. It may have been in another drop.")
    return found
