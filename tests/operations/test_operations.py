"""docs/operations.md, its commands done as they stand there; what stands in for what: `Debian`."""

from __future__ import annotations

import http.client
import json
import random
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import pytest

from tests.support.debian import Debian
from tests.support.front import ShopperInFront, TabInFront
from tests.support.machines.postgresql import PostgreSQL
from tests.support.machines.redis import Redis
from tests.support.running import ROOT, eventually

pytestmark = pytest.mark.drill  # releases are installed, and a shop is upgraded under load

DOCUMENT = (ROOT / "docs" / "operations.md").read_text()

#: Two more bytes of style: a release with other static files.
NEWER = {"shop__static__shop.css": "\n/* 1.0.1 */\n"}


def blocks(heading: str) -> list[str]:
    """Return the commands below a heading, up to the next one."""
    section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", DOCUMENT, re.M | re.S)
    assert section, f"there is no {heading!r} in operations.md"
    found = re.findall(r"^```sh\n(.*?)^```", section[1], re.M | re.S)
    assert found, f"there are no commands in {heading!r}"
    return found


def network() -> dict[str, str]:
    """Return a network of this machine's own, in the place of the document's."""
    net = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    hosts = {f"10.0.0.{number}": f"{net}.{number}" for number in (11, 12)}
    return {"127.0.0.1:8000": f"{net}.1:8000", **hosts}


class Store:
    """PostgreSQL and Redis, where the document has them on 10.0.0.10."""

    postgresql_user = "shop"

    def __init__(self, postgresql: PostgreSQL, redis: Redis) -> None:
        at = f"{postgresql.host}:{postgresql.port}"
        self.places = {
            "10.0.0.10:6379": f"{redis.host}:{redis.port}",
            "10.0.0.10/shop": f"{at}/shop",
            "--host=10.0.0.10": f"--host={postgresql.host} --port={postgresql.port}",
        }
        postgresql.create_database("shop")


class Site:
    """nginx of a machine, as browsers reach it."""

    def __init__(self, machine: Debian) -> None:
        self.machine = machine
        self.host, self.port = "127.0.0.1", machine.https

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def tls(self) -> ssl.SSLContext:
        file = self.machine.path("/etc/letsencrypt/live/localhost/fullchain.pem")
        return ssl.create_default_context(cafile=str(file))

    def connect(self, timeout: float = 30) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "localhost", self.port, timeout=timeout, context=self.tls()
        )


class Operator:
    """Works through the document."""

    def __init__(self, machine: Debian) -> None:
        self.machine = machine
        self.site: Any = Site(machine)

    def do(self, *headings: str) -> list[str]:
        """Do the commands below headings, and return what each block prints."""
        return [self.machine.run(block) for heading in headings for block in blocks(heading)]

    def flask(self, *words: str) -> str:
        """Run an operators' command as the document has it."""
        command = "runuser --user shop -- /srv/shop/current/bin/flask "
        return self.machine.run(command + " ".join(words))

    def open_a_drop(self) -> None:
        """Put the demo catalogue into the empty shop, and release it."""
        self.flask("seed", "--random-seed", "7")
        self.flask("release", "1", "2")

    def shopper(self) -> ShopperInFront:
        return ShopperInFront(self.site)

    def tab(self, shopper: ShopperInFront) -> TabInFront:
        tab = TabInFront(self.site, shopper, [1])
        tab.next()
        return tab

    def orders(self) -> int:
        return self.flask("orders", "list", "--json").count('"number"')


INSTALLATION = (
    "1. Folders and a user",
    "2. A release",
    "3. Settings",
    "4. Start",
    "5. nginx",
)


@pytest.fixture
def operator() -> Iterator[Operator]:
    """An operator who has one machine, with nothing on it yet."""
    with Debian(network()) as machine:
        machine.receive_release("1.0.0")
        machine.receive_release("1.0.1", **NEWER)
        yield Operator(machine)


@pytest.fixture
def installed(operator: Operator) -> Operator:
    operator.do(*INSTALLATION)
    operator.open_a_drop()
    return operator


@pytest.fixture
def store() -> Iterator[Store]:
    """The machine 10.0.0.10."""
    with PostgreSQL() as postgresql, Redis() as redis:
        with redis.client() as client:
            client.config_set("requirepass", "password")
        yield Store(postgresql, redis)


@pytest.fixture
def two(store: Store) -> Iterator[list[Operator]]:
    """An operator who has two machines, with a shop on the first one alone."""
    places = {**network(), **store.places}
    with ExitStack() as stack:
        machines = [
            stack.enter_context(Debian(places, PGUSER=store.postgresql_user)) for _ in range(2)
        ]
        for machine in machines:
            machine.receive_release("1.0.0")
            machine.receive_release("1.0.1", **NEWER)
        first, second = map(Operator, machines)
        first.do(*INSTALLATION)
        first.open_a_drop()
        yield [first, second]


def buy(operator: Operator, item_id: int) -> ShopperInFront:
    shopper = operator.shopper()
    assert shopper.add(item_id, hx=True).status == 200
    assert shopper.buy().location == "/checkout/complete"
    return shopper


def test_a_shop_is_installed_on_one_machine(operator: Operator) -> None:
    said = operator.do(*INSTALLATION)
    assert "ok\n" in said
    assert operator.machine.systemd.enabled == {
        "shop.socket",
        "shop.service",
        "shop-backup.timer",
    }
    assert "There are no products yet" in said[-2]
    operator.open_a_drop()
    shopper = operator.shopper()
    shopper.get("/")
    with operator.tab(shopper) as tab:
        shopper.add(1, hx=True)
        tab.until(lambda tab: tab.cart == [1])
    assert (operator.machine.path("/var/lib/shop").stat().st_mode & 0o777) == 0o711


def test_an_upgrade_on_one_machine_loses_no_request_and_no_tab(installed: Operator) -> None:
    buy(installed, 2)
    shopper = installed.shopper()
    assert shopper.add(3, hx=True).status == 200
    tab = installed.tab(shopper)
    style = "/* 1.0.1 */"
    assert style not in shopper.get(style_of(shopper)).text
    ready, backup, switch = blocks("Upgrading")
    installed.machine.run(ready)
    installed.machine.run(backup)
    with Visitors(installed) as visitors:
        installed.machine.run(switch)
    print(
        f"\nan upgrade: {len(visitors.seconds)} requests meanwhile, "
        f"the longest took {max(visitors.seconds):.1f} s"
    )
    assert visitors.failures == []
    assert len(visitors.seconds) > 5
    assert style in shopper.get(style_of(shopper)).text
    wait_for_its_end(tab)
    with installed.tab(shopper) as again:
        assert again.cart == [3]
    assert installed.orders() == 1
    assert len(list(installed.machine.path("/var/backups/shop").glob("2*"))) == 1


def test_a_backup_brings_back_what_was(installed: Operator) -> None:
    shopper = buy(installed, 2)
    assert shopper.add(8, hx=True).status == 200
    made, *_ = installed.do("Backup and restore")
    assert re.search(r"^\d{4}-", made, re.M)
    buy(installed, 5)
    assert shopper.add(6, hx=True).status == 200
    assert installed.orders() == 2
    tab = installed.tab(shopper)
    before = version_of(tab)
    tab.close()
    installed.do("Back to a backup: one machine")
    assert installed.orders() == 1
    assert shopper.cart() == [8]
    with installed.tab(shopper) as again:
        assert again.cart == [8]
        assert version_of(again) > before  # so the open page believes it


class Visitors:
    """People who look and put things into their carts, one request after another."""

    def __init__(self, operator: Operator) -> None:
        self.seconds: list[float] = []
        self.failures: list[object] = []
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._visit, args=(operator.shopper(), number))
            for number in range(4)
        ]

    def _visit(self, shopper: ShopperInFront, number: int) -> None:
        while not self._over.wait(0.02):
            started = time.monotonic()
            try:
                for answer in (shopper.get("/"), shopper.add(10 + number, hx=True)):
                    if answer.status not in (200, 409):
                        self.failures.append((answer.status, answer.text[-300:]))
            except Exception as error:
                self.failures.append(error)
            self.seconds.append(time.monotonic() - started)

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def version_of(tab: TabInFront) -> int:
    found = re.search(r'id="cart"[^>]* data-version="(\d+)"', tab.shown["cart"])
    assert found
    return int(found[1])


def wait_for_its_end(tab: TabInFront) -> None:
    try:
        while True:
            tab.next(15)
    except EOFError:
        tab.close()


def style_of(shopper: ShopperInFront) -> str:
    found = re.search(r'href="(/static/[^"]+/shop\.css)"', shopper.get("/").text)
    assert found
    return found[1]


def test_one_machine_becomes_two_and_nobody_loses_anything(two: list[Operator]) -> None:
    first, second = two
    buy(first, 2)
    shopper = first.shopper()
    assert shopper.add(8, hx=True).status == 200
    tab = first.tab(shopper)
    become_two(first, second)
    wait_for_its_end(tab)
    assert first.orders() == second.orders() == 1
    moved = time.time()
    assert shopper.cart() == [8]
    assert shopper.add(3, hx=True).status == 200
    tabs = [first.tab(shopper) for _ in range(4)]
    second.flask("stock", "set", "OST-TIDELINE-095", "0")
    for each in tabs:
        each.until(lambda tab: tab.level(1, 8) == "out" and tab.cart == [3, 8])
        each.close()
    eventually(lambda: shopper.get("/").status == 200 and servers_in_use(first, moved) == 2)


def test_an_upgrade_of_two_servers_is_noticed_by_nobody(two: list[Operator]) -> None:
    first, second = two
    become_two(first, second)
    ready, _, switch = blocks("Upgrading")
    with Visitors(first) as visitors:
        for operator, address in ((first, "10.0.0.11"), (second, "10.0.0.12")):
            operator.machine.run(ready)
            operator.machine.run(switch.replace("127.0.0.1:8000", f"{address}:8000"))
            eventually(lambda: servers_in_use(first, time.time() - 2) == 2, 30)
    print(
        f"\nan upgrade of two servers: {len(visitors.seconds)} requests meanwhile, the longest "
        f"took {max(visitors.seconds):.1f} s"
    )
    assert visitors.failures == []
    shopper = first.shopper()
    for _ in range(4):
        assert "/* 1.0.1 */" in shopper.get(style_of(shopper)).text


def test_a_backup_of_postgresql_brings_back_what_was(two: list[Operator]) -> None:
    first, second = two
    become_two(first, second)
    shopper = buy(first, 2)
    assert shopper.add(8, hx=True).status == 200
    first.do("Backup and restore")
    buy(first, 5)
    assert shopper.add(6, hx=True).status == 200
    for operator in two:
        operator.machine.run("systemctl stop shop.service")
    restore, start = blocks("Back to a backup: PostgreSQL")
    first.machine.run(restore)
    for operator in two:
        operator.machine.run(start)
    eventually(lambda: shopper.get("/").status == 200, 20)
    assert second.orders() == 1
    assert shopper.cart() == [8]


def become_two(first: Operator, second: Operator) -> None:
    """Move to PostgreSQL and Redis, and add a server, as the document says."""
    first.do("From one machine to several")
    second.do("1. Folders and a user", "2. A release")
    settings = first.machine.path("/etc/shop/shop.env").read_text()
    copied = settings.replace(str(first.machine.root), str(second.machine.root))
    second.machine.path("/etc/shop/shop.env").write_text(copied)
    server, proxy = blocks("A further server")
    second.machine.run(server)
    first.machine.run(proxy)
    # nginx reads its configuration in its own time.
    eventually(lambda: first.shopper().get("/").status == 200, 20)


def servers_in_use(operator: Operator, since: float) -> int:
    """Count the servers that nginx has had answers from since then, as it wrote down."""
    lines = operator.machine.path("/var/log/nginx/shop.log").read_text().splitlines()
    found = set()
    for line in map(json.loads, lines):
        if datetime.fromisoformat(line["time"]).timestamp() >= since and line["status"] == 200:
            found.add(line["server"].rpartition(", ")[2])
    return len(found - {""})
