"""How the house stands: which room knows which, and what it is built from."""

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
from tests.running import ROOT


def shop_but(*known: str) -> list[str]:
    """Return all rooms but those."""
    rooms = {
        path.stem for path in (ROOT / "shop").iterdir() if path.suffix == ".py" or path.is_dir()
    }
    return [f"shop.{room}" for room in sorted(rooms - {*known, "__init__", "__pycache__"})]


#: What each room, a module or package of the shop, may not know; by the beginnings of names.
WALLS = {
    "money": ["shop", "flask", "sqlalchemy"],
    "environment": ["shop", "flask", "sqlalchemy"],
    "config": shop_but("money", "environment"),
    "text": ["shop", "flask", "sqlalchemy"],
    "addresses": ["shop", "flask", "sqlalchemy"],
    "buyer": ["flask", "sqlalchemy", *shop_but("text", "addresses")],
    "permissions": ["shop", "flask", "sqlalchemy", "gevent"],
    "db": ["shop"],
    "versions": ["flask", "gevent", *shop_but("db")],
    "changes": ["shop"],
    "relay": ["flask", "sqlalchemy", "gevent", "shop.db", "shop.models", "shop.live"],
    "tcp": ["shop", "flask", "sqlalchemy", "gevent"],
    "turns": ["shop", "flask", "sqlalchemy"],
    "bounded": ["shop", "flask", "sqlalchemy", "gevent"],
    "framing": ["shop", "flask", "sqlalchemy", "gevent"],
    "streams": ["flask", "sqlalchemy", *shop_but("framing", "tcp", "turns")],
    "seats": ["flask", "sqlalchemy", "gevent", *shop_but("shared_table")],
    "shared_table": ["shop", "flask", "sqlalchemy", "gevent"],
    "output": ["shop", "flask", "sqlalchemy"],
    "listening": ["flask", "sqlalchemy", "gevent", *shop_but("config", "output")],
    "incoming": ["flask", "sqlalchemy", "gevent", *shop_but("turns")],
    "connections": ["shop", "flask", "sqlalchemy", "gevent"],
    "server": [
        *("flask", "sqlalchemy", "gunicorn"),
        *shop_but("config", "connections", "incoming", "listening", "tcp", "turns"),
    ],
    "workers": [
        "flask",
        "sqlalchemy",
        *shop_but("config", "listening", "logs", "counting", "server"),
    ],
    "models": ["flask", "werkzeug", "jinja2", "markupsafe", "gevent", "click"],
    "checkout": ["flask", "werkzeug", "jinja2", "shop.web", "shop.commands", "shop.streams"],
    "copying": ["flask", "click", "gevent", "shop.web", "shop.commands", "shop.config"],
    "inventory": ["flask", "werkzeug", "jinja2", "shop.web", "shop.commands", "shop.streams"],
    "carts": ["flask", "werkzeug", "jinja2", "shop.web", "shop.commands", "shop.streams"],
    "fragments": ["flask", "sqlalchemy", "shop.web", "shop.commands", "shop.streams"],
    "counting": ["shop", "flask", "sqlalchemy", "gevent", "prometheus_client"],
    "metrics_files": ["shop", "flask", "sqlalchemy", "gevent"],
    "metrics": [*shop_but("counting", "metrics_files"), "flask", "sqlalchemy", "gevent"],
    "logs": [*(f"shop.{room}" for room in ("db", "models", "live", "web", "parts")), "flask"],
    "live": ["flask", "werkzeug", "shop.web", "shop.commands"],
    "presence": ["flask", "werkzeug", "jinja2", "sqlalchemy", "gevent", "click", "shop.web"],
    "tally": ["flask", "werkzeug", "gevent", "click", "shop.web", "shop.streams", "shop.live"],
    "commands": ["shop.web", "shop.server", "shop.streams", "shop.live", "gevent"],
    "web": ["shop.commands", "sqlalchemy.orm"],
}

#: Beyond those walls: what models may know of the shop is the database, how things are named in
#: announcements, what is newer, and one another.
MODELS_KNOW = ("shop.db", "shop.changes", "shop.models", "shop.versions")


def files_of(room: str) -> list[Path]:
    module = ROOT / "shop" / f"{room}.py"
    return [module] if module.exists() else sorted((ROOT / "shop" / room).glob("*.py"))


def imports_of(file: Path) -> Iterator[str]:
    """Give the full names of all that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, part: str) -> bool:
    return f"{name}.".startswith(f"{part}.")


@pytest.mark.parametrize("room", WALLS)
def test_no_room_knows_what_is_behind_its_walls(room: str) -> None:
    assert files_of(room)
    for file in files_of(room):
        known = [n for n in imports_of(file) if not is_within(n, f"shop.{room}")]
        seen = {name for name in known for wall in WALLS[room] if is_within(name, wall)}
        assert not seen, f"{file.name} knows {seen}"


def test_models_know_the_database_and_one_another() -> None:
    for file in files_of("models"):
        for name in (n for n in imports_of(file) if is_within(n, "shop")):
            assert any(is_within(name, known) for known in MODELS_KNOW), f"{file.name}: {name}"


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
