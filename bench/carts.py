"""Thousands of visitors with a cart each, made at once: a benchmark is about what comes after.

Written into the shop's database by its own models and signed by its own keys, in one transaction.
To the shop they are visitors who filled their carts before its tabs were opened.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from itertools import combinations, cycle, islice
from pathlib import Path

from itsdangerous import URLSafeSerializer
from sqlalchemy import insert
from sqlalchemy.orm import Session

from bench.shops import Shop
from shop.models import CartItem, CartRecord
from shop.models.cart import cart_ref, new_cart_id
from shop.parts import parts
from shop.web.cookies import CartCookie, Jar

#: SQLite takes 32,766 values in one statement.
_AT_ONCE = 10_000


def pairs(item_ids: Sequence[int], count: int, holding: int | None = None) -> list[tuple[int, int]]:
    """Return what `count` two-line carts hold, as different as the items allow.

    Args:
        holding: an item that each of them holds.
    """
    if holding is None:
        different = list(combinations(item_ids, 2))
    else:
        different = [(holding, other) for other in item_ids if other != holding]
    return list(islice(cycle(different), count))


def make_carts(shop: Shop, contents: Sequence[Iterable[int]]) -> list[str]:
    """Make a cart for each of the contents, which are item ids.

    Returns:
        What each cart's visitor sends in the header `Cookie`, in the order of the contents.
    """
    skus = {item["id"]: item["sku"] for item in shop.items()}
    carts = [(new_cart_id(), sorted(item_ids)) for item_ids in contents]
    now = time.time_ns() // 1_000_000
    rows = [{"id": cart_id, "version": now, "purchases": 0} for cart_id, _ in carts]
    lines = [{"cart_id": i, "item_id": item_id} for i, item_ids in carts for item_id in item_ids]

    def work(session: Session) -> None:
        _insert(session, CartRecord, rows)
        _insert(session, CartItem, lines)

    with shop.app.app_context():
        parts.database.write(work, durable=False)
        return [_cookies(cart_id, now, map(skus.__getitem__, ids)) for cart_id, ids in carts]


def write_carts(file: Path, cookies: Iterable[str], contents: Iterable[Sequence[int]]) -> None:
    """Write down carts for the tabs that will show them, in another process.

    Args:
        cookies: as `make_carts` returns them.
        contents: what the carts hold.
    """
    carts = [
        {"cookie": cookie, "ref": _ref_in(cookie), "items": items}
        for cookie, items in zip(cookies, contents, strict=True)
    ]
    file.write_text(json.dumps(carts))


def _insert(session: Session, table: type, rows: list[dict[str, object]]) -> None:
    for start in range(0, len(rows), _AT_ONCE):
        session.execute(insert(table), rows[start : start + _AT_ONCE])


def _cookies(cart_id: str, born: int, skus: Iterable[str]) -> str:
    settings = parts.settings
    jar = Jar({}, settings.secret_keys, https=settings.https)
    cookie = CartCookie(cart_id, cart_ref(cart_id), born)
    both = (jar.cart_cookie(cookie), jar.copy_cookie(cart_id, skus))
    return "; ".join(f"{name}={value}" for name, value in both)


def _ref_in(cookie: str) -> str:
    """Return the fingerprint of the cart that a cookie carries, read without its key."""
    signed = cookie.partition(";")[0].partition("=")[2]
    _, (cart_id, *_) = URLSafeSerializer("").loads_unsafe(signed)
    return cart_ref(cart_id)
