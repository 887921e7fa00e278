"""Orders on their way, and the books, as operators type it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from shop import create_app
from tests.support.databases import Databases, shop_in
from tests.support.running import RunningShop
from tests.support.shopper import Shopper, Tab

pytestmark = pytest.mark.both_databases

Operate = Callable[..., Result]


@pytest.fixture(scope="module")
def served(dbms: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop after the drop, which the tests of this module share."""
    with shop_in(dbms, tmp_path_factory.mktemp("orders") / "instance", "released") as shop:
        yield shop.start()


@pytest.fixture(scope="module")
def operate(served: RunningShop) -> Iterator[Operate]:
    """Give a function that runs a command beside the shop, sparing the start of a process."""
    app = create_app(served.environ)
    runner = app.test_cli_runner()
    yield lambda *args: runner.invoke(args=[str(arg) for arg in args])
    app.extensions["shop"].database.close()


@pytest.fixture
def number(served: RunningShop) -> str:
    return place(served)


def place(shop: RunningShop, *items: int) -> str:
    """Buy items, and return the order's number."""
    shopper = Shopper(shop)
    for item in items or (1, 14):
        shopper.add(item)
    assert shopper.buy().location == "/checkout/complete"
    found: str = shop.sql("SELECT number FROM orders ORDER BY id DESC LIMIT 1")[0][0]
    return found


def listed(operate: Operate, *words: str) -> list[Any]:
    done = operate("orders", "list", "--json", *words)
    assert done.exit_code == 0, done.output
    found: list[Any] = json.loads(done.output)
    return found


def test_an_order_goes_its_way_and_each_step_twice_says_so(operate: Operate, number: str) -> None:
    steps = [
        (["paid", number.lower().replace("-", "")], "paid"),
        (["fulfil", number, "--tracking", "Z9"], "fulfilled"),
        (["return", number, "--reason", "too small"], "returned"),
    ]
    for words, state in steps:
        for again in ("", "before"):
            done = operate("orders", *words)
            assert done.exit_code == 0
            assert state in done.output and again in done.output
        shown = json.loads(operate("orders", "show", number, "--json").output)
        assert (shown["state"], shown["changes"][-1]["to"]) == (state, state)
    assert operate("orders", "paid", number).exit_code == 1
    assert operate("check").exit_code == 0


def test_a_cancelled_pair_is_back_in_every_open_tab(
    served: RunningShop, operate: Operate, number: str
) -> None:
    sku = served.sku(1)
    left = json.loads(operate("stock", "list", "--json").output)[0]["available"]
    operate("stock", "set", sku, 0)
    with Tab(served, products=[1]) as tab:
        done = operate("orders", "cancel", number, "--sku", sku, "--reason", "wrong size")
        assert done.exit_code == 0, done.output
        tab.until(lambda seen: "stock-1" in seen.shown and seen.level(1, 1) == "low")
    movement = json.loads(operate("stock", "history", sku, "--json").output)[-1]
    assert movement["who"] and movement["at"].endswith("Z")
    assert (movement["kind"], movement["delta"], movement["count"]) == ("cancellation", 1, 1)
    assert (movement["order"], movement["reason"]) == (number, "wrong size")
    assert "before" in operate("orders", "cancel", number, "--sku", sku, "--reason", "x").output
    operate("stock", "set", sku, left, "--reason", "for the next test")
    assert operate("check").exit_code == 0


def test_orders_are_found_by_what_is_asked_for(operate: Operate, number: str) -> None:
    operate("orders", "paid", number)
    paid = listed(operate, "--state", "paid")
    assert {order["state"] for order in paid} == {"paid"}
    assert number in [order["number"] for order in paid]
    assert listed(operate, "--email", "KIM@example.com") == listed(operate)
    assert listed(operate, "--email", "nobody@example.com") == []
    assert listed(operate, "--product", "OST-KILN", "--since", "2020-01-01T00:00:00Z")
    assert listed(operate, "--until", "2020-01-01T00:00:00+01:00") == []


@pytest.mark.parametrize(
    "words",
    [
        *("orders paid NO", "orders cancel NO --reason x", "orders fulfil NO", "orders paid"),
        *("orders list --state lost", "orders list --since yesterday", "orders list --product NO"),
        *("orders list --since 2026-01-01T00:00:00", "stock history NO", "orders export"),
    ],
)
def test_a_wrong_call_ends_with_2_and_one_line(operate: Operate, words: str) -> None:
    done = operate(*words.split())
    assert done.exit_code == 2
    assert "Error: " in done.output and "Traceback" not in done.output


def test_a_line_that_an_order_has_not_and_no_reason_are_wrong_calls(
    operate: Operate, number: str
) -> None:
    assert operate("orders", "cancel", number, "--sku", "NO", "--reason", "x").exit_code == 2
    assert operate("orders", "cancel", number).exit_code == 2
    assert operate("orders", "return", number, "--reason", "x").exit_code == 1


def test_an_export_holds_no_formulas_and_is_closed_to_others(
    served: RunningShop, operate: Operate, number: str, tmp_path: Path
) -> None:
    for name in ("=1+1", "+1", "-1", "@x", "\tx"):
        served.sql("UPDATE orders SET name = ? WHERE number = ?", name, number)
        file = tmp_path / "labels.csv"
        assert operate("orders", "export", file).exit_code == 0
        with file.open(encoding="utf-8", newline="") as text:
            rows = {row["number"]: row for row in csv.DictReader(text)}
        assert rows[number]["name"] == f"'{name}"
        assert rows[number]["total"] == "285.00"
        assert file.stat().st_mode & 0o077 == 0
    served.sql("UPDATE orders SET name = 'Kim' WHERE number = ?", number)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


@pytest.mark.parametrize("what", ["orders", "catalog"])
def test_an_export_replaces_what_a_link_leads_to_and_not_the_link(
    served: RunningShop, operate: Operate, number: str, tmp_path: Path, what: str
) -> None:
    before = tmp_path / "file.csv"
    before.write_text("of yesterday")
    link = tmp_path / "link"
    link.symlink_to(before)
    with before.open() as opened:
        assert operate(what, "export", link).exit_code == 0
        assert opened.read() == "of yesterday", "who reads it meanwhile has all of the one before"
    assert link.is_symlink()
    assert (number if what == "orders" else served.sku(1).rpartition("-")[0]) in before.read_text()


def test_what_is_packed_comes_size_after_size(served: RunningShop, operate: Operate) -> None:
    numbers = [place(served, 14, 2), place(served, 2, 1)]
    unpaid = place(served, 3)
    for number in numbers:
        operate("orders", "paid", number)
    lines = operate("orders", "packing").output.splitlines()
    mine = [line.split()[0] for line in lines if any(number in line for number in numbers)]
    assert mine == [served.sku(item) for item in (1, 2, 2, 14)]
    assert not any(unpaid in line for line in lines)


BREAKS = {
    "count": ("UPDATE items SET available = available + 1 WHERE id = 5", "item {sku}: it has "),
    "sold": ("UPDATE items SET sold = sold + 1 WHERE id = 5", "item {sku}: "),
    "total": ("UPDATE orders SET total = 1 WHERE id = 1", "order {number}: its total is 1"),
    "state": ("UPDATE orders SET state = 'paid' WHERE id = 1", "order {number}: its state is paid"),
    "end": ("UPDATE order_lines SET ended = 'returned' WHERE id = 1", "order {number}: its line"),
}


@pytest.mark.parametrize("broken", list(BREAKS))
def test_the_check_names_what_is_broken(make_shop: Callable[..., RunningShop], broken: str) -> None:
    shop = make_shop("released").start()
    number = place(shop)
    shop.stop()
    assert shop.flask("check").stdout.startswith("The books are right")
    statement, said = BREAKS[broken]
    shop.sql(statement)
    done = shop.flask("check", check=False)
    assert done.returncode == 1
    assert said.format(sku=shop.sku(5), number=number) in done.stdout
    found = json.loads(shop.flask("check", "--json", check=False).stdout)
    assert not found["ok"]
    assert {each["name"] for each in found["broken"]} & {shop.sku(5), number}


def test_the_check_names_the_first_movement_where_a_count_went_wrong(
    make_shop: Callable[..., RunningShop],
) -> None:
    shop = make_shop("released")
    sku = shop.sku(5)
    shop.flask("stock", "add", sku, "3")
    shop.sql("UPDATE items SET available = available - 1 WHERE id = 5")
    shop.flask("stock", "add", sku, "4")
    shop.flask("stock", "add", sku, "5")
    rows = shop.sql("SELECT id FROM movements WHERE item_id = 5 ORDER BY id")
    (broken,) = json.loads(shop.flask("check", "--json", check=False).stdout)["broken"]
    assert (broken["name"], broken["movement"]) == (sku, rows[2][0])
