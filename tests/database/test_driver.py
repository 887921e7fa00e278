"""SQLite's own driver answers as SQLAlchemy does, and leaves nothing behind."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import Executable, bindparam, insert, literal, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from shop.db import Database, DatabaseBusy, Transaction, open_database
from shop.db.sqlite import SQLite
from shop.models import CartRecord, Item, Product
from tests.support.running import RunningShop

#: Statements and their values, for each way in which one can be asked.
QUESTIONS: list[tuple[Executable, dict[str, Any]]] = [
    (select(Product.id, Product.released, Product.name).order_by(Product.id), {}),
    (
        select(Product.released.label("open"), Product.id).where(Product.id == bindparam("id")),
        {"id": 1},
    ),
    (select(Item.id, Product.id, Item.version).join(Item.product).order_by(Item.id), {}),
    (select(Item.id, literal("it's 100%")).where(Item.size == "9.5").order_by(Item.id), {}),
    (select(Item.id).where(Item.sku == bindparam("sku")), {"sku": "none"}),
    (select(Item.id).where(Item.size.in_(("9", "9.5"))).order_by(Item.id), {}),
    (text("SELECT count(*) AS items FROM items WHERE available >= :least"), {"least": 300}),
]

MANY = select(Item.id, Item.sku).where(Item.id.in_(bindparam("ids", expanding=True)))


@pytest.fixture
def database(closed_drop: RunningShop) -> Iterator[Database]:
    database = open_database(closed_drop.database_url)
    yield database
    database.close()


def by_sqlalchemy(database: Database, question: Executable, values: dict[str, Any]) -> list[Any]:
    with database.engine.connect() as connection:
        return list(connection.execute(question, values).all())


def columns(row: Any) -> Sequence[str]:
    return tuple(row._fields)


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_rows_are_those_that_sqlalchemy_gives(database: Database, number: int) -> None:
    question, values = QUESTIONS[number]
    expected = by_sqlalchemy(database, question, values)
    for _ in range(2):  # compiled, and as it was kept
        rows = database.rows(question, values)
        assert list(map(tuple, rows)) == list(map(tuple, expected))
        assert list(map(repr, map(tuple, rows))) == list(map(repr, map(tuple, expected)))


def test_columns_have_their_names(database: Database) -> None:
    (row,) = database.rows(*QUESTIONS[1])
    assert (row.open, row.id) == (True, 1)
    assert row.open is True


def test_a_list_of_any_length_is_a_list(database: Database) -> None:
    everything = {item.id: item.sku for item in by_sqlalchemy(database, select(Item), {})}
    for length in (0, 1, 2, 3, 4, 5, 9, 26, 500):
        wanted = [1 + n % 40 for n in range(length)]
        found = {row.id: row.sku for row in database.rows(MANY, {"ids": wanted})}
        assert found == {i: sku for i, sku in everything.items() if i in wanted}


def test_what_fails_changes_nothing_and_is_told_in_sqlalchemys_words(database: Database) -> None:
    less = update(Item).where(Item.id == bindparam("item")).values(available=bindparam("left"))

    def work(transaction: Transaction) -> None:
        transaction.execute(less, {"item": 1, "left": 7})
        transaction.execute(less, {"item": 2, "left": -1})

    before = database.rows(select(Item.available).order_by(Item.id))
    for _ in range(3):
        with pytest.raises(IntegrityError) as refused:
            database.transact(work)
        assert isinstance(refused.value.orig, sqlite3.IntegrityError)
    assert database.rows(select(Item.available).order_by(Item.id)) == before


def test_an_error_of_the_works_own_rolls_back_and_frees_the_lock(database: Database) -> None:
    def stumble(transaction: Transaction) -> None:
        transaction.execute(update(Item).values(available=0))
        raise LookupError

    for _ in range(3):
        with pytest.raises(LookupError):
            database.transact(stumble)
        database.transact(lambda tx: tx.execute(update(Item).values(size="9")))
    assert database.rows(text("SELECT count(*) FROM items WHERE available = 0"))[0][0] < 26


def test_names_are_announced_after_the_commit_and_only_then(database: Database) -> None:
    announced: list[frozenset[str]] = []
    database.on_commit = announced.append

    def work(transaction: Transaction) -> int:
        transaction.note("one")
        transaction.note("two")
        assert announced == []
        return 7

    assert database.transact(work) == 7
    assert announced == [frozenset({"one", "two"})]


def test_a_row_that_is_made_answers_what_was_asked_of_it(database: Database) -> None:
    made = insert(CartRecord).returning(CartRecord.id, CartRecord.version)
    values = {"id": "a", "version": 5, "purchases": 0, "merged_into": None}
    assert database.transact(lambda tx: list(map(tuple, tx.execute(made, values)))) == [("a", 5)]
    with pytest.raises(IntegrityError):
        database.transact(lambda tx: tx.execute(made, values))


def test_who_reads_sees_what_is_committed_and_nothing_else(database: Database) -> None:
    sizes = select(Item.size).distinct()
    before = set(database.rows(sizes))

    def work(transaction: Transaction) -> None:
        transaction.execute(update(Item).values(size="13"))
        assert set(database.rows(sizes)) == before

    database.transact(work)
    assert [row.size for row in database.rows(sizes)] == ["13"]


def test_a_lock_that_others_hold_is_waited_for_no_longer_than_one_likes(
    closed_drop: RunningShop, database: Database
) -> None:
    with closed_drop.writers_held_up(), pytest.raises(DatabaseBusy):
        database.transact(lambda tx: tx.execute(update(Item).values(size="9")), timeout=0.1)
    database.transact(lambda tx: tx.execute(update(Item).values(size="9")))


def test_a_file_that_takes_the_place_of_another_is_the_one_that_is_read_and_written(
    closed_drop: RunningShop, database: Database
) -> None:
    copy = closed_drop.database.with_name("copy")
    shutil.copy(closed_drop.database, copy)
    database.transact(lambda tx: tx.execute(update(Item).values(size="the old one's")))
    closed_drop.database.unlink()
    with pytest.raises(OperationalError):
        database.transact(lambda tx: tx.execute(update(Item).values(size="nobody's")))
    for leftover in ("-wal", "-shm"):
        closed_drop.database.with_name(closed_drop.database.name + leftover).unlink(missing_ok=True)
    copy.rename(closed_drop.database)
    database.check_in_place()
    assert "the old one's" not in {row.size for row in database.rows(select(Item.size))}
    database.transact(lambda tx: tx.execute(update(Item).values(size="the new one's")))
    assert closed_drop.sql("SELECT DISTINCT size FROM items") == [("the new one's",)]


def test_a_connection_that_was_in_use_when_the_file_was_replaced_is_not_used_again(
    closed_drop: RunningShop, database: Database
) -> None:
    copy = closed_drop.database.with_name("copy")
    shutil.copy(closed_drop.database, copy)

    def work(transaction: Transaction) -> None:
        transaction.execute(update(Item).values(size="lost with its file"))
        for leftover in closed_drop.database.parent.glob("*-[ws][ah][lm]"):
            leftover.unlink()
        copy.replace(closed_drop.database)
        database.check_in_place()

    database.rows(select(Item.size))
    database.transact(work)
    database.transact(lambda tx: tx.execute(update(Item).values(size="kept")))
    assert closed_drop.sql("SELECT DISTINCT size FROM items") == [("kept",)]


def test_threads_have_a_connection_each_and_all_of_them_are_closed_in_the_end(
    closed_drop: RunningShop,
) -> None:
    database = open_database(closed_drop.database_url)
    together = threading.Barrier(8, timeout=30)
    more = update(Item).where(Item.id == 1).values(available=Item.available + 1)

    def work(_: int) -> None:
        together.wait()
        for _ in range(20):
            database.transact(lambda tx: tx.execute(more))
            database.rows(select(Item.available))

    ((before,),) = database.rows(select(Item.available).where(Item.id == 1))
    with ThreadPoolExecutor(8) as crowd:
        list(crowd.map(work, range(8)))
    ((after,),) = database.rows(select(Item.available).where(Item.id == 1))
    assert after == before + 160
    database.close()
    assert not database.in_use()
    assert not list(closed_drop.database.parent.glob("*-wal"))


def test_who_reads_by_the_pool_finds_a_connection_after_a_crowd_of_others(
    database: Database,
) -> None:
    assert isinstance(database, SQLite)
    with ExitStack() as crowd:
        for _ in range(50):  # as many as the pool ever gives
            crowd.enter_context(database._readers.pooled())
    assert isinstance(database.engine.pool, QueuePool)
    assert database.engine.pool.checkedout() < 10
    with database.reading() as session:
        assert session.scalar(select(Item.id).where(Item.id == 1)) == 1
