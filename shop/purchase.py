"""What a purchase is made of: what is bought, on what terms, what comes of it, and refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shop.costs import NO_COSTS, Costs, CostTable
from shop.models import CartSnapshot


@dataclass(frozen=True, slots=True)
class LineItem:
    """An item that is to be bought, as it is at this moment."""

    id: int
    sku: str
    size: str
    available: int
    brand: str
    name: str
    color: str
    #: in minor units of the shop's currency
    price: int
    main_image: str
    released: bool
    withdrawn: bool

    def as_line(self) -> dict[str, object]:
        """Return what an order's line keeps of it."""
        return {
            "item_id": self.id,
            "sku": self.sku,
            "brand": self.brand,
            "product": self.name,
            "color": self.color,
            "size": self.size,
            "price": self.price,
            "main_image": self.main_image,
        }


class NotBought(Exception):
    """Nothing was bought; `reason` says in a word why, for those who count that."""

    reason: str


class NothingToBuy(NotBought):
    """The cart is empty."""

    reason = "empty"


@dataclass(eq=False)
class TooManyPairs(NotBought):
    """The cart holds more than one order may."""

    reason = "too_many_pairs"

    held: int
    most: int


@dataclass(eq=False)
class TooManyOfProduct(NotBought):
    """The customer would have more pairs of a product than one may."""

    reason = "too_many_of_product"

    #: the product's
    name: str
    #: how many of it the customer has already, unpaid ones counted
    has: int
    most: int


class NotForSale(NotBought):
    """Items in the cart can't be bought now."""

    def __init__(
        self, sold_out: list[LineItem], not_released: list[LineItem], withdrawn: list[LineItem]
    ) -> None:
        super().__init__(sold_out, not_released, withdrawn)
        self.sold_out = sold_out
        self.not_released = not_released
        self.withdrawn = withdrawn
        others = "sold_out" if sold_out else "not_released"
        self.reason = "withdrawn" if withdrawn else others


class ItemsChanged(NotBought):
    """The cart is not the one that the shopper saw."""

    reason = "cart_changed"


@dataclass(eq=False)
class PriceChanged(NotBought):
    """Prices are not those that the shopper saw."""

    reason = "price_changed"

    items: list[LineItem]


@dataclass(eq=False)
class CostsChanged(NotBought):
    """Shipping or tax are not what the shopper saw."""

    reason = "costs_changed"

    #: as they are now
    costs: Costs


@dataclass(eq=False)
class BoughtBefore(NotBought):
    """This purchase was made before, by a buyer with other details."""

    reason = "bought_before"

    #: the order's; for nobody but those who have it already
    number: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What the shopper saw when they pressed the button."""

    #: which purchase of the cart this is to be, counted from 0
    purchase: int
    #: prices in minor units by item id
    prices: Mapping[int, int]
    #: the `key` of the table by which shipping and tax were shown; "": none were
    costs: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a shop sells."""

    currency: str
    #: the most pairs in one order; 0: as many as there are
    most: int = 0
    #: the most of one product for one customer; 0: no limit
    most_each: int = 0
    #: through whom orders are paid; None: outside, so that they are placed at once
    provider: str | None = None
    #: whether real money moves
    live: bool = False
    #: what is asked for shipping and as tax
    costs: CostTable = NO_COSTS


@dataclass(frozen=True, slots=True)
class Purchase:
    """What came of buying."""

    #: the order's
    number: str
    #: names the page of the order to its buyer
    token: str | None
    #: of the order; see `shop.models.order_state`
    state: str
    #: how many pieces were sold; none if the same offer had been taken before
    pieces: int
    #: as it is now
    cart: CartSnapshot
