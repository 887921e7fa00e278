"""What operators stumbled over: shops that aren't there, names, numbers, settings, help."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError

from shop import create_app
from shop.commands.__main__ import commands
from shop.config import load_settings
from shop.db import open_database
from shop.environment import UnreadableFile, read_environment
from shop.models import Item, Order, Product, UnknownItem, UnknownOrder
from shop.setting_values import SettingError
from tests.support.running import ROOT, RunningShop, eventually
from tests.support.shopper import Shopper, Tab

Operate = Callable[..., Result]

KILN = "OST-KILN-095"


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


# --- Where no shop is -----------------------------------------------------------------------

NEED_A_SHOP = (
    *("release 1", "stock list", "stock set X 1", "sell X", "sell-out", "reset --yes"),
    *("orders list", "orders show X", "catalog list", "carts", "watch --once"),
)


@pytest.mark.parametrize("call", NEED_A_SHOP)
def test_no_command_makes_a_shop_where_none_is(tmp_path: Path, call: str) -> None:
    for folder in (tmp_path / "no folder", tmp_path):
        environ = {"SHOP_INSTANCE": str(folder), "SHOP_DATABASE_URL": ""}
        done = CliRunner().invoke(commands, call.split(), env=environ)
        assert done.exit_code == 1, done.output
        (line,) = done.stderr.splitlines()
        assert f"there is no shop in {folder}" in line
        assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_seed_says_that_it_made_a_shop(tmp_path: Path) -> None:
    shop = RunningShop(tmp_path / "new")
    done = shop.flask("seed")
    assert f"A new shop was made: sqlite:///{shop.database}" in done.stderr
    assert "Next: bin/flask release 1 2" in done.stdout
    assert json.loads(shop.flask("catalog", "list", "--json").stdout)[0]["state"] == "coming soon"


def test_a_file_without_tables_is_no_shop(tmp_path: Path) -> None:
    shop = RunningShop(tmp_path)
    shop.database.touch()
    done = shop.flask("release", "1", check=False)
    assert (done.returncode, "holds no shop" in done.stderr) == (1, True), done


def test_a_server_still_makes_a_shop_and_its_operators_then_find_it(
    open_shop: Callable[..., RunningShop],
) -> None:
    shop = open_shop()
    assert "OST-KILN is released" in shop.flask("release", "2").stdout


def test_a_file_system_without_wal_is_refused_in_a_line(tmp_path: Path) -> None:
    # This way of SQLite's to reach files shares no memory, as that of network file systems.
    database = f"file:{tmp_path}/shop.sqlite3"
    url = URL.create("sqlite", database=database, query={"vfs": "unix-dotfile", "uri": "true"})
    with closing(open_database(url)) as opened, pytest.raises(DatabaseError) as refused:
        opened.engine.connect()
    assert "can't keep a write-ahead log on this file system" in str(refused.value.orig)


def test_a_file_system_that_shares_no_memory_is_refused_in_a_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_SHARED_MEMORY, f"sqlite:///{tmp_path}/shop.sqlite3"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert "can't keep a write-ahead log on this file system" in done.stdout, done.stderr


#: The memory is a file of 32 KB, which can't become as large as that.
_WITHOUT_SHARED_MEMORY = """
import resource, sys
from sqlalchemy import make_url
from sqlalchemy.exc import DatabaseError
from shop.db import open_database
resource.setrlimit(resource.RLIMIT_FSIZE, (16384, resource.RLIM_INFINITY))
try:
    open_database(make_url(sys.argv[1])).engine.connect()
except DatabaseError as error:
    print(error.orig)
"""


@pytest.mark.parametrize("workers", [None, 1])
def test_an_empty_shop_advises_to_fill_it(
    open_shop: Callable[..., RunningShop], workers: int | None
) -> None:
    shop = open_shop(SHOP_DEMO="off", workers=workers)
    eventually(lambda: "Ctrl-C" in "".join(shop.output))
    said = "".join(shop.output)
    assert "There are no products yet" in said and "bin/flask seed" in said
    assert "release 1 2" not in said


@pytest.mark.parametrize("closed", ["instance", "instance/.migrate.lock", "instance/static"])
def test_files_of_another_user_are_named_in_a_line(closed_drop: RunningShop, closed: str) -> None:
    create_app(closed_drop.environ)  # makes what lies there beside the database
    (closed_drop.instance / ".migrate.lock").touch()
    path = closed_drop.instance.parent / closed
    path.chmod(0)
    # root may read everything: without that right it is as any other user.
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [sys.executable, "-P", "-m", "shop.commands", "catalog", "list"]
    environ = {**closed_drop.environ, "PYTHONPATH": str(ROOT)}
    try:
        server = [sys.executable, str(ROOT / "wsgi.py")]
        for program in (server,) if closed == "instance/static" else (command, server):
            done = subprocess.run(
                [*without, *program], env=environ, capture_output=True, text=True, timeout=60
            )
            assert done.returncode in (1, 2)
            (line,) = done.stderr.splitlines()
            assert str(path) in line and "ermission denied" in line
    finally:
        path.chmod(0o700)


@pytest.mark.parametrize("program", ["commands", "server"])
def test_a_disk_that_is_full_is_said_in_a_line(tmp_path: Path, program: str) -> None:
    shop = RunningShop(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _ON_A_FULL_DISK, program],
        env=shop.environ,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    said = {
        "commands": "Error: the database does not answer: SQLite can't keep a write-ahead log",
        "server": f"Error: {tmp_path}/static/",
    }
    assert said[program] in done.stderr
    assert "File too large" in done.stderr or "it is full" in done.stderr


#: So it seems to who may write only small files.
_ON_A_FULL_DISK = """
import resource, runpy, sys
program, sys.argv[1:] = sys.argv[1], []
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
if program == "server":
    runpy.run_path("wsgi.py", run_name="__main__")
else:
    from shop.commands.__main__ import main
    sys.argv.append("seed")
    main()
"""


@pytest.mark.parametrize("command", ["--version", "catalog list", "stock list --json"])
def test_a_disk_that_is_full_of_output_is_said_in_a_line(
    closed_drop: RunningShop, command: str
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "shop.commands", *command.split()],
            env={**closed_drop.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "not all of the output could be written: No space left on device" in done.stderr


# --- What is said ---------------------------------------------------------------------------


def test_release_says_how_many_open_tabs_saw_it(shop: RunningShop) -> None:
    with Tab(shop, Shopper(shop), [1, 2]) as tab, Tab(shop, Shopper(shop), [1]) as other:
        tab.next()
        other.next()
        done = shop.flask("release", "OST-KILN")
        assert done.stdout.splitlines() == [
            "OST-KILN is released",
            "2 open tabs on 1 server saw it",
        ]
    shop.stop()
    said = shop.flask("release", "1").stdout
    assert "No server of this shop is running" in said and str(shop.instance) in said


def test_reset_says_what_it_would_delete(operate: Operate) -> None:
    refused = operate("reset")
    assert refused.exit_code == 2
    assert "2 products, 26 sizes, 0 carts and 0 orders" in refused.output


def test_reset_writes_a_backup_first(closed_drop: RunningShop, operate: Operate) -> None:
    before = closed_drop.stock()
    blocked = closed_drop.instance / "backups"
    blocked.touch()  # no folder can be made there
    refused = operate("reset", "--yes")
    assert (refused.exit_code, "nothing was deleted" in refused.output) == (1, True)
    assert closed_drop.stock() == before
    blocked.unlink()
    done = operate("reset", "--yes")
    (backup,) = [path for path in blocked.iterdir() if path.is_dir() and not path.is_symlink()]
    assert done.output.startswith(f"Backup: {backup}\nThe shop is empty: 2 products")
    assert RunningShop(backup).stock() == before
    assert closed_drop.stock() == {}
    assert operate("reset", "--yes", "--no-backup").output.startswith("The shop is empty")


def test_sell_out_leaves_a_shop_with_orders_alone(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    shopper.add(1)
    assert shopper.buy().location == "/checkout/complete"
    before = drop.sql("SELECT sum(available) FROM items")
    refused = drop.flask("sell-out", "--per-tick", "99999", "--tick-ms", "0", check=False)
    assert refused.returncode == 1 and "--yes" in refused.stderr
    assert drop.sql("SELECT sum(available) FROM items") == before
    drop.flask("sell-out", "--per-tick", "99999", "--tick-ms", "0", "--yes")
    assert drop.sql("SELECT sum(available) FROM items") == [(0,)]


def test_products_are_listed_and_told_from_items(operate: Operate) -> None:
    rows = json.loads(operate("catalog", "list", "--json").output)
    assert [(row["id"], row["sku"], row["state"]) for row in rows] == [
        (1, "OST-TIDELINE", "on sale"),
        (2, "OST-KILN", "on sale"),
    ]
    assert rows[0]["sizes"] == 13
    plain = operate("catalog", "list").output.splitlines()
    assert [line.split()[:2] for line in plain[1:]] == [["1", "OST-TIDELINE"], ["2", "OST-KILN"]]
    items = operate("stock", "list").output.splitlines()
    assert items[0].split()[0] == "ITEM"
    assert items[2].split()[:4] == ["2", "OST-TIDELINE-065", "1", "OST-TIDELINE"]
    unknown = operate("release", "OST-TIDELINE-065")
    assert unknown.exit_code == 2 and "catalog list" in unknown.output


def test_columns_hold_long_names(closed_drop: RunningShop, operate: Operate) -> None:
    long = "EU 42 2/3 wide, for men and women"
    closed_drop.sql("UPDATE items SET size = ?, available = 123456789 WHERE id = 2", long)
    closed_drop.sql("UPDATE items SET sku = ? WHERE id = 3", "OST-TIDELINE-SEVENTY-WIDE-AND-LONG")
    lines = operate("stock", "list").output.splitlines()
    ends = {line.rindex(line.split()[-1]) for line in lines}
    assert len(ends) == 1, lines[:4]
    assert {line[: max(map(len, lines))].count(long) for line in lines} == {0, 1}


# --- Names and numbers ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ost-kiln-095", "OST-Kiln-095", "21"])
def test_items_go_by_sku_in_any_case_or_by_the_number_listed(operate: Operate, name: str) -> None:
    assert re.fullmatch(rf"{KILN}: \d+ -> 20\n", operate("stock", "set", name, "20").output)
    assert f"{KILN}: sold 1, 19 left" in operate("sell", name).output


def test_products_go_by_sku_in_any_case(operate: Operate) -> None:
    assert "OST-KILN was released before" in operate("release", "ost-kiln").output


def test_a_sku_as_it_is_written_goes_before_ids_and_other_cases(
    closed_drop: RunningShop, app: Flask
) -> None:
    closed_drop.sql("UPDATE items SET sku = '3' WHERE id = 2")
    closed_drop.sql("UPDATE items SET sku = 'ost-kiln-095' WHERE id = 4")
    closed_drop.sql("UPDATE items SET sku = 'ÄRMEL-M' WHERE id = 5")
    with app.extensions["shop"].database.reading() as session:
        assert Item.find(session, "3").id == 2
        assert Item.find(session, "ost-kiln-095").id == 4
        assert Item.find(session, KILN).id == 21
        for unknown in ("Ost-Kiln-095", "", "0", "-1", "9" * 30, "²", "%"):
            with pytest.raises(UnknownItem):
                Item.find(session, unknown)
        assert Product.find(session, "Ost-kiln").id == 2
        assert Product.find(session, " OST-KILN ").id == 2
        assert Item.find(session, "ärmel-m").id == 5


def test_an_order_is_found_as_people_write_its_number(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    shopper.add(1)
    shopper.buy()
    ((number,),) = drop.sql("SELECT number FROM orders")
    app = create_app(drop.environ)
    plain = number.replace("-", "")
    with closing(app.extensions["shop"].database) as database, database.reading() as session:
        for written in (number.lower(), plain, plain.lower(), f" {number[:4]} {number[5:]} ",
                        number.replace("-", "\N{EN DASH}"),
                        f"\u2068{number}\u2069\u200b"):  # fmt: skip
            assert Order.find(session, written).number == number
        for other in ("", "-", f"{number}A", number[:-1], f"{number}%"):
            with pytest.raises(UnknownOrder):
                Order.find(session, other)


@pytest.mark.parametrize("count", ["1.5", "x", "1e3", "٣", "", "1 000"])
def test_a_number_that_is_none_is_called_so(operate: Operate, count: str) -> None:
    done = operate("stock", "set", KILN, count)
    assert done.exit_code == 2
    assert f"{count!r} is not a whole number" in done.output
    assert "range" not in done.output


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "0.1", "1e3", "x"])
def test_a_time_that_is_none_is_called_so(operate: Operate, seconds: str) -> None:
    done = operate("watch", "--once", "--interval", seconds)
    assert (done.exit_code, f"{seconds}" in done.output) == (2, True)


def test_what_is_no_text_is_refused_in_a_line(closed_drop: RunningShop, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "shop.commands", "stock", "set"]
    environ = {**closed_drop.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    done = subprocess.run([*command, b"\xff", "1"], env=environ, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1), done.stderr
    with pytest.raises(SettingError, match=r"SHOP_NAME.*UTF-8"):
        load_settings({"SHOP_INSTANCE": str(tmp_path), "SHOP_NAME": "\udcff"})
    with pytest.raises(SettingError, match="SHOP_PORT"):
        load_settings({"SHOP_INSTANCE": str(tmp_path), "SHOP_PORT": "9" * 5000})


# --- Help -----------------------------------------------------------------------------------


def test_help_is_the_shops_own(tmp_path: Path) -> None:
    shop = RunningShop(tmp_path / "none", SHOP_PORT="no number")
    said = shop.flask("--help").stdout

    def ask(*words: str) -> Result:
        return CliRunner().invoke(commands, words, prog_name="bin/flask")

    assert said.startswith("Usage: bin/flask [OPTIONS] COMMAND")
    for flasks in ("--app", "--env-file", "routes", "shell", "Python, Flask"):
        assert flasks not in said
    assert "..." not in said.split("Commands:")[1], "a short help that is cut"
    assert ask("--version").output.startswith("drop-shop, version ")
    assert "Flask" not in ask("--version").output
    assert "Usage: bin/flask stock set" in ask("stock", "set", "--help").output
    assert "Usage: bin/flask carts prune" in ask("carts", "prune", "--help").output
    unknown = ask("routes")
    assert unknown.exit_code == 2 and "Try 'bin/flask --help'" in unknown.output


# --- Settings -------------------------------------------------------------------------------


def test_a_name_that_looks_like_a_setting_and_is_none_is_said(closed_drop: RunningShop) -> None:
    closed_drop.environ["SHOP_CURENCY"] = "EUR"
    done = closed_drop.flask("catalog", "list")
    assert done.stderr == "Warning: SHOP_CURENCY is no setting; did you mean SHOP_CURRENCY?\n"
    closed_drop.start()
    assert "did you mean SHOP_CURRENCY" in "".join(closed_drop.output)


@pytest.mark.parametrize("example", [".env.example", "deploy/shop.env.example"])
def test_every_setting_of_the_examples_is_known(tmp_path: Path, example: str) -> None:
    text = (ROOT / example).read_text()
    names = {line.lstrip("#").partition("=")[0] for line in text.splitlines() if "=" in line}
    names = {name for name in names if name.startswith("SHOP_")}
    assert len(names) > 10
    settings = load_settings({**dict.fromkeys(names, ""), "SHOP_INSTANCE": str(tmp_path)})
    assert settings.unknown == ()


SAME_FOR_ALL = {
    "A=b": {"A": "b"},
    "A=${HOME}$x": {"A": "${HOME}$x"},
    "A='a b ${x} # c'": {"A": "a b ${x} # c"},
    'A="a b ${x}"': {"A": "a b ${x}"},
    "A=a#b": {"A": "a#b"},
    "A=": {"A": ""},
    "A=b\r\nB=c\r\n": {"A": "b", "B": "c"},
    "A=\xa0b\u3000": {"A": "\xa0b\u3000"},
    "# A=b\n; A=c\n\n  A = d  ": {"A": "d"},
    "A=b\nA=c": {"A": "c"},
}


@pytest.mark.parametrize("text", SAME_FOR_ALL)
def test_a_file_of_settings_is_read_as_systemd_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for name in "AB":
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / ".env"
    file.write_bytes(text.encode())
    read = read_environment(file)
    assert {name: read[name] for name in SAME_FOR_ALL[text]} == SAME_FOR_ALL[text]


@pytest.mark.parametrize(
    "line",
    [
        *(r"A=a\b", r"A='a\'b'", 'A="a\\"b"', "A=a # b", "A='a' # b", "A='a'b", "A='a", "A=it's"),
        *("A", "A b", "=b", "1A=b", "A='a\nb'", "export A=b", "\ufeffA=b", "\xa0A=b"),
        *("A=\vb", "A=b\0c", "A=b\x1a"),
    ],
)
def test_a_line_that_programs_understand_differently_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"B=c\n{line}\n")
    with pytest.raises(UnreadableFile, match=f"{file}, line 2: "):
        read_environment(file)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes("A=b\nSHOP_NAME=Café\n".encode("latin-1"))
    with pytest.raises(UnreadableFile, match="line 2: it is not UTF-8"):
        read_environment(file)
    file.unlink()
    file.mkdir()
    with pytest.raises(UnreadableFile, match="can't be used: Is a directory"):
        read_environment(file)


def test_a_secret_key_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_bytes(b"\xe9" * 40)
    with pytest.raises(SettingError, match="the secret_key in it is damaged"):
        load_settings({"SHOP_INSTANCE": str(tmp_path)})


def test_a_command_says_in_a_line_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("SHOP_NAME=Café".encode("latin-1"))
    (tmp_path / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    done = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, str(tmp_path), "stock", "list"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "not UTF-8" in done.stderr


#: The commands of a shop that lies in another folder, with a file .env of its own.
_ELSEWHERE = """
import sys
from pathlib import Path
from shop import config
config.ROOT = Path(sys.argv.pop(1))
from shop.commands.__main__ import main
main()
"""


def test_a_shop_is_copied_to_where_none_is(closed_drop: RunningShop, tmp_path: Path) -> None:
    there = RunningShop(tmp_path / "there")
    source = f"sqlite:///{closed_drop.database}"
    there.flask("db", "copy", "--from", source, "--to", f"sqlite:///{there.database}")
    assert there.stock() == closed_drop.stock()
