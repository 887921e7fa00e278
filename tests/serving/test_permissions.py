"""What lies in the instance folder is the shop's own, whatever the umask."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.running import RunningShop
from tests.support.shopper import Shopper, Tab


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(instance: Path) -> list[str]:
    """Return what others can open in an instance folder, the static files aside."""
    paths = [p for p in instance.rglob("*") if p.relative_to(instance).parts[0] != "static"]
    assert {"shop.sqlite3", "shop.sqlite3-wal", "shop.sqlite3-shm"} <= {p.name for p in paths}
    return [f"{p}: {mode(p):o}" for p in paths if mode(p) & 0o077]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("workers", [None, 2])
def test_all_that_a_first_start_makes_is_closed_to_others(
    tmp_path: Path, workers: int | None
) -> None:
    instance = tmp_path / "made" / "instance"
    shop = RunningShop(instance, workers=workers)
    with umask(0):
        shop.start()
    try:
        shopper = Shopper(shop)
        shopper.get("/")
        with Tab(shop, shopper) as tab:
            tab.next()
            assert mode(instance) == 0o700
            assert open_to_others(instance) == []
    finally:
        shop.end()


def test_a_command_that_makes_the_shop_closes_it_too(tmp_path: Path) -> None:
    shop = RunningShop(tmp_path / "instance", SHOP_DEMO="off")
    with umask(0):
        shop.flask("seed")
    assert mode(shop.instance) == 0o700
    assert mode(shop.database) == 0o600


def test_journals_that_an_earlier_release_left_open_are_closed_at_the_start(
    open_shop: Callable[..., RunningShop], stocked: Path, tmp_path: Path
) -> None:
    instance = Path(shutil.copytree(stocked, tmp_path / "instance"))
    for name in ("shop.sqlite3-wal", "shop.sqlite3-shm"):
        (instance / name).touch()
        (instance / name).chmod(0o644)
    open_shop("instance", SHOP_DEMO="off")
    assert [found for found in open_to_others(instance) if "sqlite3" in found] == []


def test_a_folder_that_an_operator_left_open_is_spoken_of_and_left_alone(
    open_shop: Callable[..., RunningShop], tmp_path: Path
) -> None:
    instance = tmp_path / "instance"
    instance.mkdir(mode=0o755)
    shop = open_shop("instance", SHOP_LOG_LEVEL="WARNING")
    assert mode(instance) == 0o755
    assert any(f"others may look into the folder {instance}" in line for line in shop.output)


def test_a_folder_that_a_web_server_may_pass_through_is_nothing_to_speak_of(
    open_shop: Callable[..., RunningShop], tmp_path: Path
) -> None:
    instance = tmp_path / "instance"
    instance.mkdir()
    instance.chmod(0o711)
    shop = open_shop("instance")
    assert mode(instance) == 0o711
    assert not any("others may" in line for line in shop.output)
