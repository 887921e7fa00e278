"""The whole shop moved into another database: all of it or nothing, compared, and sold from."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import Result
from sqlalchemy import inspect, make_url

from shop import create_app
from shop.commands.database_copy import tables
from shop.db import open_database
from shop.migrations import migrate
from shop.setting_values import read_database_url
from tests.support.databases import SECRET_KEY, Clusters, Databases, shop_in
from tests.support.running import ROOT, RunningShop, eventually
from tests.support.shopper import Shopper, Tab, ref_in, text_of, version_in

pytestmark = pytest.mark.drill

#: Not rows of the shop: which release it is of, how SQLite notices changes, and what only tells of
#: the moment.
APART = {
    *("alembic_version", "catalog_changes", "catalog_stamp", "version_numbers"),
    *("servers", "payment_pace"),
}

Copy = Callable[..., Result]
EmptyDatabase = Callable[[], str]


def sqlite_url(file: Path) -> str:
    return f"sqlite:///{file}"


def sql(url: str, statement: str) -> list[Any]:
    """Have a statement done by somebody else than the shop."""
    found = make_url(url)
    if found.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(found.database), isolation_level=None)) as file:
            return file.execute(statement).fetchall()
    with psycopg.connect(url, autocommit=True) as connection:
        done = connection.execute(statement)
        return done.fetchall() if done.description else []


def rows_of(url: str) -> dict[str, list[Any]]:
    """Return all rows of all tables that there are; what is true is 1, as in SQLite."""
    with closing(open_database(make_url(url).set(drivername=driver(url)))) as database:
        names = set(inspect(database.engine).get_table_names()) - APART
    return {name: sorted(sql(url, f"SELECT * FROM {name}"), key=str) for name in sorted(names)}


def driver(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "postgresql+psycopg"


def is_empty(url: str) -> bool:
    return not any(rows_of(url).values())


@pytest.fixture
def operator(tmp_path: Path) -> RunningShop:
    """An operator whose own shop has nothing to do with what they copy."""
    return RunningShop(tmp_path / "operator")


@pytest.fixture
def copy(operator: RunningShop) -> Copy:
    """Give a function that copies, sparing the start of a process."""
    runner = create_app(operator.environ).test_cli_runner()
    return lambda source, target, *more: runner.invoke(
        args=["db", "copy", "--from", source, "--to", target, *more]
    )


@pytest.fixture
def bought(released: Path, tmp_path: Path) -> str:
    """The file of a shop with orders and carts, one of them merged into another."""
    file = tmp_path / "bought.sqlite3"
    shutil.copy(released / "shop.sqlite3", file)
    with closing(sqlite3.connect(file)) as database:
        database.executescript(_BOUGHT)
    return sqlite_url(file)


_BOUGHT = """
    INSERT INTO carts (id, version, purchases, merged_into)
      VALUES ('kim', 1900000000007, 1, NULL), ('stray', 3, 0, 'kim');
    INSERT INTO cart_items (cart_id, item_id) VALUES ('kim', 4), ('kim', 17);
    INSERT INTO pictures VALUES ('0f', 4, 3, '4', x'00ff0a');
    INSERT INTO renditions VALUES ('0f', '4.webp', x'00ff'), ('0f', '4.avif', x'ff00');
    INSERT INTO product_pictures VALUES (1, 1, '0f', 'A shoe', 'https://x.example/1.jpg');
    INSERT INTO orders (id, number, cart_ref, purchase, email, name, address, placed, total,
        currency) VALUES
        (7, 'K7QX-4MNP', 'f0', 0, 'k@example.com', 'Løv 👟', '', 1900000000, 5000000000, 'USD');
    INSERT INTO order_lines (id, order_id, item_id, sku, brand, product, color, size, price,
        main_image) VALUES
        (9, 7, 4, 'S-1', 'Ostervane', 'Kiln', 'Clay', '7.5', 5000000000, 'a.svg'),
        (12, 7, 5, 'S-2', 'Ostervane', 'Kiln', 'Clay', '8', 0, 'a.svg');
    INSERT INTO order_changes (order_id, at, who, after, why) VALUES (7, 0, 'shop', 'placed', '');
    INSERT INTO mails (kind, priority, order_id, queued, due, held_until, attempts, state, error)
      VALUES ('receipt', 0, 7, 0, 0, 0, 0, 'waiting', '');
    INSERT INTO customer_keys (key, order_id) VALUES ('k', 7);
    INSERT INTO payments (order_id, cart_id, provider, live, state, session_id, reference, due)
      VALUES (7, 'kim', 'demo', 0, 'paid', 'demo_1', 'pay_1', 0);
    INSERT INTO refunds VALUES ('refund-K7QX-4MNP-9', 7, 9, 5000000000, 'done', 're_1', 'root', 0);
    INSERT INTO payment_messages (id, at) VALUES ('evt_1', 0);
    INSERT INTO demo_payments (session_id, outcome, at) VALUES ('demo_1', 'paid', 0);
    INSERT INTO demo_refunds (key, session_id, amount, at) VALUES ('k', 'demo_1', 5000000000, 0);
    INSERT INTO stock_alerts (item_id, email, mailbox, token, asked_at, mailed_at)
      VALUES (4, 'K@example.com', 'k@example.com', 't', 0, NULL);
"""


@pytest.fixture
def empty_postgresql(on_postgresql: Clusters, tmp_path: Path) -> Iterator[EmptyDatabase]:
    """Give a function that makes a database without anything in it."""
    made = []

    def make() -> str:
        made.append(on_postgresql.furnished(tmp_path, "new"))
        return made[-1]["SHOP_DATABASE_URL"]

    yield make
    for settings in made:
        on_postgresql.put_away(settings)


@pytest.fixture
def tabled_postgresql(empty_postgresql: EmptyDatabase, tmp_path: Path) -> str:
    """A database of PostgreSQL with the shop's tables, and nothing in them."""
    url = empty_postgresql()
    with closing(open_database(read_database_url("--to", url))) as database:
        migrate(database, tmp_path)
    return url


# --- A shop that moves ----------------------------------------------------------------------


def test_a_shop_that_moves_to_postgresql_has_the_same_carts_orders_and_stock(
    on_sqlite: Databases, tmp_path: Path, released: Path, empty_postgresql: EmptyDatabase
) -> None:
    before = RunningShop(shutil.copytree(released, tmp_path / "instance")).start()
    try:
        kim, lee = Shopper(before), Shopper(before)
        kim.add(3)
        assert kim.buy().status == 303
        kim.add(17)
        lee.add(5)
        page = kim.get("/").text  # has the notices of all that
        receipt = text_of(kim.get("/checkout/complete").text)
        stock = before.stock()
        before.stop()
        target = empty_postgresql()
        said = before.flask("db", "copy", "--from", sqlite_url(before.database), "--to", target)
        after = _on(target, before, key_named_in(said.stdout))
        with serving(after):
            assert (after.stock(), after.orders()) == (stock, before.orders())
            assert_lives_on(after, kim, lee, page, receipt)
    finally:
        before.end()


def key_named_in(said: str) -> str:
    found = re.search(r"what is in (\S+)", said)
    assert found, said
    return Path(found[1]).read_text()


def _on(url: str, before: RunningShop, key: str) -> RunningShop:
    """Return a shop on another machine, as it were, in the place of one that was closed."""
    elsewhere = before.instance.with_name("elsewhere")
    after = RunningShop(elsewhere, SHOP_DATABASE_URL=url, SHOP_SECRET_KEY=key)
    after.port = before.port
    after.environ["SHOP_PORT"] = str(before.port)
    return after


@contextmanager
def serving(shop: RunningShop) -> Iterator[None]:
    try:
        shop.start()
        yield
    finally:
        shop.end()


def assert_lives_on(shop: RunningShop, kim: Shopper, lee: Shopper, page: str, receipt: str) -> None:
    """See that visitors of before find what they left, in pages and in open tabs, and buy it."""
    assert text_of(kim.get("/checkout/complete").text) == receipt
    assert kim.cart() == [17] and lee.cart() == [5]
    with Tab(shop, kim, [1, 2]) as tab:  # an open page comes back by itself, to the same address
        tab.until(lambda tab: "cart" in tab.shown)
        assert ref_in(tab.shown["cart"]) == ref_in(page)
        assert version_in(tab.shown["cart"]) >= version_in(page), "else it would be dropped as old"
        assert kim.add(6, hx=True).status == 200  # with the token of a form from before
        tab.until(lambda tab: tab.cart == [6, 17])
        shop.flask("stock", "set", shop.sku(6), "0")
        tab.until(lambda tab: tab.level(1, 6) == "out")
    kim.remove(6)
    assert kim.buy().status == 303
    assert [len(order["lines"]) for order in shop.orders()] == [1, 1]


def test_a_shop_comes_back_from_postgresql(
    on_postgresql: Clusters, tmp_path: Path, copy: Copy
) -> None:
    with shop_in(on_postgresql, tmp_path / "there", "released") as before:
        kim = Shopper(before.start())
        kim.add(3)
        assert kim.buy().status == 303
        kim.add(17)
        before.stop()
        back, orders = sqlite_url(tmp_path / "back.sqlite3"), before.orders()
        assert copy(address(before), back).exit_code == 0
        after = _on(back, before, SECRET_KEY)
        with serving(after):
            assert kim.cart() == [17]
            assert kim.buy().status == 303
            assert after.orders()[:1] == orders


def test_all_rows_are_the_same_from_either_kind_to_either_kind(
    bought: str, copy: Copy, empty_postgresql: EmptyDatabase, tmp_path: Path
) -> None:
    rows = rows_of(bought)
    assert all(rows.values()), "a table without rows would prove nothing"
    way = [bought, empty_postgresql(), empty_postgresql(), sqlite_url(tmp_path / "1.sqlite3")]
    way.append(sqlite_url(tmp_path / "2.sqlite3"))
    for source, target in itertools.pairwise(way):
        done = copy(source, target)
        assert done.exit_code == 0, done.output
        assert rows_of(target) == rows
        assert re.search(r"^order_lines +2 +same$", done.output, re.M)
    assert {table.name for table in tables()} == set(rows), "a table is known but to one of them"


def test_new_rows_are_numbered_behind_the_copied_ones(
    bought: str, copy: Copy, empty_postgresql: EmptyDatabase
) -> None:
    sql(bought, "DELETE FROM stock_alerts")
    target = empty_postgresql()
    done = copy(bought, target)
    assert done.exit_code == 0, done.output
    columns = "brand, name, color, price, main_image, position, released, version"
    new = f"SELECT 'NEW', {columns} FROM products WHERE id = 1"
    sql(target, f"INSERT INTO products (sku, {columns}) {new}")
    assert sql(target, "SELECT id FROM products WHERE sku = 'NEW'") == [(3,)]
    numbers = "SELECT nextval('orders_id_seq'), nextval('stock_alerts_id_seq')"
    assert sql(target, numbers) == [(8, 1)]


def test_a_copy_in_a_file_notices_changes_of_its_catalogue(
    bought: str, copy: Copy, tmp_path: Path
) -> None:
    target = sqlite_url(tmp_path / "copy.sqlite3")
    assert copy(bought, target).exit_code == 0
    assert (tmp_path / "copy.sqlite3").stat().st_mode & 0o777 == 0o600
    (before,) = sql(target, "SELECT changes FROM catalog_stamp")
    sql(target, "UPDATE items SET available = 3 WHERE id = 1")
    (after,) = sql(target, "SELECT changes FROM catalog_stamp")
    assert after > before


# --- The source -----------------------------------------------------------------------------


def test_the_source_is_left_as_it_is(bought: str, copy: Copy, tmp_path: Path) -> None:
    file = Path(str(make_url(bought).database))
    before = file.read_bytes()
    assert copy(bought, sqlite_url(tmp_path / "copy.sqlite3")).exit_code == 0
    assert file.read_bytes() == before


def test_a_backup_that_can_only_be_read_can_be_copied_from(
    bought: str, copy: Copy, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.sqlite3"
    sql(bought, f"VACUUM INTO '{backup}'")
    assert sql(sqlite_url(backup), "PRAGMA journal_mode") == [("delete",)]
    backup.chmod(0o400)
    before = backup.read_bytes()
    assert copy(sqlite_url(backup), sqlite_url(tmp_path / "copy.sqlite3")).exit_code == 0
    assert backup.read_bytes() == before
    assert rows_of(sqlite_url(tmp_path / "copy.sqlite3")) == rows_of(bought)


def test_a_shop_that_was_killed_is_copied_with_what_was_in_its_journal(
    drop_in_a_file: RunningShop, copy: Copy, tmp_path: Path
) -> None:
    kim = Shopper(drop_in_a_file.start())
    kim.add(3)
    assert kim.buy().status == 303
    drop_in_a_file.kill()
    assert drop_in_a_file.database.with_name("shop.sqlite3-wal").stat().st_size
    target = sqlite_url(tmp_path / "copy.sqlite3")
    assert copy(sqlite_url(drop_in_a_file.database), target).exit_code == 0
    assert sql(target, "SELECT count(*) FROM orders") == [(1,)]


@pytest.fixture
def drop_in_a_file(on_sqlite: Databases, tmp_path: Path) -> Iterator[RunningShop]:
    with shop_in(on_sqlite, tmp_path / "drop", "released") as shop:
        yield shop


@pytest.fixture(params=["sqlite", "postgresql"])
def drop_in_either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningShop]:
    databases: Databases = request.getfixturevalue(f"on_{request.param}")
    with shop_in(databases, tmp_path / "drop", "released") as shop:
        yield shop


def address(shop: RunningShop) -> str:
    return shop.database_url.render_as_string(hide_password=False)


def test_a_shop_that_is_open_is_copied_only_when_told_and_then_as_of_one_moment(
    drop_in_either: RunningShop,
    operator: RunningShop,
    copy: Copy,
    tabled_postgresql: str,
) -> None:
    source = address(drop_in_either.start())
    kim = Shopper(drop_in_either)
    kim.add(3)
    assert kim.buy().status == 303
    refused = copy(source, tabled_postgresql)
    assert refused.exit_code == 1 and "still in use" in refused.output
    assert len(refused.output.splitlines()) == 1 and is_empty(tabled_postgresql)

    before = rows_of(source)
    with halted_at("carts", tabled_postgresql) as halted:
        copying = operator.start_flask(
            "db", "copy", "--from", source, "--to", tabled_postgresql, "--while-open"
        )
        eventually(halted, 30)
        kim.add(5)
        assert kim.buy().status == 303
    output, _ = copying.communicate(timeout=60)
    assert copying.returncode == 0, output
    assert rows_of(tabled_postgresql) == before != rows_of(source)

    drop_in_either.stop()
    closed = copy(source, tabled_postgresql)
    assert "still in use" not in closed.output and "is not empty" in closed.output


@contextmanager
def halted_at(table: str, url: str) -> Iterator[Callable[[], bool]]:
    """Have who inserts into a table of PostgreSQL wait there, and go on at the end.

    Gives a function that tells whether somebody waits.
    """
    sql(url, _HALT.format(table=table))
    with psycopg.connect(url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(7)")
        waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        yield lambda: bool(sql(url, waits))
    # It waits for the lock no longer: the trigger may stay.


_HALT = """
    CREATE OR REPLACE FUNCTION halt() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END';
    CREATE OR REPLACE TRIGGER halt BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION halt()
"""


def test_what_is_no_shop_of_this_release_is_not_copied_from(
    bought: str, copy: Copy, tmp_path: Path
) -> None:
    target = tmp_path / "copy.sqlite3"

    def refused(source: Path) -> str:
        done = copy(sqlite_url(source), sqlite_url(target))
        assert done.exit_code == 1 and not target.exists()
        assert len(done.output.splitlines()) == 1, done.output
        return done.output

    assert "there is no file" in refused(tmp_path / "typo.sqlite3")
    assert not (tmp_path / "typo.sqlite3").exists()
    (tmp_path / "nothing").touch()
    assert "holds no shop" in refused(tmp_path / "nothing")
    assert (tmp_path / "nothing").read_bytes() == b"", "it was only read"
    (tmp_path / "letter.txt").write_text("Dear customer, " * 100)
    assert "not a database" in refused(tmp_path / "letter.txt")
    sql(bought, "UPDATE alembic_version SET version_num = '9999'")
    assert "newer release" in refused(Path(str(make_url(bought).database)))


# --- The target -----------------------------------------------------------------------------


def test_a_target_that_is_not_empty_is_left_alone(
    bought: str, copy: Copy, empty_postgresql: EmptyDatabase, tmp_path: Path
) -> None:
    there = empty_postgresql()
    assert copy(bought, there).exit_code == 0
    file = sqlite_url(tmp_path / "other.sqlite3")
    shutil.copy(str(make_url(bought).database), tmp_path / "other.sqlite3")
    sql(file, "UPDATE alembic_version SET version_num = '0000'")  # it isn't even migrated
    for target in (there, file):
        before = rows_of(target)
        done = copy(bought, target)
        assert done.exit_code == 1
        assert "is not empty (carts: 2, " in done.output and " orders: 1, " in done.output
        assert rows_of(target) == before


def test_a_copy_that_is_killed_leaves_nothing_and_can_be_made_again(
    bought: str, operator: RunningShop, copy: Copy, tabled_postgresql: str
) -> None:
    with halted_at("order_lines", tabled_postgresql) as halted:
        copying = operator.start_flask("db", "copy", "--from", bought, "--to", tabled_postgresql)
        eventually(halted, 30)
        copying.kill()
        copying.communicate()
    assert is_empty(tabled_postgresql)
    done = copy(bought, tabled_postgresql)
    assert done.exit_code == 0, done.output
    assert rows_of(tabled_postgresql) == rows_of(bought)


def test_of_two_copies_into_one_database_one_is_refused(
    bought: str, operator: RunningShop, tabled_postgresql: str
) -> None:
    command = ["db", "copy", "--from", bought, "--to", tabled_postgresql, "--while-open"]
    with halted_at("carts", tabled_postgresql) as halted:
        both = [operator.start_flask(*command) for _ in range(2)]
        eventually(halted, 30)
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'ShareRowExclusiveLock'"
        eventually(lambda: sql(tabled_postgresql, waits), 30)
    outputs = [copying.communicate(timeout=60)[0] for copying in both]
    assert sorted(copying.returncode for copying in both) == [0, 1], outputs
    assert any("is not empty" in output for output in outputs)
    assert rows_of(tabled_postgresql) == rows_of(bought)


def test_a_copy_takes_longer_than_a_request_may(
    bought: str, copy: Copy, tabled_postgresql: str, empty_postgresql: EmptyDatabase
) -> None:
    source = empty_postgresql()
    assert copy(bought, source).exit_code == 0
    sql(tabled_postgresql, _HALT.format(table="orders").replace(
        "pg_advisory_xact_lock_shared(7)", "pg_sleep(1)"))  # fmt: skip
    hurry = "?options=-c%20statement_timeout%3D500%20-c%20idle_in_transaction_session_timeout%3D500"
    done = copy(source + hurry, tabled_postgresql + hurry)
    assert done.exit_code == 0, done.output


def test_a_row_that_the_target_cannot_take_is_named_and_nothing_is_copied(
    bought: str, copy: Copy, empty_postgresql: EmptyDatabase
) -> None:
    target = empty_postgresql()

    def refused(statement: str) -> str:
        with closing(sqlite3.connect(str(make_url(bought).database))) as oddities:
            before = list(oddities.iterdump())
            oddities.execute("PRAGMA foreign_keys=OFF")
            oddities.execute(statement)
            oddities.commit()
        done = copy(bought, target)
        assert done.exit_code == 1 and is_empty(target)
        assert len(done.output.splitlines()) == 2, done.output  # the first: as of when
        file = Path(str(make_url(bought).database))
        file.unlink()
        with closing(sqlite3.connect(file)) as mended:
            mended.executescript("\n".join(before))
        return done.output.splitlines()[1]

    says = refused("UPDATE orders SET name = 'Kim' || char(0) || 'Vale'")
    assert "orders, row 7: " in says and "NUL" in says and "Vale" not in says
    says = refused("UPDATE products SET position = 3000000000 WHERE id = 2")
    assert "products, row 2: integer out of range" in says
    says = refused("UPDATE orders SET address = CAST(X'eda080' AS TEXT)")
    assert "orders, row 7: a text in it is not UTF-8" in says
    says = refused("UPDATE items SET available = 'many' WHERE id = 9")
    assert "items, row 9: " in says
    says = refused("INSERT INTO cart_items (cart_id, item_id) VALUES ('kim', 99)")
    assert "cart_items, row kim, 99: " in says and "foreign key" in says
    says = refused(f"UPDATE carts SET id = '{'k' * 64}' || char(0) WHERE id = 'stray'")
    assert "carts, row kkkkkkkkkkkk…: " in says, "the whole id is the visitor's secret"
    assert copy(bought, target).exit_code == 0


def test_a_copy_that_differs_does_not_count(
    bought: str, copy: Copy, tabled_postgresql: str
) -> None:
    sql(tabled_postgresql, _HALT.format(table="orders").replace(
        "PERFORM pg_advisory_xact_lock_shared(7)", "NEW.name = upper(NEW.name)"))  # fmt: skip
    done = copy(bought, tabled_postgresql)
    assert done.exit_code == 1 and "the copy differs in orders (rows: 1 and 1)" in done.output
    assert is_empty(tabled_postgresql)
    sql(tabled_postgresql, _HALT.format(table="orders").replace(
        "PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW", "RETURN NULL"))  # fmt: skip
    assert copy(bought, tabled_postgresql).exit_code == 1
    assert is_empty(tabled_postgresql)


# --- The call -------------------------------------------------------------------------------


def test_a_wrong_call_changes_nothing(bought: str, copy: Copy, tmp_path: Path) -> None:
    good = sqlite_url(tmp_path / "copy.sqlite3")
    for source, target, says in (
        ("nonsense", good, "--from='nonsense'"),
        (bought, "mysql://shop:secret@host/shop", "--to='mysql://shop:***@host/shop'"),
        (bought, bought, "the same database"),
        (bought, bought.replace("bought.sqlite3", "x/../bought.sqlite3"), "the same database"),
    ):
        done = copy(source, target)
        assert (done.exit_code, says in done.output) == (2, True), done.output
        assert "secret" not in done.output
    assert not (tmp_path / "copy.sqlite3").exists()


def test_a_relative_path_is_from_the_folder_that_the_setting_is_from(
    bought: str, copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = os.path.relpath(tmp_path / "copy.sqlite3", ROOT)
    done = copy(bought, sqlite_url(Path(relative)))
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].split() == [
        "SHOP_DATABASE_URL", sqlite_url(tmp_path / "copy.sqlite3")
    ]  # fmt: skip


def test_a_copy_has_no_use_for_the_shops_own_database(
    bought: str, operator: RunningShop, copy: Copy, tmp_path: Path
) -> None:
    assert copy(bought, sqlite_url(tmp_path / "copy.sqlite3")).exit_code == 0
    assert not operator.database.exists()


def test_the_last_lines_say_what_to_set_without_a_password(
    bought: str, copy: Copy, empty_postgresql: EmptyDatabase
) -> None:
    target = make_url(empty_postgresql()).set(password="secret")
    done = copy(bought, target.render_as_string(hide_password=False))
    assert "secret_key" in done.output.splitlines()[-2]
    assert done.output.splitlines()[-1].split()[1] == target.render_as_string(hide_password=True)


def test_memory_does_not_grow_with_the_shop(
    bought: str, operator: RunningShop, empty_postgresql: EmptyDatabase, tmp_path: Path
) -> None:
    file, many = sqlite_url(tmp_path / "copy.sqlite3"), empty_postgresql()
    few = peak_memory(operator, bought, empty_postgresql())
    sql(bought, _MANY)
    sql(bought, _LARGE)
    there, back = peak_memory(operator, bought, many), peak_memory(operator, many, file)
    print(f"\n{few:.0f} MB for 2 carts, {there:.0f} and {back:.0f} MB for 100,000 and 60 files")
    assert max(there, back) - few < 25


_MANY = """
    WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
    INSERT INTO carts (id, version, purchases) SELECT printf('%064d', i), i, 0 FROM n
"""

_LARGE = """
    WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 60)
    INSERT INTO pictures SELECT i, 1, 1, '1', randomblob(1000000) FROM n
"""


def peak_memory(operator: RunningShop, source: str, target: str) -> float:
    """Copy in a process of its own and return the most memory that it had, in MB."""
    command = [sys.executable, "-c", _MEASURED, "db", "copy", "--from", source, "--to", target]
    env = {**operator.environ, "FLASK_SKIP_DOTENV": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    found = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert found, done.stdout
    return int(found[1]) / 1024


# What wait4 says of a child has in it the most that its parent had when it was forked.
_MEASURED = """
import atexit, pathlib, sys
from shop.commands.__main__ import main
atexit.register(lambda: print(pathlib.Path("/proc/self/status").read_text()))
main()
"""
