"""The catalogue, and a product."""

from __future__ import annotations

from flask import Blueprint, Response, abort

from shop.parts import parts
from shop.web.pages import show_page, sight

bp = Blueprint("catalog", __name__)


@bp.get("/")
def index() -> Response:
    seen = sight()
    products = seen.catalog.products
    listings = [parts.fragments.listing(product, "h2") for product in products]
    return show_page(
        "catalog/index.html",
        cart=seen.cart,
        notices=seen.notices,
        watching=products,
        listings=listings,
    )


@bp.get("/products/<path:sku>")
def product(sku: str) -> Response:
    seen = sight()
    found = seen.catalog.by_sku.get(sku)
    if found is None:
        abort(404, "There is no such shoe here. It may have been in another drop.")
    listing = parts.fragments.listing(found, "h1")
    return show_page(
        "catalog/product.html",
        cart=seen.cart,
        notices=seen.notices,
        watching=(found,),
        product=found,
        listing=listing,
    )
