"""What link previews and search engines read of a product: Open Graph, schema.org."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from shop.config import Settings
from shop.money import decimal_amount, format_money
from shop.product_views import ProductView

#: How much of a description is shown elsewhere, in characters.
_LONGEST = 200

#: The width of the picture that previews are given, in pixels.
_PICTURE_WIDTH = 960


@dataclass(frozen=True, slots=True)
class Preview:
    """A product as it is shown elsewhere."""

    title: str
    text: str
    #: absolute, if the shop knows its address (SHOP_PUBLIC_URL)
    address: str
    #: nothing if there is none that others show: they know no SVG
    picture: str
    #: for a script element, in JSON (https://schema.org/Product)
    structured: Markup


def preview_of(product: ProductView, description: Markup, settings: Settings) -> Preview:
    """Make the preview of a product.

    Args:
        description: the product's, made safe.
    """
    title = f"{product.brand} {product.name}".strip()
    text = _shortened(description.striptags()) or _described(product, settings)
    address = f"{settings.public_url or ''}/products/{quote(product.sku, safe='')}"
    pictures = [
        f"{settings.public_url or ''}{picture.address(_PICTURE_WIDTH)}"
        for picture in product.pictures
    ]
    structured = _structured(product, title, text, address, pictures, settings.currency)
    return Preview(title, text, address, pictures[0] if pictures else "", structured)


def _described(product: ProductView, settings: Settings) -> str:
    price = format_money(product.price, settings.currency)
    return ", ".join(
        part for part in (f"{product.brand} {product.name}", product.color, price) if part
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1].rstrip()}…"


def _structured(
    product: ProductView, title: str, text: str, address: str, pictures: list[str], currency: str
) -> Markup:
    data = {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": title,
        "sku": product.sku,
        "brand": {"@type": "Brand", "name": product.brand},
        "color": product.color,
        "description": text,
        "image": pictures,
        "offers": {
            "@type": "Offer",
            "url": address,
            "price": decimal_amount(product.price, currency),
            "priceCurrency": currency,
            "availability": f"https://schema.org/{_availability(product)}",
        },
    }
    given = {name: value for name, value in data.items() if value}
    safe = json.dumps(given, ensure_ascii=False)
    for letter in "<>&":  # nothing in it ends the element
        safe = safe.replace(letter, f"\\u{ord(letter):04x}")
    safe = safe.replace("/", "\\/")  # nor looks like an address that the page asks something of
    return Markup(safe)  # noqa: S704  (made harmless)


def _availability(product: ProductView) -> str:
    if not product.released:
        return "PreOrder"
    in_stock = any(not item.sold_out for item in product.items)
    return "InStock" if in_stock else "SoldOut"
