"""A shop on several machines: PostgreSQL, Redis, servers, and their operator."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.support.databases import SECRET_KEY
from tests.support.machines.network import HERE, Machine, Network
from tests.support.machines.nginx import Nginx
from tests.support.machines.postgresql import PostgreSQL
from tests.support.machines.redis import Redis
from tests.support.running import SERVER, RunningShop


class Cluster:
    """Several servers of one shop, and all that they share.

    Args:
        folder: for the instance folders.
        dump: what the database holds, as PostgreSQL dumps it.
        servers: how many.
        apart: whether each server, the database with Redis ("store") and the operator have a
            machine of their own, between which lines can be cut: see `network`. Servers are on
            machines called "server1", "server2" and so on; tests look from "here".
        fsync: whether PostgreSQL waits for the disk.
        main: what each server runs.
        settings: further ones, of all servers and commands.
    """

    def __init__(
        self,
        folder: Path,
        dump: str = "",
        servers: int = 2,
        *,
        apart: bool = False,
        fsync: bool = False,
        main: Path = SERVER,
        **settings: str,
    ) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self._main = main
        self._network: Network | None = None
        try:
            self._make(dump, servers, apart, fsync, settings)
        except BaseException:
            self.end()
            raise

    def _make(
        self, dump: str, servers: int, apart: bool, fsync: bool, settings: dict[str, str]
    ) -> None:
        names = [f"server{number}" for number in range(1, servers + 1)]
        if apart:
            self._network = self._stack.enter_context(Network("store", "operator", *names))
        store = self.machine("store")
        self.postgresql = self._stack.enter_context(PostgreSQL(store, fsync=fsync))
        self.redis = self._stack.enter_context(Redis(store))
        self.settings = {
            "SHOP_DATABASE_URL": self.postgresql.restore(dump, "shop"),
            "SHOP_REDIS_URL": self.redis.url,
            "SHOP_SECRET_KEY": SECRET_KEY,
            **settings,
        }
        self.servers = [self.shop_on(name) for name in names]
        #: runs no server, only commands
        self.operator = self.shop_on("operator")

    @property
    def network(self) -> Network:
        """The lines between the machines of a cluster whose parts are apart."""
        assert self._network is not None, "everything is on one machine"
        return self._network

    @property
    def upstreams(self) -> str:
        """The servers as nginx wants them in an `upstream { … }`."""
        return "\n".join(f"server {server.host}:{server.port};" for server in self.servers)

    def machine(self, name: str) -> Machine:
        """Return the machine with a name: this one if nothing is apart."""
        return self._network[name] if self._network else HERE

    def shop_on(self, name: str, **settings: str) -> RunningShop:
        """Return one more server of the shop, or its operator. It does not run yet.

        Args:
            name: of its machine, and of its instance folder.
        """
        machine = self.machine(name)
        settings = {**self.settings, **settings}
        shop = RunningShop(self._folder / name, self._main, machine, workers=None, **settings)
        self._stack.callback(shop.end)
        return shop

    def start(self) -> Self:
        """Start all servers, at the same time."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(RunningShop.start, self.servers))
        return self

    def put_in_front(self, configuration: str, **values: object) -> Nginx:
        """Start an nginx before the servers, on the machine that tests look from.

        Args:
            configuration: see `Nginx`; `@upstreams@` in it are the servers.
        """
        values = {"upstreams": self.upstreams, **values}
        here = self.machine("here")
        return self._stack.enter_context(Nginx(configuration, here, **values))

    def end(self) -> None:
        """Leave nothing of it."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
