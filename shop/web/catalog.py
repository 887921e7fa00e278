"""The catalogue, and a product."""

from __future__ import annotations

from flask import Blueprint, Response, abort

from shop.web.pages import page_context, show_products

bp = Blueprint("catalog", __name__)


@bp.get("/")
def index() -> Response:
    seen = page_context()
    return show_products("catalog/index.html", seen.catalog.products, seen)


@bp.get("/products/<path:sku>")
def product(sku: str) -> Response:
    seen = page_context()
    found = seen.catalog.by_sku.get(sku)
    if found is None:
        abort(404, "There is no such product here. It may have been in another drop.")
    return show_products("catalog/product.html", (found,), seen, product=found)
