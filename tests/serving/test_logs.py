"""The log: every line is one, says which request it is of, and nothing of who was asking."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shop.logs import Json, Lines, describe, log_answer, request_id
from tests.support.machines.postgresql import PostgreSQL
from tests.support.running import ROOT, RunningShop, eventually
from tests.support.shopper import BUYER, Shopper, SocketTab, Tab

OpenShop = Callable[..., RunningShop]


def lines(shop: RunningShop) -> list[dict[str, Any]]:
    """Return the lines of the log so far; what the shop tells people isn't JSON."""
    return [json.loads(line) for line in shop.output if line.startswith("{")]


def line_of(shop: RunningShop, request_id: str) -> dict[str, Any]:
    """Wait for the line of an answered request."""

    def found() -> list[dict[str, Any]]:
        answered = (line for line in lines(shop) if line["message"] == "answered")
        return [line for line in answered if line["request_id"] == request_id]

    (line,) = eventually(found)
    return line


# --- Lines and ids --------------------------------------------------------------------------


def test_every_request_has_one_line_under_the_id_that_its_answer_carries(
    drop: RunningShop,
) -> None:
    answer = Shopper(drop).get("/products/OST-KILN?from=a+letter")
    line = line_of(drop, answer.headers["X-Request-Id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert 0 < line.pop("ms") < 5000
    assert line == {
        "level": "INFO",
        "logger": "shop.web.requests",
        "message": "answered",
        "request_id": answer.headers["X-Request-Id"],
        "method": "GET",
        "route": "/products/<path:sku>",
        "status": 200,
    }


def test_an_id_is_of_one_request_alone_however_many_run_at_once(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    assert shopper.token
    with closing(drop.connect()) as other, ThreadPoolExecutor(1) as hand:
        other.execute("BEGIN IMMEDIATE")
        adding = hand.submit(shopper.add, 1, hx=True)
        ids = [Shopper(drop).get("/cart").headers["X-Request-Id"] for _ in range(20)]
        other.execute("ROLLBACK")
        ids.append(adding.result(10).headers["X-Request-Id"])
    assert len(set(ids)) == 21
    assert {line_of(drop, i)["route"] for i in ids[:-1]} == {"/cart"}
    assert line_of(drop, ids[-1])["route"] == "/cart/items"


def test_a_tab_has_its_line_when_it_opens_and_none_when_it_leaves(drop: RunningShop) -> None:
    with Tab(drop) as tab:
        tab.next()
        assert line_of(drop, tab.headers["x-request-id"])["status"] == 200
    with SocketTab(drop, products=[1]) as socket:
        socket.next()
        eventually(lambda: [line for line in lines(drop) if line.get("route") == "/socket"])
    assert drop.stop() == 0
    asked = [line["route"] for line in lines(drop) if "route" in line]
    assert asked == ["/stream", "/socket"]


def test_what_machines_ask_for_every_few_seconds_has_no_line(drop: RunningShop) -> None:
    css = re.search(r'href="(/static/[^"]+\.css)"', Shopper(drop).get("/").text)
    assert css
    for path in ("/healthz", "/readyz", "/metrics", css[1]):
        assert Shopper(drop).get(path).status == 200
    last = Shopper(drop).get("/cart").headers["X-Request-Id"]
    assert line_of(drop, last)
    assert [line["route"] for line in lines(drop)] == ["/", "/cart"]


@pytest.fixture(scope="module")
def behind_a_proxy(
    released: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningShop]:
    shop = RunningShop(tmp_path_factory.mktemp("proxied"), SHOP_HTTPS="on").start()
    yield shop
    shop.end()


def test_a_trusted_proxy_names_the_request(behind_a_proxy: RunningShop) -> None:
    answer = Shopper(behind_a_proxy).get("/cart", X_Request_Id="7f3a.from_the-proxy~1")
    assert answer.headers["X-Request-Id"] == "7f3a.from_the-proxy~1"
    assert line_of(behind_a_proxy, "7f3a.from_the-proxy~1")


@pytest.mark.parametrize("name", ["short", "x" * 65, "kim@example.com", "a b c d e f", "äöüäöüäö"])
def test_a_name_that_is_not_well_formed_is_not_taken(
    behind_a_proxy: RunningShop, name: str
) -> None:
    answer = Shopper(behind_a_proxy).get("/cart", X_Request_Id=name)
    assert re.fullmatch(r"[\w-]{16}", answer.headers["X-Request-Id"])


def test_nobody_else_names_a_request(open_drop: RunningShop) -> None:
    answer = Shopper(open_drop).get("/cart", X_Request_Id="7f3a-from-anybody")
    assert answer.headers["X-Request-Id"] != "7f3a-from-anybody"


# --- The form of the lines ------------------------------------------------------------------

TROUBLES = """
from gevent import monkey; monkey.patch_all()
import logging, sys, threading, warnings, gevent
from shop.config import load_settings
from shop.logs import configure_logging
configure_logging(load_settings())
log = logging.getLogger("shop.test")
log.info("quiet %s", "word", extra={"count": 3})
log.warning("loud word")
logging.getLogger("library").info("chatter")
warnings.warn("old ways")
def fail():
    raise ZeroDivisionError("one by zero")
gevent.spawn(fail).join()
thread = threading.Thread(target=fail); thread.start(); thread.join()
fail()
"""


def troubles(stderr: int, **settings: str) -> int:
    """Run a program that meets all kinds of trouble, and return its exit status."""
    return subprocess.call(
        [sys.executable, "-c", TROUBLES],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("SHOP_")} | settings,
        stderr=stderr,
        timeout=60,
    )


def test_whatever_happens_every_line_is_json_where_no_terminal_is(tmp_path: Path) -> None:
    file = tmp_path / "stderr"
    with file.open("wb") as stderr:
        assert troubles(stderr.fileno(), SHOP_INSTANCE=str(tmp_path)) == 1
    told = [json.loads(line) for line in file.read_text().splitlines()]
    assert {"message": "quiet word", "count": 3}.items() <= told[0].items()
    assert told[1]["message"] == "loud word"
    assert "old ways" in told[2]["message"]
    failed = [line["message"] for line in told[3:]]
    assert failed == ["a greenlet failed", "a thread failed", "the program failed"]
    for line in told[3:]:
        assert "ZeroDivisionError: one by zero" in line["exception"]
        assert "in fail" in line["exception"]


def test_on_a_terminal_lines_are_short_and_only_of_trouble(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    with open(master, "rb", buffering=0) as terminal:
        assert troubles(slave, SHOP_INSTANCE=str(tmp_path)) == 1
        os.close(slave)
        told = read_all(terminal)
    assert "quiet" not in told and "{" not in told
    assert re.search(r"^\d\d:\d\d:\d\d WARNING shop\.test: loud word\r$", told, re.M)


@pytest.mark.parametrize(("level", "told"), [("ERROR", False), ("WARNING", True)])
def test_the_log_level_is_a_setting(tmp_path: Path, level: str, told: bool) -> None:
    file = tmp_path / "stderr"
    with file.open("wb") as stderr:
        troubles(stderr.fileno(), SHOP_INSTANCE=str(tmp_path), SHOP_LOG_LEVEL=level)
    assert "quiet" not in file.read_text()
    assert ("loud" in file.read_text()) is told


def read_all(terminal: Any) -> str:
    found = b""
    try:
        while data := terminal.read(65536):
            found += data
    except OSError:  # nobody has it open any more
        pass
    return found.decode()


# --- Nothing personal -----------------------------------------------------------------------

#: How the database can fail at the very last moment of a purchase.
FAILURES = {
    "a rule": (
        "CREATE TRIGGER failing BEFORE INSERT ON order_lines BEGIN SELECT RAISE(ABORT, 'no'); END"
    ),
    "a table": "DROP TABLE order_lines",
    "a column": "ALTER TABLE orders RENAME COLUMN address TO somewhere",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_purchase_that_fails_in_the_database_leaves_no_trace_of_the_buyer(
    drop: RunningShop, failure: str
) -> None:
    shopper = Shopper(drop)
    shopper.add(1)
    form = shopper.checkout_form()
    drop.sql(FAILURES[failure])
    answer = shopper.buy(form)
    assert answer.status in (500, 503)
    assert line_of(drop, answer.headers["X-Request-Id"])["status"] == answer.status
    assert len(lines(drop)) > len({line["request_id"] for line in lines(drop)}), "it was told"
    assert not traces(drop, shopper)


def test_no_trace_is_left_of_what_was_typed_anywhere(drop: RunningShop) -> None:
    shopper = Shopper(drop)
    shopper.get("/kim@example.com/Kim%20Vale?q=Harbour")
    shopper.get("/products/kim@example.com")
    shopper.post("/cart/items", {"item_id": "Kim Vale"})
    shopper.post("/cart/items/kim@example.com/remove")
    shopper.send("VALE", "/", {"User-Agent": "kim@example.com"})
    shopper.add(1)
    shopper.buy(typed={"email": "kim@example", "address": "Harbour"})
    shopper.buy([("purchase", "Vale"), ("seen", "Kim")])
    with drop.connect() as other:
        other.execute("DROP TABLE carts")
    answer = shopper.add(2)
    assert answer.status == 503
    assert line_of(drop, answer.headers["X-Request-Id"])
    assert not traces(drop, shopper)


def traces(shop: RunningShop, shopper: Shopper) -> set[str]:
    """Return what the log tells of a shopper and should not."""
    told = "".join(line for line in shop.output if line.startswith("{"))
    typed = [word for text in BUYER.values() for word in re.findall(r"\w{4,}", text)]
    cookies = [part for text in shopper.cookies.values() for part in re.findall(r"\w{12,}", text)]
    secret = [*typed, *cookies, "Kim", "127.0.0.1", shopper.token]
    secret += [cart_id for (cart_id,) in carts(shop)]
    return {word for word in secret if word in told}


def carts(shop: RunningShop) -> list[Any]:
    tables = [name for (name,) in shop.sql("SELECT name FROM sqlite_master")]
    return shop.sql("SELECT id FROM carts") if "carts" in tables else []


def test_postgresqls_words_on_a_row_are_not_repeated() -> None:
    table = "CREATE TABLE t (name text CHECK (length(name) > 99), number integer)"
    with PostgreSQL() as server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(table)
        with pytest.raises(psycopg.errors.CheckViolation, match="kim@example") as refused:
            connection.execute("INSERT INTO t VALUES ('kim@example.com', 1)")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="Vale") as misread:
            connection.execute("SELECT 'Kim Vale'::integer")
    assert describe(refused.value) == "psycopg.errors.CheckViolation: 23514 t_name_check"
    assert describe(misread.value) == "psycopg.errors.InvalidTextRepresentation: 22P02"


def test_words_are_told_only_of_exceptions_that_can_not_repeat_what_was_typed() -> None:
    assert describe(AttributeError("no such thing")) == "AttributeError: no such thing"
    assert describe(ConnectionRefusedError(111, "refused")).endswith("[Errno 111] refused")
    for error in (KeyError("kim"), ValueError("kim"), UnicodeError("kim"), Exception("kim")):
        assert describe(error) == type(error).__name__


def test_an_exception_among_a_lines_words_is_described_as_well() -> None:
    record = logging.makeLogRecord({"msg": "it failed: %s", "args": (ValueError("kim"),)})
    assert json.loads(Json().format(record))["message"] == "it failed: ValueError"


def test_the_line_of_an_answer_is_the_one_that_the_log_itself_would_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = StringIO()
    handler = Lines(written)
    handler.setFormatter(Json())
    monkeypatch.setattr(logging.root, "handlers", [handler])
    logger = logging.getLogger("shop.test")
    monkeypatch.setattr(logger, "level", logging.INFO)
    token = request_id.set("an-id-of-a-request")
    log_answer(logger, "GET", "/products/<sku>", 200, 1.25)
    extra = {"method": "GET", "route": "/products/<sku>", "status": 200, "ms": 1.25}
    logger.info("answered", extra=extra)
    request_id.reset(token)
    ours, its = (json.loads(line) for line in written.getvalue().splitlines())
    assert list(ours) == list(its)
    del ours["time"], its["time"]
    assert ours == its
