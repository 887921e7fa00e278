"""Static files of several releases in one folder: each is there for as long as it is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.clocks import clock_off_by
from tests.support.running import ROOT, RunningShop
from tests.support.shopper import Shopper

DAY = 24 * 3600


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two releases, which differ by their styles: those are all that they have of static files."""
    others = shutil.ignore_patterns("*.js", "*.svg", "*.woff2", "LICENSE*")
    made = []
    for number in range(2):
        root = tmp_path_factory.mktemp("release")
        shutil.copytree(ROOT / "shop", root / "shop", ignore=others)
        shutil.copytree(ROOT / "examples", root / "examples")
        shutil.copy(ROOT / "wsgi.py", root)
        with (root / "shop" / "static" / "shop.css").open("a") as style:
            style.write(f"/* release {number} */\n")
        made.append(root / "wsgi.py")
    return made


@contextmanager
def serving(release: Path, instance: Path, **environ: str) -> Iterator[RunningShop]:
    shop = RunningShop(instance, release, SHOP_DEMO="off")
    shop.environ |= environ
    try:
        yield shop.start()
    finally:
        shop.end()


def style_of(shop: RunningShop) -> str:
    """Return the address of a release's own style."""
    found = re.search(r'href="(/static/\w+/shop\.css)"', Shopper(shop).get("/").text)
    assert found
    return found[1]


def later(days: int) -> dict[str, str]:
    """Return the settings of a process that starts so many days later, by every clock."""
    return {
        **clock_off_by(days * DAY),
        "FAKETIME_DONT_FAKE_MONOTONIC": "0",
        "DONT_FAKE_MONOTONIC": "0",
    }


def starts(release: Path, shop: RunningShop, **environ: str) -> None:
    """Have a process of a release put its files in place and tidy old ones, as a start does."""
    subprocess.run(
        [sys.executable, "-c", _STARTS, shop.instance / "static"],
        env={**shop.environ, **environ},
        cwd=release.parent,
        check=True,
    )


#: What making the app does with static files, without all the rest of it.
_STARTS = """
import sys
from pathlib import Path
from flask import Flask
from shop.serving.assets import install_assets
install_assets(Flask("shop"), Path("shop/static"), Path(sys.argv[1]))
"""


def test_a_releases_files_are_kept_for_a_week_after_another_took_its_place(
    releases: list[Path], tmp_path: Path
) -> None:
    old, new = releases
    with serving(old, tmp_path) as shop:
        files = tmp_path / style_of(shop).lstrip("/")
        months_ago = time.time() - 60 * DAY  # it served for that long
        os.utime(files.parent, (months_ago, months_ago))
    starts(new, shop)
    assert files.exists(), "pages of it may be open"
    starts(new, shop, **later(6))
    assert files.exists()
    starts(new, shop, **later(8))
    assert not files.parent.exists()
    assert len(list((tmp_path / "static").iterdir())) == 1


def test_a_clock_that_is_wrong_deletes_nothing(releases: list[Path], tmp_path: Path) -> None:
    old, new = releases
    shop = RunningShop(tmp_path)
    starts(old, shop)
    for years in (0, 9, -9):
        starts(new, shop, **clock_off_by(years * 365 * DAY))
    assert len(list((tmp_path / "static").glob("[0-9a-f]*"))) == 2


def test_a_release_that_still_serves_has_its_files_however_long(
    releases: list[Path], tmp_path: Path
) -> None:
    old, new = releases
    with serving(old, tmp_path) as shop:
        style = style_of(shop)
        for days in (0, 8, 16):
            starts(new, shop, **later(days))
            assert Shopper(shop).get(style).status == 200
    starts(new, shop, **later(24))
    assert not (tmp_path / style.lstrip("/")).exists()


def test_a_release_that_is_gone_back_to_is_superseded_no_more(
    releases: list[Path], tmp_path: Path
) -> None:
    old, new = releases
    shop = RunningShop(tmp_path)
    for release, days in ((old, 0), (new, 0), (old, 6), (new, 8), (new, 14)):
        starts(release, shop, **later(days))
    assert len(list((tmp_path / "static").glob("[0-9a-f]*"))) == 2
