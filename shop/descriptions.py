"""What operators say of their products: long, and read only for a product's own page."""

from __future__ import annotations

from markupsafe import Markup
from sqlalchemy import bindparam, select

from shop.db import Database
from shop.face.texts import from_description
from shop.models import Product
from shop.product_views import ProductView
from shop.render.cache import RenderCache

_DESCRIPTION = select(Product.description).where(Product.id == bindparam("product"))


class Descriptions:
    """The descriptions of a shop's products."""

    def __init__(self, database: Database, cache: RenderCache) -> None:
        self._database = database
        self._cache = cache

    def html(self, product: ProductView) -> Markup:
        """Return a product's description, made safe to show; mostly it is cached.

        Raises:
            DBAPIError, DatabaseBusy: the database is away.
        """
        key = ("description", product.id, product.row_version)
        found: Markup | None = self._cache.get(key)
        if found is None:
            rows = self._database.rows(_DESCRIPTION, {"product": product.id})
            found = from_description(rows[0].description) if rows else Markup("")
            self._cache.keep(key, found, 1 + len(found))
        return found
