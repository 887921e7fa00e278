"""A real shop for tests: a server process of its own, on a port and in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from sqlalchemy.engine import URL, make_url

from shop.db.postgresql import POLL, POLL_WITH_RELAY
from tests.support import preloaded
from tests.support.machines import guardian, processes
from tests.support.machines.network import HERE, Machine
from tests.support.machines.service import free_port
from tests.support.preloaded import HURRIED, ROOT, SERVER

__all__ = ["HURRIED", "ROOT", "SERVER", "NeverHappened", "RunningShop", "eventually", "listens"]


T = TypeVar("T")


class NeverHappened(AssertionError):
    """What was waited for did not come."""


def eventually(ask: Callable[[], T], seconds: float = 30.0, every: float = 0.02) -> T:
    """Ask again and again until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise NeverHappened(f"{ask} was not true within {seconds} s: {answer!r}")
        time.sleep(every)


def listens(port: int) -> bool:
    """Tell whether anything listens on a port of 127.0.0.1."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class RunningShop:
    """A serving shop, and the operators' commands beside it, on this machine or another one."""

    #: what it says when it is open
    greeting = r"open at http://"

    def __init__(
        self,
        instance: Path,
        main: Path = SERVER,
        machine: Machine = HERE,
        *,
        workers: int | None = None,
        **settings: str,
    ) -> None:
        self.instance = instance
        self.command = [*machine.enter, sys.executable, str(main)]
        if workers is not None:
            self.command += ["--workers", str(workers)]
        self.machine = machine
        self.host = machine.address
        self.port = free_port()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SHOP_", "FLASK_"))}
        self.environ = {
            **inherited,
            "SHOP_INSTANCE": str(instance),
            "SHOP_HOST": self.host,
            "SHOP_PORT": str(self.port),
            **settings,
        }
        self.process: subprocess.Popen[str] | None = None
        self.output: list[str] = []

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def database(self) -> Path:
        """The file of a shop that keeps its data in one."""
        return self.instance / "shop.sqlite3"

    @property
    def database_url(self) -> URL:
        named = self.environ.get("SHOP_DATABASE_URL")
        return make_url(named) if named else URL.create("sqlite", database=str(self.database))

    @property
    def secret_key(self) -> str:
        """What it signs cookies with."""
        return self.environ.get("SHOP_SECRET_KEY") or (self.instance / "secret_key").read_text()

    @property
    def on_sqlite(self) -> bool:
        return self.database_url.get_backend_name() == "sqlite"

    def start(self, pass_fds: Sequence[int] = ()) -> RunningShop:
        """Start the server and wait until it says that it is open."""
        self.process = preloaded.start(
            self.command,
            self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=pass_fds,
        )
        self._ended = guardian.watch(self.process.pid)
        opened = threading.Event()
        threading.Thread(target=self._read, args=(self.process, opened), daemon=True).start()
        while not opened.wait(0.05):
            if self.process.poll() is not None:
                raise NeverHappened("the shop did not open:\n" + "".join(self.output))
        return self

    def _read(self, process: subprocess.Popen[str], opened: threading.Event) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output.append(line)
            if re.search(self.greeting, line):
                opened.set()
        process.stdout.close()

    def stop(self) -> int:
        """End the server as an operator does, and return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(15)
        self._ended()
        return status

    def kill(self) -> None:
        """End the server, with all its workers, as a power cut does."""
        assert self.process is not None
        processes.kill(self.process.pid)
        self.process.wait(15)
        self._ended()

    def freeze(self) -> None:
        """Stop the server, with all its workers, in its tracks."""
        assert self.process is not None
        processes.freeze(self.process.pid)

    def thaw(self) -> None:
        """Let the server go on where it was frozen."""
        assert self.process is not None
        processes.thaw(self.process.pid)

    def workers(self) -> list[int]:
        """Return the pids of the server's workers."""
        assert self.process is not None
        pid = self.process.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    def end(self) -> None:
        """See to it that nothing of it is left."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def flask(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run an operators' command in a process of its own, from the outset.

        Returns when every page that is asked for from now on shows what was changed.
        """
        env = {**self.environ, "PYTHONPATH": str(ROOT)}
        done = preloaded.run(self._command(*args), env, 60)
        self._until_seen()
        if check and done.returncode:
            raise AssertionError(f"flask {' '.join(args)}: {done.stdout}{done.stderr}")
        return done

    def start_flask(self, *args: str) -> subprocess.Popen[str]:
        """Start an operators' command that runs while the test goes on."""
        env = {**self.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return preloaded.start(self._command(*args), env, **pipes, text=True)

    def _command(self, *args: str) -> list[str]:
        return [*self.machine.enter, sys.executable, "-P", "-m", "shop.commands", *args]

    def stock(self) -> dict[int, dict[str, Any]]:
        """Return what `stock list` says, by item id."""
        rows = json.loads(self.flask("stock", "list", "--json").stdout)
        return {row["id"]: row for row in rows}

    def orders(self) -> list[dict[str, Any]]:
        """Return what `orders list` says."""
        found: list[dict[str, Any]] = json.loads(self.flask("orders", "list", "--json").stdout)
        return found

    def sql(self, statement: str, *values: object) -> list[Any]:
        """Have a statement done on the database by another process than the server.

        Returns when every page that is asked for from now on shows what was changed.

        Args:
            statement: in words that both databases know, `?` for each of the values.
        """
        if not self.on_sqlite:
            statement = statement.replace("%", "%%").replace("?", "%s")
        with closing(self.connect()) as connection:
            done = connection.execute(statement, values)
            if done.description:
                return list(done.fetchall())
        self._until_seen()
        return []

    def _until_seen(self) -> None:
        """Wait until servers know of what another process has committed."""
        if not self.on_sqlite:  # pages may be that old when nobody tells of a change
            time.sleep(POLL_WITH_RELAY if "SHOP_REDIS_URL" in self.environ else POLL)

    def empty_books(self) -> None:
        """Delete what the database refuses to delete, so that orders and items can be deleted."""
        for table in ("movements", "order_changes"):
            if self.on_sqlite:
                self.sql(f"DROP TRIGGER IF EXISTS keep_{table}_delete")
            else:
                self.sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            self.sql(f"DELETE FROM {table}")
        for table in ("mails", "customer_keys"):
            self.sql(f"DELETE FROM {table}")

    def sku(self, item_id: int) -> str:
        """Return an item's sku."""
        return str(self.sql("SELECT sku FROM items WHERE id = ?", item_id)[0][0])

    def connect(self) -> Any:
        """Open the shop's database as another process would; each statement is for itself.

        Returns:
            A connection of `sqlite3` or of `psycopg`.
        """
        if self.on_sqlite:
            return sqlite3.connect(self.database, timeout=10, isolation_level=None)
        url = self.database_url.set(drivername="postgresql")
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)

    @contextmanager
    def writers_held_up(self, after: str = "SELECT 1") -> Iterator[None]:
        """Hold what every writer has to wait for, and no reader; right after having committed."""
        with closing(self.connect()) as other:
            other.execute(after)
            if self.on_sqlite:
                other.execute("BEGIN IMMEDIATE")
            else:
                other.execute("BEGIN")
                other.execute("LOCK TABLE carts, items, orders IN EXCLUSIVE MODE")
            yield
            other.execute("ROLLBACK")

    def page(self, path: str = "/") -> str:
        """Return a page as a visitor without cookies gets it."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            text: str = answer.read().decode()
            return text
