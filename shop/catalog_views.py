"""The catalogue as shoppers see it at one moment: its products, and the list of them in pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from shop.bounded import Bounded
from shop.product_views import ItemView, ProductView
from shop.versions import newest, succeed

#: How many lines of carts are kept as they are seen, of some 300 bytes each.
_MOST_LINES = 100_000

#: How many products a page of the list shows.
PER_PAGE = 24


@dataclass(frozen=True)
class ProductList:
    """One page of the list of products."""

    number: int
    #: how many pages there are
    pages: int
    products: tuple[ProductView, ...]
    #: of what is on it, and in which order
    list_version: int

    @property
    def version(self) -> int:
        """Grows when it would show something else: another product, or another stock of one."""
        return newest(self.list_version, *(product.version for product in self.products))

    def with_products(self, changed: Mapping[int, ProductView]) -> ProductList:
        """Return the page with some products in the place of those with their ids."""
        products = tuple([changed.get(product.id, product) for product in self.products])
        return replace(self, products=products)

    def shows_same(self, other: ProductList) -> bool:
        """Tell whether it shows the same, but for the stock of its products."""
        mine, theirs = ([p.head for p in shown.products] for shown in (self, other))
        return mine == theirs and self.pages == other.pages


@dataclass(frozen=True)
class Catalog:
    """Every product at one moment. Never changes: a new moment is a new catalogue."""

    #: all products, also those that were withdrawn
    by_id: dict[int, ProductView] = field(default_factory=dict)
    #: ids of those that are shown, by their skus
    shown_ids: dict[str, int] = field(default_factory=dict)
    #: at which place in `lists` the page is that shows a product
    page_of: dict[int, int] = field(default_factory=dict)
    #: those of them that are shown, in pages; there is always one
    lists: tuple[ProductList, ...] = (ProductList(1, 1, (), 0),)
    #: the product that an item is of, by their ids
    holders: dict[int, int] = field(default_factory=dict)
    item_ids: dict[str, int] = field(default_factory=dict)
    #: the least version that anything of it is shown under (see `Floor`)
    floor: int = 0
    #: the last number that had been drawn when it was read
    last: int = 0
    #: ids of the products by which it differs from the one that it was made of; None: of all
    changed: frozenset[int] | None = field(default=None, compare=False, repr=False)
    #: what others made of this moment, for as long as it is the present one (see `shop.carts`)
    contents: Bounded[Any, Any] = field(
        default_factory=lambda: Bounded(_MOST_LINES), compare=False, repr=False
    )

    @classmethod
    def of(
        cls,
        products: list[ProductView],
        floor: int,
        last: int,
        before: Catalog,
        *,
        renew: bool = False,
    ) -> Catalog:
        """Put products together.

        Args:
            before: what was known, of the same database: versions grow from there.
            renew: whether what looks the same is to have the version that it has now.
        """
        ordered = tuple(sorted(products, key=lambda p: (p.position, p.id)))
        shown = tuple(product for product in ordered if not product.withdrawn)
        items = [item for product in ordered for item in product.items]
        return cls(
            lists=_lists(shown, newest(floor, *(p.version for p in products)), before, renew),
            by_id={product.id: product for product in ordered},
            shown_ids={product.sku: product.id for product in shown},
            page_of={product.id: at // PER_PAGE for at, product in enumerate(shown)},
            holders={item.id: item.product_id for item in items},
            item_ids={item.sku: item.id for item in items},
            floor=floor,
            last=last,
        )

    def with_products(self, changed: Mapping[int, ProductView | None], last: int) -> Catalog:
        """Return the catalogue with some products in the place of those with their ids.

        It costs work for these alone, unless the list changes.

        Args:
            changed: products by their ids; None: there is none any more.
        """
        if all(self.by_id.get(i) is product for i, product in changed.items()):
            return self
        by_id = self.by_id | {i: product for i, product in changed.items() if product is not None}
        if any(self._is_another(i, product) for i, product in changed.items()):
            left = [p for i, p in by_id.items() if i not in changed or changed[i] is not None]
            return Catalog.of(left, self.floor, last, self)
        products = [product for product in changed.values() if product is not None]
        shown = {product.id: product for product in products if not product.withdrawn}
        lists = list(self.lists)
        for at in {self.page_of[product_id] for product_id in shown}:
            lists[at] = lists[at].with_products(shown)
        return replace(
            self,
            by_id=by_id,
            lists=tuple(lists),
            last=last,
            changed=frozenset(changed),
            contents=Bounded(_MOST_LINES),
        )

    def _is_another(self, product_id: int, product: ProductView | None) -> bool:
        """Tell whether a product differs by more than its stock and its state."""
        known = self.by_id.get(product_id)
        if known is None or product is None:
            return known is not product
        return _shape(known) != _shape(product)

    def differs(self, before: Catalog) -> Set[int]:
        """Return the ids of the products that may be others than in the catalogue before."""
        return self.by_id.keys() | before.by_id.keys() if self.changed is None else self.changed

    @property
    def items(self) -> Mapping[int, ItemView]:
        """All items by their ids."""
        return _Items(self.holders, self.by_id)

    def find(self, sku: str) -> ProductView | None:
        """Return the product with this sku, if it is shown."""
        product_id = self.shown_ids.get(sku)
        return None if product_id is None else self.by_id[product_id]

    @property
    def products(self) -> tuple[ProductView, ...]:
        """What is in the list, in its order."""
        return tuple(product for page in self.lists for product in page.products)

    def page(self, number: int) -> ProductList:
        """Return a page of the list, an empty one where there is none."""
        if 0 < number <= len(self.lists):
            return self.lists[number - 1]
        return ProductList(number, len(self.lists), (), self.lists[0].list_version)

    @cached_property
    def next_opening(self) -> int | None:
        """The next announced moment, in milliseconds since 1970; None: none is."""
        coming = (p.opens_at for p in self.by_id.values() if not p.released)
        return min((moment for moment in coming if moment is not None), default=None)

    def product_of(self, item: ItemView) -> ProductView:
        return self.by_id[item.product_id]


class _Items(Mapping[int, ItemView]):
    """The items of products: nothing is copied for it, however many there are."""

    __slots__ = ("_by_id", "_holders")

    def __init__(self, holders: dict[int, int], by_id: dict[int, ProductView]) -> None:
        self._holders = holders
        self._by_id = by_id

    def __getitem__(self, item_id: int) -> ItemView:
        return self._by_id[self._holders[item_id]].item(item_id)

    def __iter__(self) -> Iterator[int]:
        return iter(self._holders)

    def __len__(self) -> int:
        return len(self._holders)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._holders


def _shape(product: ProductView) -> tuple[object, ...]:
    items = [(item.id, item.sku) for item in product.items]
    return (product.head, product.position, product.withdrawn, items)


def _lists(
    products: tuple[ProductView, ...], version: int, before: Catalog, renew: bool
) -> tuple[ProductList, ...]:
    pages = max(1, -(-len(products) // PER_PAGE))
    lists = []
    for number in range(1, pages + 1):
        shown = products[(number - 1) * PER_PAGE : number * PER_PAGE]
        made = ProductList(number, pages, shown, version)
        old = before.page(number)
        if not old.shows_same(made):
            made = replace(made, list_version=succeed(old.version, version))
        elif not renew:
            made = replace(made, list_version=old.list_version)
        lists.append(made)
    return tuple(lists)
