"""Real parts for every test: a server process, a database on disk, a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from shop import create_app
from shop.services import Services
from tests.support.cluster import Cluster
from tests.support.databases import Clusters, Databases, Files, Stage, shop_in
from tests.support.interior import can_be_looked_into
from tests.support.machines.postgresql import PostgreSQL
from tests.support.running import SERVER, RunningShop
from tests.support.servers import SERVERS

# The same examples in every run, however busy the machine is. To look for others:
# bin/test tests/streams/test_framing.py --hypothesis-profile=search
settings.register_profile("suite", derandomize=True, deadline=None, database=None)
settings.register_profile("search", max_examples=20_000, deadline=None, database=None)
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Have Hypothesis keep what it knows of characters with pytest's own cache, if there is one."""
    cache = getattr(config, "cache", None)
    if cache is not None:
        set_hypothesis_home_dir(cache.mkdir("hypothesis"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module that wants it on both databases, unless one says why not."""
    marked = metafunc.definition.get_closest_marker
    if "dbms" in metafunc.fixturenames and marked("both_databases"):
        which = ["sqlite"] if marked("sqlite_only") else ["sqlite", "postgresql"]
        metafunc.parametrize("dbms", which, indirect=True, scope="module")


@pytest.fixture(scope="module")
def dbms(request: pytest.FixtureRequest) -> Databases:
    """Where the shops of a test keep their data."""
    which = getattr(request, "param", "sqlite")
    databases: Databases = request.getfixturevalue(f"on_{which}")
    return databases


@pytest.fixture(scope="session")
def on_sqlite(stocked: Path, released: Path) -> Files:
    """Shops that keep their data in a file."""
    return Files(stocked=stocked, released=released)


@pytest.fixture(scope="session")
def on_postgresql(stocked: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """Shops that keep their data in PostgreSQL. One that doesn't wait for the disk will do."""
    with PostgreSQL() as server:
        yield Clusters(server, tmp_path_factory.mktemp("postgresql"), stocked / "static")


@pytest.fixture
def make_shop(dbms: Databases, tmp_path: Path) -> Iterator[Callable[..., RunningShop]]:
    """Give a function that makes a shop that does not run yet; all are ended afterwards."""
    with ExitStack() as stack:

        def make(stage: Stage, name: str = "instance", **options: object) -> RunningShop:
            shop = shop_in(dbms, tmp_path / name, stage, **options)
            return stack.enter_context(shop)

        yield make


@pytest.fixture
def open_shop(make_shop: Callable[..., RunningShop]) -> Callable[..., RunningShop]:
    """Give a function that starts a shop with the settings it is given, all ended afterwards."""

    def start(
        name: str = "instance",
        main: Path = SERVER,
        stage: Stage = "new",
        **options: Any,
    ) -> RunningShop:
        return make_shop(stage, name, main=main, **options).start()

    return start


@pytest.fixture
def open_cluster(on_postgresql: Clusters, tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Give a function that starts a shop on several servers; see `Cluster`."""
    with ExitStack() as stack:

        def start(servers: int = 2, stage: Stage = "released", **options: object) -> Cluster:
            dump = "" if stage == "new" else on_postgresql.server.dump(stage)
            cluster = Cluster(tmp_path, dump, servers, **options)  # type: ignore[arg-type]
            return stack.enter_context(cluster).start()

        yield start


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance folder with the demo catalogue, coming soon; the same stock in every run.

    Its static files are compressed: a server that finds them starts in half the time.
    """
    shop = RunningShop(tmp_path_factory.mktemp("stocked"), SHOP_DEMO="off")
    shop.flask("seed", "--random-seed", "7")
    services: Services = create_app(shop.environ).extensions["shop"]
    services.database.close()
    return shop.instance


@pytest.fixture(scope="session")
def released(stocked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance folder with the same catalogue after the drop: both products are released."""
    folder = shutil.copytree(stocked, tmp_path_factory.mktemp("released") / "instance")
    RunningShop(folder).flask("release", "1", "2")
    return folder


@pytest.fixture
def shop(open_shop: Callable[..., RunningShop]) -> RunningShop:
    """A shop with the demo catalogue, coming soon."""
    return open_shop(stage="stocked", SHOP_DEMO="off")


@pytest.fixture
def drop(open_shop: Callable[..., RunningShop]) -> RunningShop:
    """The shop after the drop: both products are released."""
    return open_shop(stage="released", SHOP_DEMO="off")


@pytest.fixture
def closed_drop(make_shop: Callable[..., RunningShop]) -> RunningShop:
    """A shop after the drop whose server does not run."""
    return make_shop("released")


@pytest.fixture(scope="module", params=list(SERVERS.values()), ids=list(SERVERS))
def each_server(
    request: pytest.FixtureRequest, released: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningShop]:
    """A shop after the drop behind each server, which can be looked into."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(released, folder / "instance")
    settings = {"SHOP_DEMO": "off", **can_be_looked_into(folder)}
    shop: RunningShop = request.param(folder / "instance", **settings).start()
    yield shop
    shop.end()


@pytest.fixture(scope="module")
def open_drop(dbms: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop after the drop for the tests of a module that leave one another alone."""
    folder = tmp_path_factory.mktemp("open") / "instance"
    with shop_in(dbms, folder, "released", SHOP_DEMO="off") as shop:
        yield shop.start()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", metavar="FOLDER", help="keep the screenshots in this folder")
    parser.addoption("--drills", action="store_true", help="run the drills too, which take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the drills out unless they are asked for."""
    if config.getoption("--drills"):
        return
    drills = [item for item in items if item.get_closest_marker("drill")]
    if drills:
        config.hook.pytest_deselected(items=drills)
        items[:] = [item for item in items if item not in drills]
