"""Two at the same thing at once, in the worst order: with its guard it goes well, without it not.

Each race is told once, and returns what went wrong: nothing, with the guard. In the control the
guard is off, and what must go wrong then stands beside the race. SQLite has a second guard, one
writer at a time, which is off in the control as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pkgutil import resolve_name
from typing import NamedTuple

import pytest
from sqlalchemy import select, text, update

from shop.buyer import Buyer
from shop.carts import Carts
from shop.catalog.applying import apply
from shop.catalog.entries import ProductEntry, SizeEntry
from shop.checkout import buy
from shop.db import Transaction
from shop.models import Item, close, ledger, set_stock, stock
from shop.models.books import find_broken
from shop.models.cart import new_cart_id
from shop.models.ledger import IMPORT, Cause, Shift
from shop.models.order_edit import CANCELLING, GivingBack, give_back
from shop.purchase import NotForSale, Offer, Purchase, Terms, TooManyOfProduct
from tests.support.contest import Contest, Work, let_many_write, unlock
from tests.support.running import RunningShop

pytestmark = pytest.mark.both_databases

ITEM, PRODUCT = 1, 1
COUNTING = "shop.models.stock.advance"
TABS = 20

Guard = Callable[[pytest.MonkeyPatch], object]


class Race(NamedTuple):
    run: Callable[[Contest], set[str]]
    take_guard_off: Guard
    #: at least
    wrong_without: set[str]


# --- What operators and shoppers do ------------------------------------------------------------


def filled(contest: Contest) -> str:
    """Return the id of a cart that holds the item."""
    cart_id = new_cart_id()
    Carts(contest.database).add(cart_id, ITEM)
    return cart_id


def buying(contest: Contest, cart_id: str, street: str = "1 Street", most: int = 0) -> Work:
    ((price,),) = contest.database.rows(text("SELECT price FROM products WHERE id = 1"))
    buyer, offer = Buyer("kim@example.com", "Kim", street), Offer(0, {ITEM: price})
    return lambda tx: buy(tx, cart_id, buyer, offer, Terms("USD", most_each=most))


def bought(contest: Contest) -> str:
    """Buy the item; return the order's number."""
    done: Purchase = contest.database.transact(buying(contest, filled(contest)))
    return done.number


def cancelling(number: str) -> Work:
    return lambda tx: give_back(tx, number, GivingBack((), "twice", "anna"), CANCELLING)


def setting(count: int) -> Work:
    return lambda tx: set_stock(tx, ITEM, count)


def importing(*entries: ProductEntry) -> Work:
    return lambda tx: apply(tx, entries, {}, Cause(IMPORT))


# --- What goes wrong ---------------------------------------------------------------------------


def count_of(contest: Contest) -> int:
    ((count,),) = contest.database.rows(text("SELECT available FROM items WHERE id = 1"))
    return int(count)


def skus(contest: Contest) -> tuple[str, str]:
    """Return the sku of the product, and of its item."""
    question = "SELECT products.sku, items.sku FROM items, products"
    where = " WHERE items.id = 1 AND products.id = product_id"
    ((product, item),) = contest.database.rows(text(question + where))
    return product, item


def broken_books(contest: Contest) -> set[str]:
    with contest.database.reading() as session:
        return {"the books"} if list(find_broken(session)) else set()


def faults(*outcomes: object) -> set[str]:
    """Return the names of exceptions that no rule of the shop's raises."""
    refusals = (NotForSale, TooManyOfProduct)
    errors = [one for one in outcomes if isinstance(one, Exception)]
    return {type(error).__name__ for error in errors if not isinstance(error, refusals)}


def sales(*outcomes: object) -> int:
    return sum(isinstance(outcome, Purchase) for outcome in outcomes)


# --- The races ---------------------------------------------------------------------------------


def two_buy_the_last_pair(contest: Contest) -> set[str]:
    contest.database.transact(setting(1))
    buyers = [buying(contest, filled(contest)) for _ in range(2)]
    ended = contest.overtake(COUNTING, *buyers)
    twice = {"sold twice"} if sales(*ended) != 1 else set()
    return twice | faults(*ended) | broken_books(contest)


def one_cart_is_bought_from_two_tabs(contest: Contest) -> set[str]:
    left, buyer = count_of(contest), buying(contest, filled(contest))
    ended = contest.overtake("shop.checkout.place_order", buyer, buyer)
    numbers = {outcome.number for outcome in ended if isinstance(outcome, Purchase)}
    wrong = set() if len(numbers) == left - count_of(contest) == 1 else {"sold twice"}
    return wrong | faults(*ended) | broken_books(contest)


def somebody_buys_while_an_order_is_cancelled(contest: Contest) -> set[str]:
    number, left = bought(contest), count_of(contest)
    ended = contest.overtake(COUNTING, cancelling(number), buying(contest, filled(contest)))
    wrong = set() if count_of(contest) == left else {"the count"}
    return wrong | faults(*ended) | broken_books(contest)


def somebody_buys_while_the_count_is_set(contest: Contest) -> set[str]:
    ended = contest.overtake(COUNTING, setting(5), buying(contest, filled(contest)))
    return faults(*ended) | broken_books(contest)


def the_count_is_set_to_0_while_somebody_buys(contest: Contest) -> set[str]:
    ended = contest.overtake(COUNTING, buying(contest, filled(contest)), setting(0))
    return sold_too_late(contest, *ended)


def the_sale_is_closed_while_somebody_buys(contest: Contest) -> set[str]:
    buyer = buying(contest, filled(contest))
    return sold_too_late(contest, *contest.overtake(COUNTING, buyer, lambda tx: close(tx, PRODUCT)))


def an_import_hides_what_somebody_buys(contest: Contest) -> set[str]:
    hidden = ProductEntry(skus(contest)[0], hidden=True)
    ended = contest.overtake(COUNTING, buying(contest, filled(contest)), importing(hidden))
    return sold_too_late(contest, *ended)


def sold_too_late(contest: Contest, sale: object, change: object, overtook: bool) -> set[str]:
    late = {"sold too late"} if overtook and sales(sale) else set()
    return late | faults(sale, change) | broken_books(contest)


def somebody_buys_what_an_import_counts(contest: Contest) -> set[str]:
    product, item = skus(contest)
    counted = ProductEntry(product, sizes=[SizeEntry("6", item, 5)])
    ended = contest.overtake(COUNTING, importing(counted), buying(contest, filled(contest)))
    return faults(*ended) | broken_books(contest)


def the_same_file_is_imported_twice(contest: Contest) -> set[str]:
    shoe = ProductEntry("NEW", name="New", price=100, sizes=[SizeEntry("7", count=3)])
    ended = contest.overtake("shop.catalog.applying._add", importing(shoe), importing(shoe))
    return faults(*ended) | broken_books(contest)


def two_operators_cancel_the_same_order(contest: Contest) -> set[str]:
    # With one more sold, or the database's constraint would refuse it.
    number, _, left = bought(contest), bought(contest), count_of(contest)
    cancel = cancelling(number)
    ended = contest.overtake("shop.models.order_edit.end_lines", cancel, cancel)
    wrong = set() if count_of(contest) == left + 1 else {"the count"}
    return wrong | faults(*ended) | broken_books(contest)


def one_customer_buys_from_twenty_tabs(contest: Contest) -> set[str]:
    streets = [f"{number} Separate Street" for number in range(TABS)]
    buyers = [buying(contest, filled(contest), street, most=2) for street in streets]
    ended = contest.meet("shop.checkout.place_order", buyers)
    wrong = set() if sales(*ended) == 2 else {f"{sales(*ended)} sold"}
    return wrong | faults(*ended) | broken_books(contest)


# --- Without their guards ----------------------------------------------------------------------


def take_what_was_read(
    transaction: Transaction, item_ids: frozenset[int], cause: Cause
) -> set[int]:
    move_what_was_read(transaction, list(item_ids), Shift(left=-1, sold=1), cause)
    return set(item_ids)


def move_what_was_read(
    transaction: Transaction, item_ids: list[int], shift: Shift, cause: Cause
) -> None:
    """Read the counts and write them back, changed; whether they are on sale is not asked."""
    for item_id in item_ids:
        rows = transaction.execute(select(Item.available, Item.sold).where(Item.id == item_id))
        ((left, sold),) = rows
        resolve_name(COUNTING)(transaction)
        after = {"available": left + shift.left, "sold": sold + shift.sold}
        transaction.execute(update(Item).where(Item.id == item_id).values(after))
    ledger.record(transaction, item_ids, shift, cause)


def take_unasked(transaction: Transaction, item_ids: frozenset[int], cause: Cause) -> set[int]:
    """Take pairs whether or not they are on sale."""
    stock.move(transaction, item_ids, Shift(left=-1, sold=1), cause)
    return set(item_ids)


def replaced(name: str, by: object) -> Guard:
    return lambda monkeypatch: monkeypatch.setattr(name, by)


def unlocked(statement: str) -> Guard:
    return partial(unlock, statement=statement)


COUNTS_WRITTEN_BACK = replaced("shop.checkout.take", take_what_was_read)
NOT_ASKED = replaced("shop.checkout.take", take_unasked)

RACES = [
    Race(two_buy_the_last_pair, COUNTS_WRITTEN_BACK, {"sold twice", "the books"}),
    Race(
        one_cart_is_bought_from_two_tabs,
        unlocked("shop.models.cart_record._LOCK"),
        {"IntegrityError"},  # behind the guard stands a constraint
    ),
    Race(
        somebody_buys_while_an_order_is_cancelled,
        replaced("shop.models.order_edit.move", move_what_was_read),
        {"the count", "the books"},
    ),
    Race(somebody_buys_while_the_count_is_set, unlocked("shop.models.stock._LOCK"), {"the books"}),
    Race(
        the_count_is_set_to_0_while_somebody_buys,
        COUNTS_WRITTEN_BACK,
        {"sold too late", "the books"},
    ),
    Race(the_sale_is_closed_while_somebody_buys, NOT_ASKED, {"sold too late"}),
    Race(an_import_hides_what_somebody_buys, NOT_ASKED, {"sold too late"}),
    Race(somebody_buys_what_an_import_counts, unlocked("shop.models.stock._LOCK"), {"the books"}),
    Race(
        the_same_file_is_imported_twice,
        unlocked("shop.models.catalog_edit._ALONE"),
        {"IntegrityError"},
    ),
    Race(
        two_operators_cancel_the_same_order,
        unlocked("shop.models.order_state._LOCK"),
        {"the count", "the books"},
    ),
    Race(
        one_customer_buys_from_twenty_tabs,
        unlocked("shop.models.customer._LOCK"),
        {f"{TABS} sold"},
    ),
]

each_race = pytest.mark.parametrize("race", RACES, ids=[race.run.__name__ for race in RACES])


@pytest.fixture
def contest(closed_drop: RunningShop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Contest]:
    with closing(Contest(closed_drop.database_url, monkeypatch, timeout=0.25)) as contest:
        yield contest


@each_race
def test_nothing_goes_wrong_when(race: Race, contest: Contest) -> None:
    assert race.run(contest) == set()


@each_race
def test_without_its_guard_it_does_when(
    race: Race, contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    race.take_guard_off(monkeypatch)
    let_many_write(monkeypatch)
    contest.timeout = 20
    assert race.run(contest) >= race.wrong_without
