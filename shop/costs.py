"""What an order costs besides its lines: shipping, by where it goes, and tax.

All amounts are in minor units of the shop's currency, and exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

#: Whether prices hold the tax already, or it comes on top of them.
INCLUDED, ADDED = "included", "added"

#: What a tax's rate is counted in: thousandths of a percent, as New York's is 8.875 %.
_WHOLE = 100_000


def percent(rate: int) -> str:
    """Write a rate in thousandths of a percent as it is read: `19` or `8.875`."""
    whole, rest = divmod(rate, 1000)
    return f"{whole}.{rest:03}".rstrip("0") if rest else str(whole)


class NotDelivered(Exception):
    """The shop doesn't deliver to a country."""


@dataclass(frozen=True, slots=True)
class Tax:
    """A tax, the same on everything."""

    #: `INCLUDED` or `ADDED`
    kind: str
    #: in thousandths of a percent
    rate: int

    def of(self, amount: int) -> int:
        """Return the tax in an amount, or on it.

        It is worked out for each line by itself, and for the shipping, and rounded to the minor
        unit, half of one upwards: the Streamlined Sales and Use Tax Agreement, section 324, asks
        for that; in the EU it is the states' to say (Court of Justice, C-484/06), and the usual
        rule of tradesmen is among theirs (HMRC, VAT Notice 700, 17.5).
        """
        whole = _WHOLE + self.rate if self.kind == INCLUDED else _WHOLE
        return (2 * amount * self.rate + whole) // (2 * whole)

    @property
    def percent(self) -> str:
        """The rate as it is read."""
        return percent(self.rate)


@dataclass(frozen=True, slots=True)
class Group:
    """Countries to which shipping costs the same."""

    name: str
    #: codes of ISO 3166; none: all that are in no other group
    countries: frozenset[str]
    price: int
    #: from which price of the lines on it is free; None: never
    free_from: int | None = None

    def shipping(self, goods: int) -> int:
        """Return what shipping costs if the lines cost so much."""
        return 0 if self.free_from is not None and goods >= self.free_from else self.price


@dataclass(frozen=True, slots=True)
class Costs:
    """What an order costs."""

    #: what its lines cost
    goods: int
    shipping: int = 0
    #: all of it; included in prices, or on top of them
    tax: int = 0
    #: of that: the tax of the shipping, and of each line
    shipping_tax: int = 0
    line_taxes: tuple[int, ...] = ()
    #: see `Tax`; "": nothing is said of a tax
    tax_kind: str = ""
    tax_rate: int = 0

    @property
    def total(self) -> int:
        return self.goods + self.shipping + (self.tax if self.tax_kind == ADDED else 0)


@dataclass(frozen=True, slots=True)
class CostTable:
    """What a shop asks for shipping and as tax."""

    #: none: it ships everywhere, for nothing
    groups: tuple[Group, ...] = ()
    tax: Tax | None = None
    #: the country that is chosen until the shopper chooses another; "": none
    home: str = ""

    @property
    def key(self) -> str:
        """Differs when anything of it does; "": nothing is asked for."""
        return _key(self)

    def group_of(self, country: str) -> Group | None:
        """Return the group of a country; None: shipping costs nothing.

        Args:
            country: in ISO 3166; "": nobody said.

        Raises:
            NotDelivered: it is in none.
        """
        if not self.groups:
            return None
        if not country:
            raise NotDelivered(country)
        for group in self.groups:
            if country in group.countries:
                return group
        for group in self.groups:
            if not group.countries:
                return group
        raise NotDelivered(country)

    def costs(self, prices: Sequence[int], country: str) -> Costs:
        """Return what an order costs.

        Args:
            prices: of its lines.
            country: where it goes, in ISO 3166.

        Raises:
            NotDelivered: the shop doesn't deliver there.
        """
        return self.costs_in(self.group_of(country), prices)

    def delivers_to(self, country: str) -> bool:
        """Tell whether the shop delivers to a country."""
        try:
            self.group_of(country)
        except NotDelivered:
            return False
        return True

    def costs_in(self, group: Group | None, prices: Sequence[int]) -> Costs:
        """Return what an order into a group of countries costs."""
        goods = sum(prices)
        shipping = group.shipping(goods) if group is not None else 0
        tax = self.tax
        if tax is None:
            return Costs(goods, shipping, line_taxes=(0,) * len(prices))
        line_taxes, on_shipping = tuple(map(tax.of, prices)), tax.of(shipping)
        total = sum(line_taxes) + on_shipping
        return Costs(goods, shipping, total, on_shipping, line_taxes, tax.kind, tax.rate)


@cache  # a shop has one table, and each purchase asks for its key
def _key(table: CostTable) -> str:
    if not table.groups and table.tax is None:
        return ""
    groups = [(g.name, sorted(g.countries), g.price, g.free_from) for g in table.groups]
    return blake2b(repr((groups, table.tax)).encode(), digest_size=8).hexdigest()


#: A shop that asks for nothing.
NO_COSTS = CostTable()
