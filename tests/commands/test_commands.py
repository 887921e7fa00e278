"""The operators' commands: what they do, say, and answer with."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import click
import pytest
from click.testing import Result
from flask import Flask

from shop import create_app
from shop.config import load_settings
from shop.db import Base
from shop.setting_values import SettingError
from tests.support import preloaded
from tests.support.running import ROOT, RunningShop
from tests.support.shopper import Shopper, Tab, ref_in, version_in

pytestmark = pytest.mark.both_databases

KILN = "OST-KILN-095"

Operate = Callable[..., Result]


def dump(shop: RunningShop) -> dict[str, list[str]]:
    """Return everything that is in a shop's database: the rows of each table."""
    tables = [*Base.metadata.tables, "alembic_version"]
    return {table: sorted(map(str, shop.sql(f"SELECT * FROM {table}"))) for table in tables}


@pytest.fixture
def app(closed_drop: RunningShop) -> Iterator[Flask]:
    app = create_app(closed_drop.environ)
    yield app
    app.extensions["shop"].database.close()


@pytest.fixture
def operate(app: Flask) -> Operate:
    """Give a function that runs a command on the closed shop, sparing the start of a process."""
    runner = app.test_cli_runner()
    return lambda *args: runner.invoke(args=[str(arg) for arg in args])


def levels(shop: RunningShop, product: int) -> set[str]:
    found: set[str] = set(re.findall(r"--level-(\w+)", Shopper(shop).get("/").text))
    return found


# --- Every command, as the process that it is -----------------------------------------------


def test_seed_fills_an_empty_shop_the_same_way_for_the_same_number(
    make_shop: Callable[..., RunningShop],
) -> None:
    shop, stocked = make_shop("new", "new"), make_shop("stocked")
    done = shop.flask("seed", "--random-seed", "7")
    assert "2 products, 26 sizes" in done.stdout
    rows = "SELECT sku, size, available FROM items ORDER BY id"
    items = shop.sql(rows)
    assert items == stocked.sql(rows)
    assert [size for _, size, _ in items[:13]] == [f"{n / 2:g}" for n in range(12, 25)]
    counts = sorted(count for *_, count in items)
    assert counts[:2] == [0, 0], "one size in ten"
    assert counts[2] >= 201 and counts[-1] <= 1200
    assert shop.sql("SELECT DISTINCT released FROM products") == [(0,)]

    again = shop.flask("seed", check=False)
    assert again.returncode == 1
    assert "there are products already" in again.stderr
    assert shop.sql(rows) == items


def test_without_a_number_every_seed_is_another(operate: Operate, app: Flask) -> None:
    found = []
    for _ in range(2):
        assert operate("reset", "--yes").exit_code == 0
        assert operate("seed").exit_code == 0
        found.append(
            [row["available"] for row in json.loads(operate("stock", "list", "--json").output)]
        )
    assert found[0] != found[1]


def test_a_day_of_operating_in_processes_of_their_own(
    make_shop: Callable[..., RunningShop],
) -> None:
    shop = make_shop("stocked")
    assert shop.flask("release", "1", "OST-KILN").stdout.split("\n")[:2] == [
        "OST-TIDELINE is released",
        "OST-KILN is released",
    ]
    assert shop.flask("stock", "set", KILN, "20").stdout.strip().endswith("-> 20")
    assert shop.flask("stock", "add", KILN, "5").stdout.strip() == f"{KILN}: 20 -> 25"
    assert shop.flask("sell", KILN, "--count", "3").stdout.strip() == f"{KILN}: sold 3, 22 left"
    row = next(row for row in shop.stock().values() if row["sku"] == KILN)
    assert row == {
        "id": 21,
        "sku": KILN,
        "product": "OST-KILN",
        "size": "9.5",
        "available": 22,
        "level": "low",
        "held": 0,
        "sold": 3,
    }
    assert shop.orders() == []
    sold_out = shop.flask("sell-out", "--per-tick", "10000", "--tick-ms", "0")
    assert "Sold out:" in sold_out.stdout
    assert shop.sql("SELECT sum(available) FROM items") == [(0,)]
    assert "empty" in shop.flask("reset", "--yes").stdout
    assert shop.sql("SELECT count(*) FROM items") == [(0,)]


def test_a_running_shop_follows_its_operators(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    shopper.add(1)
    shopper.add(2)
    before = shopper.get("/").text
    with Tab(drop, shopper, [1, 2]) as tab:
        tab.next()
        drop.flask("sell-out", "--per-tick", "2000", "--tick-ms", "20")
        tab.until(lambda tab: re.findall(r"--level-(\w+)", str(tab.shown)) == ["out"] * 26, 10)
        assert tab.cart == [1, 2]

        drop.flask("reset", "--yes")
        tab.until(lambda tab: "No longer in this shop" in tab.shown["stock-1"])
        tab.until(lambda tab: tab.cart == [])
        assert "Nothing here yet" in shopper.get("/").text

        drop.flask("seed", "--random-seed", "1")
        tab.until(lambda tab: "coming soon" in tab.shown["stock-1"])
    after = shopper.get("/").text
    assert ref_in(after) == ref_in(before)
    assert version_in(after) > version_in(before)
    assert shopper.get("/checkout").status in (200, 303)


@pytest.mark.sqlite_only
def test_a_command_starts_without_what_only_servers_need(closed_drop: RunningShop) -> None:
    environ = {**closed_drop.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-X", "importtime", "-m", "shop.commands", "stock", "list"]
    told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stderr
    loaded = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "flask" in loaded
    assert not {"gevent", "psycopg", "redis", "prometheus_client", "PIL", "shop.web"} & loaded


def test_several_processes_sell_the_last_pieces_at_once(closed_drop: RunningShop) -> None:
    closed_drop.sql("UPDATE items SET available = 100 WHERE sku = ?", KILN)
    with ThreadPoolExecutor(4) as operators:
        sell = lambda _: closed_drop.flask("sell", KILN, "--count", "30", check=False)  # noqa: E731
        done = list(operators.map(sell, range(4)))
    assert sorted(process.returncode for process in done) == [0, 0, 0, 1]
    assert closed_drop.sql("SELECT available FROM items WHERE sku = ?", KILN) == [(10,)]


def test_processes_that_start_at_once_where_nothing_is_make_one_shop(
    make_shop: Callable[..., RunningShop],
) -> None:
    shop = make_shop("new", SHOP_DEMO="off")
    with ThreadPoolExecutor(3) as operators:
        done = list(operators.map(lambda _: shop.flask("seed", check=False), range(3)))
    assert sorted(process.returncode for process in done) == [0, 1, 1]
    assert shop.sql("SELECT count(*) FROM products") == [(2,)]
    if shop.on_sqlite:
        assert_one_key(shop.instance)


def assert_one_key(instance: Path) -> None:
    key = instance / "secret_key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_text().strip()) >= 32
    assert [f.name for f in instance.iterdir() if f.name.startswith(".secret")] == []


# --- What they answer -----------------------------------------------------------------------

DONE = {
    "released before": ("release 1 2", "was released before"),
    "released twice in one call": ("release 1 OST-TIDELINE", "was released before"),
    "stock list": ("stock list", "OST-TIDELINE-060"),
    "stock set": (f"stock set {KILN} 0", "-> 0"),
    "stock add": (f"stock add {KILN} 1", "->"),
    "sell": (f"sell {KILN}", "sold 1"),
    "sell-out": ("sell-out --per-tick 9999 --tick-ms 0 --random-seed 1", "Sold out"),
    "orders list": ("orders list", "There are no orders yet."),
}


@pytest.mark.parametrize(("call", "says"), DONE.values(), ids=DONE.keys())
def test_what_can_be_done_is_done_and_said(operate: Operate, call: str, says: str) -> None:
    done = operate(*call.split())
    assert (done.exit_code, says in done.output) == (0, True), done.output


REFUSED = {
    "sold out": f"sell {KILN} --count 5000",
    "sold out, by one": "sell OST-KILN-085",
    "not released": "sell OST-TIDELINE-060",
    "seeded before": "seed",
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED.keys())
def test_what_can_not_be_done_is_1_with_one_line_and_nothing_changed(
    closed_drop: RunningShop, operate: Operate, call: str
) -> None:
    closed_drop.sql("UPDATE products SET released = false WHERE id = 1")
    before = dump(closed_drop)
    done = operate(*call.split())
    assert (done.exit_code, len(done.output.strip().splitlines())) == (1, 1), done.output
    assert dump(closed_drop) == before


def test_one_unknown_product_among_several_releases_none(
    closed_drop: RunningShop, operate: Operate
) -> None:
    closed_drop.sql("UPDATE products SET released = false")
    assert operate("release", "1", "2", "nothing").exit_code == 2
    assert closed_drop.sql("SELECT count(*) FROM products WHERE released") == [(0,)]
    assert operate("release", "2").exit_code == 0
    assert closed_drop.sql("SELECT released FROM products ORDER BY id") == [(0,), (1,)]


def test_sell_out_before_the_drop_has_nothing_to_sell(
    closed_drop: RunningShop, operate: Operate
) -> None:
    closed_drop.sql("UPDATE products SET released = false")
    assert operate("sell-out").exit_code == 1
    closed_drop.sql("UPDATE products SET released = true")
    closed_drop.sql("UPDATE items SET available = 0")
    assert operate("sell-out").exit_code == 0


def test_sell_out_sells_in_the_same_order_for_the_same_number(
    closed_drop: RunningShop, operate: Operate
) -> None:
    def first_sold(seed: int) -> str:
        closed_drop.sql("UPDATE items SET available = 1, version = 1")
        operate("sell-out", "--per-tick", 1, "--tick-ms", 0, "--random-seed", seed)
        rows = closed_drop.sql("SELECT sku FROM items ORDER BY version, id")
        assert closed_drop.sql("SELECT sum(available) FROM items") == [(0,)]
        return str(rows)

    assert first_sold(1) == first_sold(1) != first_sold(2)


def test_stock_list_says_the_level_of_every_item(
    closed_drop: RunningShop, operate: Operate
) -> None:
    for item_id, count in enumerate((0, 1, 149, 150, 499, 500), 1):
        closed_drop.sql("UPDATE items SET available = ? WHERE id = ?", count, item_id)
    rows = json.loads(operate("stock", "list", "--json").output)
    assert [row["level"] for row in rows[:6]] == ["out", "low", "low", "medium", "medium", "high"]
    assert [row["id"] for row in rows] == list(range(1, 27))
    plain = operate("stock", "list").output.splitlines()[1:]
    assert len(plain) == 26
    assert all(
        row["sku"] in line and row["level"] in line for row, line in zip(rows, plain, strict=True)
    )


def test_orders_are_listed_and_shown(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    for item_ids in ((1,), (2, 14)):
        for item_id in item_ids:
            shopper.add(item_id)
        assert shopper.buy().location == "/checkout/complete"
    app = create_app(drop.environ)
    runner = app.test_cli_runner()

    orders = json.loads(runner.invoke(args=["orders", "list", "--json"]).output)
    for order in orders:
        assert order.keys() == {
            *("number", "state", "email", "name", "address", "placed_at", "total", "currency"),
            *("street", "street2", "postcode", "town", "country", "phone"),
            *("shipping", "tax", "tax_rate", "tax_kind", "lines", "tracking"),
        }
    assert [order["total"] for order in orders] == [12000, 28500]
    assert [len(order["lines"]) for order in orders] == [1, 2]
    assert orders[1]["lines"][1] == {"sku": "OST-KILN-060", "price": 16500}
    for order in orders:
        assert order["placed_at"].endswith("Z")
        assert datetime.fromisoformat(order["placed_at"]).tzinfo is not None

    plain = runner.invoke(args=["orders", "list"]).output.splitlines()
    assert [order["number"] in line for order, line in zip(orders, plain, strict=True)] == [
        True
    ] * 2
    shown = runner.invoke(args=["orders", "show", orders[1]["number"]])
    assert shown.exit_code == 0
    for fact in ("OST-TIDELINE-065", "OST-KILN-060", "$285.00", "Kim Vale", "kim@example.com"):
        assert fact in shown.output
    app.extensions["shop"].database.close()


def commands_of(app: Flask) -> list[tuple[str, ...]]:
    """Return the names of all commands of the shop."""
    found: list[tuple[str, ...]] = []
    context = click.Context(app.cli)
    for name in app.cli.list_commands(context):
        command = app.cli.get_command(context, name)
        if isinstance(command, click.Group):
            found += [(name, sub) for sub in command.commands]
        else:
            found.append((name,))
    return sorted(found)


@pytest.mark.sqlite_only("asks no database")
def test_every_command_says_what_it_does_with_an_example(app: Flask, operate: Operate) -> None:
    assert {("catalog", "list"), ("release",), ("stock", "set")} <= set(commands_of(app))
    for names in commands_of(app):
        shown = operate(*names, "--help")
        assert shown.exit_code == 0
        assert re.search(rf"Examples?:\s+bin/flask {' '.join(names)}\b", shown.output), names


@pytest.mark.sqlite_only("asks no database")
def test_help_lists_the_commands_of_the_shop(closed_drop: RunningShop) -> None:
    shown = closed_drop.flask("--help").stdout
    for name in ("seed", "reset", "release", "stock", "sell", "sell-out", "orders"):
        assert re.search(rf"^  {name}  +\S", shown, re.M), name


# --- Settings -------------------------------------------------------------------------------

GOOD_KEY = "a key that nobody guesses so soon"

BAD = [
    ("SHOP_PORT", "eighty"),
    ("SHOP_PORT", "-1"),
    ("SHOP_PORT", "65536"),
    ("SHOP_PORT", "80.5"),
    ("SHOP_PORT", "٨٠"),
    ("SHOP_LOW_STOCK", "few"),
    ("SHOP_LOW_STOCK", "0"),
    ("SHOP_MEDIUM_STOCK", "149"),
    ("SHOP_SSE_PER_CART", "-4"),
    ("SHOP_MAX_STREAMS", "many"),
    ("SHOP_DEMO", "maybe"),
    ("SHOP_HTTPS", "2"),
    ("SHOP_CURRENCY", "GOLD"),
    ("SHOP_CURRENCY", "XQX"),
    ("SHOP_CURRENCY", "DEM"),
    ("SHOP_CURRENCY", "XXX"),
    ("SHOP_CURRENCY", "XAU"),
    ("SHOP_DATABASE_URL", "nonsense"),
    ("SHOP_DATABASE_URL", "mysql://user:secret@host/shop"),
    ("SHOP_DATABASE_URL", "sqlite+aiosqlite:///x.db"),
    ("SHOP_DATABASE_URL", "sqlite://"),
    ("SHOP_DATABASE_URL", "sqlite:///:memory:"),
    ("SHOP_DATABASE_URL", "postgresql+psycopg2://user:secret@host/shop"),
    ("SHOP_DATABASE_URL", "postgresql://host"),
    ("SHOP_REDIS_URL", "nonsense"),
    ("SHOP_REDIS_URL", "redis://user:secret@host:port/0"),
    ("SHOP_REDIS_URL", "redis://host/first"),
    ("SHOP_REDIS_URL", "http://host:6379"),
    ("SHOP_LOG_LEVEL", "chatty"),
    ("SHOP_ACTIONS_PER_CART", "-1"),
    ("SHOP_DRAIN_SECONDS", "a while"),
    ("SHOP_SECRET_KEY", "short"),
    ("SHOP_METRICS_ALLOW", "everybody"),
    ("SHOP_METRICS_ALLOW", "10.0.0.0/8;::1"),
    ("SHOP_METRICS_ALLOW", "10.0.0.0/33"),
    ("SHOP_SECRET_KEY", "a" * 20),
    ("SHOP_SECRET_KEY", "changemechangemechange"),
    ("SHOP_SECRET_KEY_FALLBACKS", f"{GOOD_KEY},secret"),
    ("SHOP_PAYMENTS", "paypal"),
    ("SHOP_HOLD_SECONDS", "29"),
    ("SHOP_HOLD_SECONDS", "7201"),
    ("SHOP_STRIPE_KEY", "pk_live_secret"),
    ("SHOP_STRIPE_KEY", "sk_live_secret…"),
    ("SHOP_STRIPE_KEY", "sk_live_secret sk_live_secret"),
    ("SHOP_STRIPE_WEBHOOK_SECRET", "sk_live_secret"),
    ("SHOP_STRIPE_API", "localhost"),
    ("SHOP_INSTANCE", "/proc/nowhere"),
    ("SHOP_INSTANCE", "/dev/null"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_setting_is_named_with_its_value_and_what_is_allowed(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(SettingError) as refused:
        load_settings({"SHOP_INSTANCE": str(tmp_path), "SHOP_SECRET_KEY": GOOD_KEY, name: value})
    message = refused.value.format_message()
    assert message.startswith(f"{name}=")
    assert "\n" not in message
    if "secret" in value or name.startswith("SHOP_SECRET_KEY"):
        assert value not in message, "no secret in an error"
        assert ":secret@" not in message
    else:
        assert value in unquote(message)
    assert len(message.split(": ", 1)[1]) > 10, "what is allowed"


@pytest.mark.parametrize(
    "name", ["SHOP_STRIPE_KEY", "SHOP_STRIPE_WEBHOOK_SECRET", "SHOP_PUBLIC_URL"]
)
def test_payments_by_stripe_need_their_settings(tmp_path: Path, name: str) -> None:
    settings = {
        "SHOP_INSTANCE": str(tmp_path),
        "SHOP_PAYMENTS": "stripe",
        "SHOP_STRIPE_KEY": "sk_test_secret",
        "SHOP_STRIPE_WEBHOOK_SECRET": "whsec_secret",
        "SHOP_PUBLIC_URL": "https://shop.example.com",
    }
    assert "secret" not in repr(load_settings(settings)).replace("secret_key", "")
    with pytest.raises(SettingError, match=f"{name}='' can't be used: with SHOP_PAYMENTS=stripe"):
        load_settings({**settings, name: " "})


def start(shop: RunningShop, **settings: str) -> subprocess.CompletedProcess[str]:
    """Try to serve with settings that can't be used."""
    return preloaded.run(shop.command, {**shop.environ, **settings}, 60)


@pytest.mark.sqlite_only("about files that are no databases")
def test_a_server_that_can_not_start_says_so_in_one_line(
    closed_drop: RunningShop, tmp_path: Path
) -> None:
    no_database = tmp_path / "text"
    no_database.write_text("this is no database, but a text of some length\n" * 100)
    newer = shutil.copytree(closed_drop.instance, tmp_path / "newer")
    RunningShop(newer).sql("UPDATE alembic_version SET version_num = '9999'")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "secret_key").write_text("short")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        reasons = {
            "SHOP_PORT": str(taken.getsockname()[1]),
            "SHOP_HOST": "no.such.host.invalid",
            "SHOP_MAX_STREAMS": "many",
            "SHOP_DATABASE_URL": f"sqlite:///{tmp_path}/no/folder/shop.sqlite3",
            "SHOP_DATABASE_URL ": f"sqlite:///{no_database}",
            "SHOP_INSTANCE": str(damaged),
            "SHOP_INSTANCE ": str(newer),
        }
        with ThreadPoolExecutor(4) as operators:
            done = operators.map(
                lambda s: start(closed_drop, **{s[0].strip(): s[1]}), reasons.items()
            )
            tried = dict(zip(reasons.items(), done, strict=True))
    for (name, value), process in tried.items():
        said = (process.stdout + process.stderr).strip().splitlines()
        assert process.returncode != 0, name
        assert len(said) == 1, (name, said)
        if value not in (str(newer),):
            assert name.strip() in said[0]


@pytest.mark.sqlite_only("asks no database")
def test_a_command_with_a_bad_setting_says_so_in_one_line(closed_drop: RunningShop) -> None:
    closed_drop.environ["SHOP_LOW_STOCK"] = "few"
    done = closed_drop.flask("stock", "list", check=False)
    assert done.returncode != 0
    said = (done.stdout + done.stderr).strip().splitlines()
    assert len(said) == 1 and "SHOP_LOW_STOCK='few'" in said[0]


# --- Starts ---------------------------------------------------------------------------------


@pytest.mark.sqlite_only("only a file gets the demo catalogue")
def test_the_first_start_puts_the_demo_catalogue_into_a_new_shop_and_later_ones_change_nothing(
    open_shop: Callable[..., RunningShop],
) -> None:
    shop = open_shop()
    page = shop.page()
    assert page.count("coming soon") == 2
    said = "".join(shop.output)
    assert shop.url in said and "bin/flask release" in said
    shop.stop()
    shop.sql("DELETE FROM items WHERE id > 3")
    before, key = dump(shop), (shop.instance / "secret_key").read_text()
    shop.start()
    shop.page()
    shop.stop()
    assert dump(shop) == before
    assert (shop.instance / "secret_key").read_text() == key


def test_a_new_shop_is_empty_when_no_demo_is_wanted(open_shop: Callable[..., RunningShop]) -> None:
    shop = open_shop(SHOP_DEMO="off")
    assert "Nothing here yet" in shop.page()
    assert shop.sql("SELECT count(*) FROM products") == [(0,)]


def test_money_is_shown_in_the_currency_of_the_shop(
    open_shop: Callable[..., RunningShop],
) -> None:
    levels = {"SHOP_LOW_STOCK": "300", "SHOP_MEDIUM_STOCK": "600"}
    shop = open_shop(stage="released", SHOP_CURRENCY="jpy", **levels)
    page = shop.page()
    assert "¥12,000" in page
    assert re.search(r'--level-low"[^>]* value="6"', page), "250 pieces"


@pytest.mark.parametrize("elsewhere", ["/", str(ROOT), str(ROOT / "shop")])
def test_relative_settings_mean_the_same_shop_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    relative = os.path.relpath(tmp_path, ROOT)
    monkeypatch.chdir(elsewhere)
    settings = load_settings({"SHOP_INSTANCE": relative})
    assert settings.instance == tmp_path
    named = load_settings(
        {"SHOP_INSTANCE": relative, "SHOP_DATABASE_URL": f"sqlite:///{relative}/other.sqlite3"}
    )
    assert Path(str(named.database_url.database)).resolve() == tmp_path / "other.sqlite3"


@pytest.mark.sqlite_only("names a file")
def test_a_database_that_is_named_starts_empty(
    tmp_path: Path, open_shop: Callable[..., RunningShop]
) -> None:
    shop = open_shop(SHOP_DATABASE_URL=f"sqlite:///{tmp_path}/named.sqlite3")
    assert "Nothing here yet" in shop.page()
    assert (tmp_path / "named.sqlite3").exists()
    assert not shop.database.exists()
