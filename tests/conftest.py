"""Real parts for every test: a server process, a database on disk, a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running import SERVER, RunningShop


@pytest.fixture
def open_shop(tmp_path: Path) -> Iterator[Callable[..., RunningShop]]:
    """Give a function that starts a shop with the settings it is given, all ended afterwards."""
    shops: list[RunningShop] = []

    def start(name: str = "instance", main: Path = SERVER, **settings: str) -> RunningShop:
        shop = RunningShop(tmp_path / name, main, **settings)
        shops.append(shop)
        return shop.start()

    yield start
    for shop in shops:
        shop.end()


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance folder with the demo catalogue, coming soon; the same stock in every run."""
    shop = RunningShop(tmp_path_factory.mktemp("stocked"), SHOP_DEMO="off")
    shop.flask("seed", "--random-seed", "7")
    return shop.instance


@pytest.fixture(scope="session")
def released(stocked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance folder with the same catalogue after the drop: both products are released."""
    folder = shutil.copytree(stocked, tmp_path_factory.mktemp("released") / "instance")
    RunningShop(folder).flask("release", "1", "2")
    return folder


@pytest.fixture
def shop(stocked: Path, tmp_path: Path, open_shop: Callable[..., RunningShop]) -> RunningShop:
    """A shop with the demo catalogue, coming soon."""
    shutil.copytree(stocked, tmp_path / "instance")
    return open_shop(SHOP_DEMO="off")


@pytest.fixture
def drop(released: Path, tmp_path: Path, open_shop: Callable[..., RunningShop]) -> RunningShop:
    """The shop after the drop: both products are released."""
    shutil.copytree(released, tmp_path / "instance")
    return open_shop(SHOP_DEMO="off")


@pytest.fixture(scope="module")
def open_drop(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop after the drop for the tests of a module that leave one another alone."""
    folder = shutil.copytree(released, tmp_path_factory.mktemp("open") / "instance")
    shop = RunningShop(folder, SHOP_DEMO="off").start()
    yield shop
    shop.end()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", metavar="FOLDER", help="keep the screenshots in this folder")
