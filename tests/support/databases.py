"""A shop's data as of a certain hour, to be had again and again, on either database."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from tests.support.machines.postgresql import PostgreSQL
from tests.support.running import RunningShop

#: `new`: there is nothing. `stocked`: the demo catalogue, coming soon, the same stock in every
#: run. `released`: the same after the drop.
Stage = Literal["new", "stocked", "released"]

#: Servers that share a database share this.
SECRET_KEY = "the key of all the servers of a test"


class Databases(Protocol):
    """Where shops keep their data."""

    def furnished(self, folder: Path, stage: Stage) -> Mapping[str, str]:
        """Put a shop's data into an instance folder, or a database of its own.

        Returns:
            The settings to run the shop with.
        """

    def replace(self, shop: RunningShop, stage: Stage) -> None:
        """Lose the data of a shop that doesn't run, and put others in their place."""

    def put_away(self, settings: Mapping[str, str]) -> None:
        """Let go of what was made for these settings."""


@contextmanager
def shop_in(
    databases: Databases, folder: Path, stage: Stage, **options: object
) -> Iterator[RunningShop]:
    """Give a shop that does not run yet, and leave nothing of it but its folder.

    Args:
        options: what `RunningShop` takes.
    """
    settings = databases.furnished(folder, stage)
    shop = RunningShop(folder, **{**settings, **options})  # type: ignore[arg-type]
    try:
        yield shop
    finally:
        shop.end()
        databases.put_away(settings)


class Files:
    """Shops that keep their data in an SQLite file of their instance folder.

    Args:
        stages: for each stage but the first an instance folder.
    """

    def __init__(self, **stages: Path) -> None:
        self._stages = stages

    def furnished(self, folder: Path, stage: Stage) -> Mapping[str, str]:
        if stage != "new":
            shutil.copytree(self._stages[stage], folder)
        return {}

    def replace(self, shop: RunningShop, stage: Stage) -> None:
        for file in shop.instance.glob(f"{shop.database.name}*"):
            file.unlink()
        shutil.copy(self._stages[stage] / shop.database.name, shop.database)

    def put_away(self, settings: Mapping[str, str]) -> None:
        """Leave the file to the maker of its folder."""


class Clusters:
    """Shops that each keep their data in a database of a PostgreSQL server.

    Args:
        folder: for the commands that fill the shop.
        static: the static files, compressed.
    """

    def __init__(self, server: PostgreSQL, folder: Path, static: Path) -> None:
        self.server = server
        self._static = static
        self._numbers = itertools.count(1)
        self._make_stages(folder)

    def furnished(self, folder: Path, stage: Stage) -> Mapping[str, str]:
        if stage == "new":
            return self._settings(self._name(), "template0")
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copytree(self._static, folder / "static")
        return self._settings(self._name(), stage)

    def replace(self, shop: RunningShop, stage: Stage) -> None:
        self.put_away(shop.environ)
        self.server.create_database(str(shop.database_url.database), stage)

    def put_away(self, settings: Mapping[str, str]) -> None:
        self.server.drop_database(settings["SHOP_DATABASE_URL"].rpartition("/")[2])

    def _make_stages(self, folder: Path) -> None:
        stocked = RunningShop(folder, **self._settings("stocked", "template0"))
        stocked.flask("seed", "--random-seed", "7")
        released = RunningShop(folder, **self._settings("released", "stocked"))
        released.flask("release", "1", "2")

    def _name(self) -> str:
        return f"shop_{next(self._numbers)}"

    def _settings(self, name: str, template: str) -> dict[str, Any]:
        url = self.server.create_database(name, template)
        return {"SHOP_DATABASE_URL": url, "SHOP_SECRET_KEY": SECRET_KEY}
