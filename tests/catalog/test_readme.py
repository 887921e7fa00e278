"""The README's way from a clone to an operator's own shoes on sale, done as it is told."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.support.machines.service import free_port
from tests.support.running import ROOT, eventually

HANDLES = ("tide", "gale", "storm")
HEADINGS = (
    "Handle,Title,Body (HTML),Vendor,Published,Option1 Name,Option1 Value,Variant SKU,"
    "Variant Price,Variant Inventory Qty,Variant Inventory Policy,Image Src,Image Position"
)


def told() -> list[str]:
    """The commands of the section, without their comments."""
    text = (ROOT / "README.md").read_text("utf-8")
    block = re.search(r"From a clone to your own products.*?```console\n(.*?)```", text, re.DOTALL)
    assert block is not None
    lines = block[1].splitlines()
    return [line.removeprefix("$ ").partition("  #")[0].strip() for line in lines]


def write_export(folder: Path) -> None:
    """Shopify's export of three products in twelve sizes, with a photograph each."""
    photographs = folder / "photographs"
    photographs.mkdir()
    rows = [HEADINGS]
    for handle in HANDLES:
        Image.effect_noise((800, 600), 40).convert("RGB").save(photographs / f"{handle}.jpg")
        for number in range(12):
            size = 36 + number
            own = f"{handle.title()},<p>Fine.</p>,Me,true" if not number else ",,,"
            picture = f"https://cdn.example/{handle}.jpg?v=1,1" if not number else ","
            rows.append(f"{handle},{own},Size,{size},{handle}-{size},120.00,5,deny,{picture}")
    (folder / "products_export.csv").write_text("\n".join(rows), "utf-8")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The repository as it stands here, with what it has installed."""
    folder = tmp_path / "shop"
    kept = shutil.ignore_patterns(".venv", "instance", ".git", "__pycache__", "dist", ".*cache")
    shutil.copytree(ROOT, folder, ignore=kept)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.fixture
def served(clone: Path) -> Iterator[tuple[Path, dict[str, str], str]]:
    port = str(free_port())
    environ = {
        **{k: v for k, v in os.environ.items() if not k.startswith("SHOP_")},
        "SHOP_PORT": port,
    }
    serve, *_ = told()
    shell = ["bash", "-c", f"exec env {serve}"]
    process = subprocess.Popen(shell, cwd=clone, env=environ, stdout=subprocess.DEVNULL)
    try:
        yield clone, environ, f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_three_products_of_twelve_sizes_are_on_sale_after_five_commands_at_most(
    served: tuple[Path, dict[str, str], str],
) -> None:
    clone, environ, address = served
    commands = told()
    assert len(commands) <= 3, "cloning, and going there, come on top"
    write_export(clone)

    def page() -> str:
        with urllib.request.urlopen(address) as answer:
            return str(answer.read().decode())

    assert "Nothing here yet" in eventually(lambda: _or_nothing(page), 60)
    for command in commands[1:]:
        done = subprocess.run(["bash", "-c", command], cwd=clone, env=environ, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
    shown = page()
    assert shown.count("data-product-id=") == 3
    assert shown.count("size-container__entry--level-low") == 36
    assert shown.count("<picture") == 3


def _or_nothing(page: object) -> str:
    try:
        return str(page())  # type: ignore[operator]
    except OSError:
        return ""
