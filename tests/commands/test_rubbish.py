"""Whatever operators type wrongly: status 2, one line that says why, and nothing is changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo

from shop import create_app
from shop.commands.__main__ import commands
from shop.db import Base
from tests.support import preloaded
from tests.support.databases import Databases, shop_in
from tests.support.running import ROOT, RunningShop
from tests.support.shopper import Shopper

pytestmark = pytest.mark.both_databases

HUGE, HUGE_NUMBER = "x" * 100_000, "9" * 5000

#: What is no product, no size and no order.
UNKNOWN = ("", " ", "NOTHING", "-1", "0", "1.5", HUGE_NUMBER, HUGE, "%", "' OR 1", "{folder}")
NO_NUMBER = ("", "x", "-1", "1.5", "1e3", "0x1", "\uff11", "1,000", HUGE_NUMBER, "1000000001")
NO_AMOUNT = (*NO_NUMBER[:-1], "0", "1000000001")
NO_TIME = ("", "soon", "2026-12-01T12:00:00", "2026-13-01T12:00:00Z", "12:00", HUGE_NUMBER, HUGE)
NO_EMAIL = ("", "kim", "@", "kim@", "@example.com", f"{HUGE}@example.com", "a\nb@example.com")
NO_FILE = ("", "{folder}", "{folder}/missing", "{folder}/rubbish/file", HUGE)
NO_CATALOG = (*NO_FILE, "{folder}/rubbish", "{folder}/empty", "{folder}/headings")
NO_NEW_FILE = (
    "",
    "{folder}",
    "{folder}/missing/file",
    "{folder}/rubbish/file",
    "{folder}/pipe",
    HUGE,
)
NO_TEXT = ("a\nb", "\x1b[31m", HUGE)
NO_AGE = ("", "180", "d", "0d", "-1d", "1y", "1.5d", HUGE_NUMBER + "d")
NO_ADDRESS = ("", "x", "mysql://a/b", "sqlite://")
NO_SECONDS = ("", "x", "0", "-1", "1e3", HUGE_NUMBER)

ADD = "catalog add NEW --name New --price 1.00 --sizes 7"


class Rubbish(NamedTuple):
    """A call, and what is wrong in the place of its `?`."""

    call: str
    values: tuple[str, ...] = ("",)


def leaves(group: click.Group, before: str = "") -> Iterator[str]:
    """Give the names of all commands of a group, as they are typed."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from leaves(command, f"{before}{name} ")
        yield f"{before}{name}"


COMMANDS = list(leaves(commands))

RUBBISH = [
    *(Rubbish(call) for call in ("nothing", "routes", "--nothing", "STOCK list", "stock nothing")),
    *(Rubbish(f"{name} --nothing") for name in COMMANDS),
    *(Rubbish(f"{name} now") for name in ("check", "watch", "seed", "mail list", "stock list")),
    # orders
    *(Rubbish(f"orders {name} ?", UNKNOWN) for name in ("show", "paid", "fulfil", "resend")),
    *(Rubbish(f"orders {name}") for name in ("show", "paid", "fulfil", "cancel", "return")),
    *(Rubbish(f"orders {name} {{order}} more") for name in ("show", "paid", "fulfil", "resend")),
    Rubbish("orders cancel ? --reason why", UNKNOWN),
    Rubbish("orders return ? --reason why", UNKNOWN),
    Rubbish("orders cancel {order}"),
    Rubbish("orders cancel {order} --reason ?", NO_TEXT),
    Rubbish("orders cancel {order} --reason why --sku ?", UNKNOWN),
    Rubbish("orders cancel {order} --reason why --sku {item} --sku ?", UNKNOWN),
    Rubbish("orders return {order} --reason why --sku ?", UNKNOWN),
    Rubbish("orders fulfil {order} --tracking ?", NO_TEXT),
    Rubbish("orders list --state ?", ("", "PAID", "gone", HUGE)),
    Rubbish("orders list --product ?", UNKNOWN),
    Rubbish("orders list --since ?", NO_TIME),
    Rubbish("orders list --until ?", NO_TIME),
    Rubbish("orders list --since 2026-12-02T00:00:00Z --until 2026-12-01T00:00:00Z"),
    Rubbish("orders export ?", NO_NEW_FILE),
    Rubbish("orders export {folder}/orders.csv --state gone"),
    Rubbish("orders export"),
    # products
    *(Rubbish(f"{name} ?", UNKNOWN) for name in ("release", "close", "catalog hide")),
    *(Rubbish(f"catalog {name} ?", UNKNOWN) for name in ("show", "remove", "edit")),
    *(Rubbish(name) for name in ("release", "close", "catalog hide", "catalog add")),
    Rubbish("release 1 ?", UNKNOWN),
    Rubbish("close 1 ?", UNKNOWN),
    Rubbish("release 1 --at ?", (*NO_TIME, "2001-01-01T00:00:00Z", "9999-12-31T00:00:00Z")),
    Rubbish("release 1 --at 2036-01-01T00:00:00Z --cancel"),
    Rubbish("catalog add ? --name New --price 1.00 --sizes 7", ("", " ", "\x1b", HUGE)),
    Rubbish("catalog add NEW --name ? --price 1.00 --sizes 7", ("", " ", HUGE)),
    Rubbish("catalog add NEW --name New --price ? --sizes 7", ("", "x", "-1", "1.234", HUGE)),
    Rubbish("catalog add NEW --name New --price ? --sizes 7", (HUGE_NUMBER, "1e9", "nan")),
    Rubbish("catalog add NEW --name New --price 1.00 --sizes ?", ("", ",", " , ", HUGE, "\x1b")),
    Rubbish("catalog add NEW --price 1.00 --sizes 7"),
    Rubbish("catalog add NEW --name New --sizes 7"),
    Rubbish("catalog add {product} --name New --price 1.00 --sizes 7"),
    Rubbish(f"{ADD} --count ?", NO_NUMBER),
    Rubbish(f"{ADD} --image ?", (*NO_FILE, "{folder}/rubbish", "{folder}/empty")),
    Rubbish("catalog edit {product} --price ?", ("", "x", "-1", HUGE_NUMBER)),
    Rubbish("catalog edit {product} --name ?", ("", " ", HUGE)),
    Rubbish("catalog edit {product} --image ?", (*NO_FILE, "{folder}/rubbish")),
    Rubbish("catalog edit {product} --sizes ?", ("", ",", "\x1b")),
    Rubbish("catalog edit {product} --description ?", ("\x1b", "a\x07b", f"{HUGE}x")),
    Rubbish("catalog edit {product}"),
    Rubbish("catalog image {product}"),
    Rubbish("catalog image {product} ?", (*NO_FILE, "{folder}/rubbish", "{folder}/empty")),
    Rubbish("catalog image {product} {folder}/rubbish --none"),
    Rubbish("catalog image {product} --none --add"),
    Rubbish("catalog image {product} --none --alt text"),
    Rubbish("catalog image ? --none", UNKNOWN),
    Rubbish("catalog import ?", NO_CATALOG),
    Rubbish("catalog import ? --dry-run", NO_CATALOG),
    Rubbish("catalog import {folder}/good --images ?", ("", "{folder}/rubbish", "{folder}/none")),
    Rubbish("catalog import {folder}/good --counts ?", NO_CATALOG),
    Rubbish("catalog import"),
    Rubbish("catalog import {folder}/good {folder}/good"),
    Rubbish("catalog export ?", NO_NEW_FILE),
    # the shelf
    *(Rubbish(f"stock {name} ? 1", UNKNOWN) for name in ("set", "add")),
    Rubbish("stock history ?", UNKNOWN),
    Rubbish("stock set {item} ?", NO_NUMBER),
    Rubbish("stock add {item} ?", NO_AMOUNT),
    Rubbish("stock add {item} 1000000000"),
    Rubbish("stock set {item} 1 2"),
    Rubbish("stock set {item}"),
    Rubbish("stock set {item} 1 --reason ?", NO_TEXT),
    Rubbish("sell ?", UNKNOWN),
    Rubbish("sell {item} --count ?", NO_AMOUNT),
    Rubbish("sell {item} {item}"),
    Rubbish("sell-out --yes --per-tick ?", (*NO_NUMBER, "0")),
    Rubbish("sell-out --yes --tick-ms ?", NO_NUMBER),
    Rubbish("sell-out --yes --random-seed ?", ("", "x", "1.5", HUGE_NUMBER)),
    Rubbish("seed --random-seed ?", ("", "x", "1.5", HUGE_NUMBER)),
    # everything else
    Rubbish("reset"),
    Rubbish("reset --yes now"),
    Rubbish("reset --no-backup"),
    Rubbish("privacy export ?", NO_EMAIL),
    Rubbish("privacy erase ? --yes", NO_EMAIL),
    Rubbish("privacy erase kim@example.com"),
    Rubbish("carts prune --older-than ?", NO_AGE),
    Rubbish("carts prune"),
    Rubbish("mail send now"),
    Rubbish("watch --once --interval ?", NO_SECONDS),
    Rubbish("db backup ?", ("", "{folder}/rubbish", "{folder}/rubbish/inside", HUGE)),
    Rubbish("db backup {folder}/backups --keep ?", (*NO_NUMBER, "0")),
    Rubbish("db copy --from ? --to sqlite:///{folder}/copy", NO_ADDRESS),
    Rubbish("db copy --from sqlite:///{folder}/a --to ?", NO_ADDRESS),
    Rubbish("db copy --from sqlite:///{folder}/a --to sqlite:///{folder}/a"),
    Rubbish("db copy --from sqlite:///{folder}/a"),
]


@pytest.fixture(scope="module")
def shop(dbms: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop with an order, whose server does not run any more."""
    folder = tmp_path_factory.mktemp("rubbish")
    with shop_in(dbms, folder / "instance", "released", SHOP_DEMO="off") as shop:
        shop.start()
        shopper = Shopper(shop)
        shopper.add(1)
        shopper.buy()
        shop.stop()
        yield shop


@pytest.fixture(scope="module")
def app(shop: RunningShop) -> Iterator[Flask]:
    app = create_app(shop.environ)
    yield app
    app.extensions["shop"].database.close()


@pytest.fixture(scope="module")
def names(shop: RunningShop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What calls name in braces."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "rubbish").write_bytes(bytes(range(256)) * 8)
    (folder / "empty").touch()
    os.mkfifo(folder / "pipe")
    (folder / "headings").write_text("product,brand,name\n")
    (folder / "good").write_text(
        "product,brand,name,color,size,price,count,image,description\n"
        "GOOD,Brand,Name,red,7,1.00,1,,\n"
    )
    ((order,),) = shop.sql("SELECT number FROM orders")
    ((product,),) = shop.sql("SELECT sku FROM products WHERE id = 1")
    return {"folder": str(folder), "order": order, "product": product, "item": shop.sku(1)}


def dump(shop: RunningShop) -> list[object]:
    """Return everything that is in the shop's database."""
    tables = [table for table in Base.metadata.tables if table != "servers"]
    with closing(shop.connect()) as connection:
        return [sorted(map(str, connection.execute(f"SELECT * FROM {t}"))) for t in tables]


def files(names: dict[str, str]) -> list[str]:
    return sorted(str(path) for path in Path(names["folder"]).rglob("*"))


@pytest.mark.parametrize("rubbish", RUBBISH, ids=[rubbish.call for rubbish in RUBBISH])
def test_rubbish_is_2_with_one_line_and_nothing_changed(
    rubbish: Rubbish, shop: RunningShop, app: Flask, names: dict[str, str]
) -> None:
    before = dump(shop), files(names)
    wrong = []
    for value in rubbish.values:
        words = [value if word == "?" else word for word in rubbish.call.split()]
        done = run(app, [word.format(**names) if "{" in word else word for word in words])
        if not is_one_line_and_2(done):
            wrong.append((value[:40], done.exit_code, done.output[:600], done.exception))
    assert wrong == []
    assert (dump(shop), files(names)) == before


def run(app: Flask, words: list[str]) -> Result:
    info = ScriptInfo(create_app=lambda: app)
    return CliRunner().invoke(commands, words, obj=info, prog_name="bin/flask")


def is_one_line_and_2(done: Result) -> bool:
    lines = done.stderr.splitlines()
    refused = done.exit_code == 2 and done.stdout == "" and len(lines) == 1
    return refused and lines[0].startswith("Error: ") and len(lines[0]) < 2000


@pytest.mark.sqlite_only("asks nothing of a database")
@pytest.mark.parametrize("call", ["stock list --json", "orders list", "catalog list", "--help"])
def test_nobody_reads_what_a_command_says_and_it_ends_without_a_word(
    shop: RunningShop, call: str
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-P", "-m", "shop.commands", *call.split()]
        env = {**shop.environ, "PYTHONPATH": str(ROOT)}
        done = preloaded.run(command, env, 60, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
