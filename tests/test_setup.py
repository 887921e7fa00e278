"""What the project is built from, and whether its documents name what there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from PIL import Image

from shop import migrations
from tests.support.running import ROOT


def test_the_names_of_migrations_tell_which_is_the_latest() -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "shop" / "migrations"))
    steps = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    assert migrations._known() == steps[::-1]


@pytest.mark.parametrize(
    "lock", ["requirements.txt", "requirements-dev.txt", "requirements-bench.txt"]
)
def test_everything_that_is_installed_is_pinned_with_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    assert len(lines) > 15
    for line in lines:
        assert re.match(r"[\w.\[\]-]+==[\w.]+ .*--hash=sha256:[0-9a-f]{64}", line), line[:60]


@pytest.mark.parametrize(
    "source", ["requirements.in", "requirements-dev.in", "requirements-bench.in"]
)
def test_what_the_shop_asks_for_itself_is_in_the_lock(source: str) -> None:
    lock = (ROOT / source.replace(".in", ".txt")).read_text()
    wanted = re.findall(r"^([\w-]+==\S+)", (ROOT / source).read_text(), re.M)
    assert wanted
    for requirement in wanted:
        assert f"{requirement} " in lock


def test_what_was_taken_over_says_where_it_is_from() -> None:
    vendor = ROOT / "shop" / "static" / "vendor"
    names = {file.name for file in vendor.iterdir()}
    scripts = {name for name in names if name.endswith(".js")}
    assert scripts
    notes = "".join(f.read_text() for f in vendor.iterdir() if f.name not in scripts)
    assert "LICENSE.htmx" in names
    for script in scripts:
        assert script in notes, f"no version, source and hash of {script} is written beside it"


def test_the_readme_shows_the_shop_moving_in_a_small_picture() -> None:
    (name,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    with Image.open(ROOT / name) as film:
        assert film.n_frames > 10  # type: ignore[attr-defined]  # of moving pictures
    assert (ROOT / name).stat().st_size <= 500_000


@pytest.mark.parametrize(
    ("document", "at_least", "at_most"), [("architecture.md", 6, 10), ("development.md", 20, 25)]
)
def test_the_steps_of_a_change_name_what_the_code_has(
    document: str, at_least: int, at_most: int
) -> None:
    text = (ROOT / "docs" / document).read_text()
    steps = re.findall(r"^\| \d+ \| `([\w/.]+)`: (.+?) \|", text, re.M)
    assert at_least <= len(steps) <= at_most
    for file, names in steps:
        defined = set(_definitions(ROOT / "shop" / file))
        for name in re.findall(r"`([\w.]+)`", names):
            assert name in defined, f"{file} has no {name}"


def test_what_servers_load_is_imported_by_nobody() -> None:
    files = [
        file for folder in ("shop", "tests", "bench") for file in (ROOT / folder).rglob("*.py")
    ]
    wanted = re.compile(r"^\s*(from wsgi import|import wsgi)\b", re.M)
    assert len(files) > 300
    assert not [file for file in files if wanted.search(file.read_text())]


def _definitions(file: Path) -> Iterator[str]:
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.ClassDef):
            yield node.name
            yield from (
                f"{node.name}.{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef)
            )
