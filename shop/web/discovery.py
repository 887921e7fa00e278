"""What search engines ask for: which pages there are, and which are not for them."""

from __future__ import annotations

from urllib.parse import quote
from xml.sax.saxutils import escape

from flask import Blueprint, Response, request

from shop.services import services
from shop.web.pages import page_context

bp = Blueprint("discovery", __name__)

#: Pages of one visitor, and what is no page.
_NOT_FOR_ROBOTS = ("/cart", "/checkout", "/orders", "/stream", "/socket")

#: The most addresses that a sitemap may have (sitemaps.org).
_MOST = 50_000


@bp.get("/robots.txt")
def robots() -> Response:
    closed = "".join(f"Disallow: {path}\n" for path in _NOT_FOR_ROBOTS)
    text = f"User-agent: *\n{closed}Sitemap: {_root()}/sitemap.xml\n"
    return Response(text, mimetype="text/plain")


@bp.get("/sitemap.xml")
def sitemap() -> Response:
    catalog, root = page_context().catalog, _root()
    paths = ["/", *(f"/?page={page.number}" for page in catalog.lists[1:])]
    paths += [f"/products/{quote(product.sku, safe='')}" for product in catalog.products]
    paths += [f"/pages/{name}" for name in services.face.current().texts]
    places = "".join(f"<url><loc>{escape(root + path)}</loc></url>\n" for path in paths[:_MOST])
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{places}</urlset>\n'
    )
    return Response(text, mimetype="application/xml")


def _root() -> str:
    """Return the shop's address, as it is set or as it was asked for."""
    return services.settings.public_url or request.url_root.rstrip("/")
