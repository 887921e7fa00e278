"""What the tests of several machines stand on: it can be treated badly, and nothing of it stays."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import psutil
import psycopg
import pytest

from tests.support.machines.network import Machine, Network
from tests.support.machines.nginx import Nginx
from tests.support.machines.postgresql import PostgreSQL
from tests.support.machines.redis import Redis
from tests.support.machines.service import Service
from tests.support.running import ROOT, eventually

RELAY = "exec 3<>/dev/tcp/$0/$1; cat <&0 >&3 & exec cat <&3"


class HasDescriptor(Protocol):
    def fileno(self) -> int: ...


def says_something(other: HasDescriptor, seconds: float) -> bool:
    """Tell whether something comes from there in that time, be it the end."""
    return bool(select.select([other], [], [], seconds)[0])


class Line:
    """A connection from a machine to a service, spoken over by hand."""

    def __init__(self, machine: Machine, service: Service) -> None:
        self._process = subprocess.Popen(
            [*machine.enter, "bash", "-c", RELAY, service.host, str(service.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def send(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{text}\r\n".encode())
        self._process.stdin.flush()

    def hears(self, seconds: float) -> bool:
        """Tell whether something comes in that time, be it the end of the connection."""
        assert self._process.stdout
        return says_something(self._process.stdout, seconds)

    def heard(self) -> bytes:
        assert self._process.stdout
        return self._process.stdout.readline()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@pytest.fixture
def network() -> Iterator[Network]:
    with Network("shop", "store") as network:
        yield network


def test_postgresql_keeps_what_was_committed_when_it_is_killed() -> None:
    with PostgreSQL(fsync=True) as postgresql:
        with psycopg.connect(postgresql.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        postgresql.kill()
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(postgresql.url)
        postgresql.start()
        with psycopg.connect(postgresql.url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
        postgresql.kill()
    assert not postgresql.folder.exists()


def test_a_database_is_copied_whole_and_dropped_under_its_users() -> None:
    with PostgreSQL() as postgresql:
        with psycopg.connect(postgresql.create_database("stocked")) as connection:
            connection.execute("CREATE TABLE shelf AS SELECT 12 AS pairs")
        with psycopg.connect(postgresql.create_database("copy", "stocked")) as connection:
            assert connection.execute("SELECT pairs FROM shelf").fetchone() == (12,)
            postgresql.drop_database("copy")
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT pairs FROM shelf")


def test_what_is_frozen_gives_no_answer_and_goes_on_when_thawed() -> None:
    with PostgreSQL() as postgresql, closing(psycopg.connect(postgresql.url)) as connection:
        postgresql.freeze()
        connection.pgconn.send_query(b"SELECT 7")
        assert not says_something(connection, 0.5), "nor do the processes that came of it"
        postgresql.thaw()
        assert says_something(connection, 10)


def test_nginx_reads_another_configuration_while_it_serves() -> None:
    site = "server {{ listen @host@:@port@; location / {{ return 200 {}; }} }}"
    with Nginx(site.format("@word@"), word="first") as nginx:
        answer = lambda: urllib.request.urlopen(nginx.url, timeout=5).read()  # noqa: E731
        assert answer() == b"first"
        nginx.configure(site.format("second"))
        nginx.reload()
        eventually(lambda: answer() == b"second")


def test_a_cut_line_swallows_what_is_sent_and_a_mended_one_delivers_it(network: Network) -> None:
    with Redis(network["store"]) as store, Line(network["shop"], store) as line:
        line.send("PING")
        assert line.heard() == b"+PONG\r\n"
        network.cut("shop", "store")
        with Line(network["shop"], store) as late:
            assert not late.hears(2), "a new connection is not refused"
        line.send("PING")
        assert not line.hears(0.5), "and an old one not ended"
        with store.client() as others:
            assert others.ping(), "and only that line is cut"
        network.mend("shop", "store")
        assert line.hears(10), "what was sent is sent again until it arrives"
        assert line.heard() == b"+PONG\r\n"


def test_machines_that_can_not_be_made_are_a_failure_that_says_why() -> None:
    powerless = ["setpriv", "--bounding-set=-sys_admin,-net_admin"]
    done = subprocess.run(
        [
            *powerless,
            sys.executable,
            "-c",
            f"from {Network.__module__} import Network; Network('a')",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "NoNetwork: machines in network namespaces can't be made here" in done.stderr


DOOMED = """
import json, time
from tests.support.machines.network import Network
from tests.support.machines.nginx import Nginx
from tests.support.machines.postgresql import PostgreSQL
from tests.support.machines.redis import Redis
network = Network("store")
services = [PostgreSQL(network["store"]), Redis(), Nginx("server { listen @host@:@port@; }")]
for service in services:
    service.start()
services[0].freeze()
services[1].freeze()
print(json.dumps([[s.pid, str(s.folder)] for s in services]), flush=True)
time.sleep(600)
"""


def test_nothing_outlives_a_process_that_is_killed() -> None:
    doomed = subprocess.Popen(
        [sys.executable, "-c", DOOMED], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with doomed:
        assert doomed.stdout
        started = json.loads(doomed.stdout.readline())
        of_it = f"shop-{doomed.pid}-"
        assert len(namespaces(of_it)) == 2
        doomed.kill()
    eventually(lambda: not any(psutil.pid_exists(pid) for pid, _ in started))
    eventually(lambda: not any(Path(folder).exists() for _, folder in started))
    eventually(lambda: not namespaces(of_it))


def namespaces(prefix: str) -> list[str]:
    listed = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if line.startswith(prefix)]
