"""What `bin/` installs into `.venv`: once, and of locks that hold one another only the largest."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest

from tests.support.running import ROOT

LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt")


def callers_settings(elsewhere: Path) -> dict[str, str]:
    """What a caller's environment may say of other places for packages and for Python."""
    return {
        "PIP_USER": "1",
        "PIP_TARGET": str(elsewhere / "target"),
        "PIP_PREFIX": str(elsewhere / "prefix"),
        "PIP_ROOT": str(elsewhere / "root"),
        "PIP_DRY_RUN": "1",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PYTHONPATH": str(elsewhere / "path"),
        "PYTHONUSERBASE": str(elsewhere / "user"),
        "PYTHONSAFEPATH": "1",
        "PYTHONHOME": str(elsewhere),
    }


class Made(NamedTuple):
    """A project whose `.venv` was made once for all tests, as that takes ten seconds."""

    project: Path
    #: what was said
    said: str
    #: where the caller's settings would have put everything
    elsewhere: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A `.venv` made in the place of one whose Python is gone, whatever the caller's settings.

    The project's locks name nothing, so that installing them asks nobody.
    """
    folder, elsewhere = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("elsewhere")
    (folder / "bin").mkdir()
    shutil.copy(ROOT / "bin" / "env.sh", folder / "bin")
    for lock in LOCKS:
        (folder / lock).write_text(f"# {lock}\n")
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/usr/bin/python2.5")
    said = prepare(folder, "requirements-bench.txt", **callers_settings(elsewhere))
    return Made(folder, said, elsewhere)


@pytest.fixture
def project(made: Made) -> Path:
    return made.project


def prepare(project: Path, lock: str, **environ: str) -> str:
    """Prepare a lock, and return what is said."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"source bin/env.sh; prepare {lock}"],
        cwd=project,
        env={**os.environ, "PYTHON": sys.executable, **environ},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_an_environment_of_a_python_that_is_gone_is_made_anew(made: Made) -> None:
    python = made.project / ".venv" / "bin" / "python"
    assert "making .venv" in made.said
    assert python.resolve() == Path(sys.executable).resolve()


def test_the_callers_settings_for_python_and_pip_make_nothing_elsewhere(made: Made) -> None:
    assert [*made.elsewhere.iterdir()] == []


def test_what_benchmarks_compare_with_is_added_to_what_tests_need(project: Path) -> None:
    # It holds the others: neither the tests nor the shop install anything over it.
    assert prepare(project, "requirements-dev.txt") == ""
    assert prepare(project, "requirements.txt") == ""
    assert prepare(project, "requirements-bench.txt") == ""


def test_a_lock_that_changed_is_installed_anew(project: Path) -> None:
    prepare(project, "requirements-bench.txt")
    (project / "requirements-dev.txt").write_text("# another one\n")
    assert "installing what requirements-dev.txt names" in prepare(project, "requirements-dev.txt")
    assert "installing what requirements-bench.txt" in prepare(project, "requirements-bench.txt")


# --- Whatever the caller's environment says ----------------------------------------------------

PACKAGE = "drop_shop_example-1.0-py3-none-any.whl"


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A project whose lock names one package, which lies beside it; nothing is installed yet."""
    folder = tmp_path / "packaged"
    (folder / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "bin" / "env.sh", folder / "bin")
    name_a_package(folder)
    return folder


@pytest.fixture
def packaged(project: Path, tmp_path: Path) -> Path:
    """The same beside a `.venv` that holds nothing yet: a copy, as making one takes seconds."""
    folder = shutil.copytree(project, tmp_path / "packaged", symlinks=True)
    for stamp in (folder / ".venv").glob("installed-*"):
        stamp.unlink()
    name_a_package(folder)
    return folder


def name_a_package(folder: Path) -> None:
    """Have a project's lock name one package, and put that beside it."""
    wheel = folder / PACKAGE
    information = "drop_shop_example-1.0.dist-info"
    with ZipFile(wheel, "w") as archive:
        archive.writestr("drop_shop_example.py", "")
        archive.writestr(
            f"{information}/METADATA",
            "Metadata-Version: 2.1\nName: drop-shop-example\nVersion: 1.0\n",
        )
        archive.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{information}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = f"drop-shop-example==1.0 ; python_version >= '3' \\\n    --hash=sha256:{digest}\n"
    (folder / "requirements.txt").write_text(lock)


def install(project: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    settings = {"PYTHON": sys.executable, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(project)}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "source bin/env.sh; prepare requirements.txt"],
        cwd=project,
        env={**os.environ, **settings, **environ},
        capture_output=True,
        text=True,
        timeout=100,
    )


def is_in_venv(project: Path) -> bool:
    return bool([*project.glob(".venv/lib/python*/site-packages/drop_shop_example.py")])


def test_the_callers_settings_for_python_and_pip_put_nothing_elsewhere(
    packaged: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    # Installed there already, in the eyes of a pip that looks there.
    shutil.unpack_archive(packaged / PACKAGE, elsewhere / "path", "zip")
    done = install(packaged, **callers_settings(elsewhere))
    assert done.returncode == 0, done.stderr
    assert is_in_venv(packaged)
    assert [path.name for path in elsewhere.iterdir()] == ["path"]


def test_pips_own_file_of_settings_puts_nothing_elsewhere(packaged: Path, tmp_path: Path) -> None:
    settings = tmp_path / "pip.conf"
    elsewhere = tmp_path / "elsewhere"
    settings.write_text(f"[install]\nuser = true\ntarget = {elsewhere}\n")
    done = install(packaged, PIP_CONFIG_FILE=str(settings))
    assert done.returncode == 0, done.stderr
    assert is_in_venv(packaged) and not elsewhere.exists()


def test_what_was_not_installed_does_not_count_as_installed(packaged: Path, tmp_path: Path) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[install]\nprefix = {tmp_path}\n")
    done = install(packaged, PIP_CONFIG_FILE=str(settings))
    assert done.returncode == 1
    assert "not installed: drop-shop-example==1.0" in done.stderr
    again = install(packaged)
    assert again.returncode == 0
    assert is_in_venv(packaged) and "making .venv" not in again.stderr, (
        "it was not the worse for it"
    )
    assert install(packaged).stderr == "", "known to be there"


def test_who_may_not_make_it_anew_is_told_who_may(fresh: Path) -> None:
    fresh.chmod(0o555)
    command = ["bash", "-euo", "pipefail", "-c", "source bin/env.sh; prepare requirements.txt"]
    # root may write everywhere: without that right it is as any other user.
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*without, *command],
        cwd=fresh,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
    )
    fresh.chmod(0o755)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"run {fresh}/bin/flask --version once as " in done.stderr


def test_a_clone_has_the_line_ends_that_bash_wants(tmp_path: Path) -> None:
    source, clone = tmp_path / "source", tmp_path / "clone"
    (source / "bin").mkdir(parents=True)
    for name in (".gitattributes", "bin/env.sh", ".env.example"):
        shutil.copy(ROOT / name, source / name)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], cwd=source, check=True)
    subprocess.run([*git, "clone", "-qc", "core.autocrlf=true", source, clone], check=True)
    for name in ("bin/env.sh", ".env.example"):
        assert b"\r" not in (clone / name).read_bytes()
