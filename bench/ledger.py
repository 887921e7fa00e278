"""What a shop's database holds after a drop, and whether that agrees with what shoppers saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

_COMMITTED: LiteralString = "extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8"

_HELD: LiteralString = "SELECT id, item_id FROM carts LEFT JOIN cart_items ON cart_id = id"


@dataclass(frozen=True)
class Database:
    """What the database holds."""

    #: pieces on the shelf, by sku
    stock: dict[str, int]
    #: order lines, by sku
    ordered: Counter[str]
    #: when each order was committed, by its e-mail address, on the wall clock in seconds
    orders: dict[str, float]
    #: when the last commit changed an item of which none is left, by id
    sold_out: dict[str, float]
    #: what each cart holds, by its fingerprint; the fingerprints are the orders' as well
    carts: dict[str, list[str]]


def read_database(url: str, ref_of: Callable[[str], str]) -> Database:
    """Read all of it as of one moment: servers may still be at work.

    Args:
        url: of the database, as libpq reads it. It must have tracked when commits began.
        ref_of: returns the public fingerprint of a cart id.
    """
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

        def rows(question: LiteralString) -> list[Any]:
            return connection.execute(question).fetchall()

        sold_out = rows(f"SELECT id, {_COMMITTED} FROM items WHERE available = 0")
        return Database(
            stock=dict(rows("SELECT sku, available FROM items")),
            ordered=Counter(dict(rows("SELECT sku, count(*) FROM order_lines GROUP BY sku"))),
            orders=dict(rows(f"SELECT email, {_COMMITTED} FROM orders")),
            sold_out={str(item): at for item, at in sold_out},
            carts=_carts(rows(_HELD), ref_of),
        )


@dataclass(frozen=True)
class Ledger:
    """What was sold, and what does not agree: nothing ever should."""

    sold: int
    ordered: int
    sold_out: int
    #: skus of which more went than there was, or another count than was ordered
    wrong_items: list[str]
    #: purchases that were answered as made, and aren't among the orders
    lost: list[str]
    #: orders of purchases that no answer came to before the shopper left
    unheard: int
    #: tabs whose cart, or sold-out sizes, are not as in the database
    wrong_carts: int
    wrong_stock: int

    @property
    def agrees(self) -> bool:
        wrong = self.wrong_items or self.lost or self.wrong_carts or self.wrong_stock
        return not wrong and self.sold == self.ordered


def balance(
    before: Mapping[str, int], after: Database, bought: Iterable[str], shown: Mapping[str, Any]
) -> Ledger:
    """Compare what was there before with what is there now, and with what shoppers saw.

    Args:
        before: pieces on the shelf, by sku.
        bought: e-mail addresses of the purchases that were answered as made.
        shown: what tabs show, see `Shoppers.look`.
    """
    sold = {sku: before[sku] - after.stock[sku] for sku in before}
    wrong = [s for s in before if after.stock[s] < 0 or sold[s] != after.ordered[s]]
    answered = set(bought)
    gone = sorted(after.sold_out)
    return Ledger(
        sold=sum(sold.values()),
        ordered=after.ordered.total(),
        sold_out=len(gone),
        wrong_items=wrong,
        lost=sorted(answered - after.orders.keys()),
        unheard=len(after.orders.keys() - answered),
        wrong_carts=sum(after.carts.get(ref, []) != items for ref, items in shown["carts"].items()),
        wrong_stock=sum(sold_out != gone for sold_out in shown["sold_out"]),
    )


def _carts(
    held: Iterable[tuple[str, int | None]], ref_of: Callable[[str], str]
) -> dict[str, list[str]]:
    carts: dict[str, list[str]] = {}
    for cart_id, item in held:
        items = carts.setdefault(ref_of(cart_id), [])
        if item is not None:
            items.append(str(item))
    return {ref: sorted(items) for ref, items in carts.items()}
