"""What an operator says of products: made so, and told of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.exc import IntegrityError

from shop.catalog.applying import apply
from shop.catalog.entries import CatalogError, ProductEntry
from shop.catalog.obtaining import Sources
from shop.catalog.planning import Change
from shop.command_services import command_services as services
from shop.commands import CannotBeDone, WrongCall
from shop.commands.login import login_name
from shop.commands.pictures import obtain_pictures
from shop.commands.screen import count
from shop.db import Transaction
from shop.models.ledger import IMPORT, Cause
from shop.models.picture import discard_pictures
from shop.money import format_money


class _OnlyTried(Exception):
    """Ends a transaction that was to show what it would change."""

    def __init__(self, changes: list[Change]) -> None:
        self.changes = changes


def apply_entries(
    products: Sequence[ProductEntry], sources: Sources, where: str = "", dry_run: bool = False
) -> tuple[list[Change], list[str]]:
    """Make the shop what was said; return what was changed, and what is to be noted.

    Args:
        where: what each line of an error about pictures begins with.
    """
    obtained = obtain_pictures(products, sources, where)
    try:
        changes = _transact(products, obtained.hashes, dry_run)
    finally:
        discard_pictures(services.database, obtained.new)
    left = [f"{count(sources.left, 'picture')} would be fetched"] * bool(sources.left)
    return changes, [*obtained.notes, *left]


def _transact(
    products: Sequence[ProductEntry], pictures: Mapping[str, str], dry_run: bool
) -> list[Change]:
    def work(transaction: Transaction) -> list[Change]:
        changes = apply(transaction, products, pictures, Cause(IMPORT, who=login_name()))
        if dry_run:
            raise _OnlyTried(changes)
        return changes

    try:
        return services.database.transact(work)
    except _OnlyTried as tried:
        return tried.changes
    except CatalogError as error:
        raise WrongCall(f"{error}; nothing was changed") from None
    except IntegrityError:
        raise CannotBeDone("another command changed products just now; try again") from None


def line_of(change: Change) -> str:
    """Say what becomes of a product."""
    if change.known is None:
        pieces = sum(size["available"] for size in change.new_sizes)
        sizes = count(len(change.new_sizes), "size")
        shown = f", {count(len(change.pictures[1]), 'picture')}" if change.pictures else ""
        return f"{change.entry.sku}: new, {sizes}, {count(pieces, 'piece')}{shown}"
    said = [f"{n} {_shown(n, a)} -> {_shown(n, b)}" for n, (a, b) in change.values.items()]
    said += [f"size {size}: {a} -> {b}" for size, a, b in change.counts.values()]
    said += [f"size {new['size']}: new, {new['available']}" for new in change.new_sizes]
    if change.pictures:
        before, after = map(len, change.pictures)
        said += [f"pictures: {before} -> {after}" if before != after else "pictures changed"]
    moved = sum(1 for values in change.items.values() if values)
    said += [f"{count(moved, 'size')} renamed or moved"] * bool(moved)
    return f"{change.known.values['sku']}: {'; '.join(said)}"


def _shown(name: str, value: Any) -> str:
    if name == "price":
        return format_money(value, services.settings.currency)
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"
