"""What `bin/` installs into `.venv`: once, and of locks that hold one another only the largest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT

LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose locks name nothing, so that installing them asks nobody."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "bin").mkdir()
    shutil.copy(ROOT / "bin" / "env.sh", folder / "bin")
    for lock in LOCKS:
        (folder / lock).write_text(f"# {lock}\n")
    return folder


def prepare(project: Path, lock: str) -> str:
    """Prepare a lock, and return what is said."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"source bin/env.sh; prepare {lock}"],
        cwd=project,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_what_benchmarks_compare_with_is_added_to_what_tests_need(project: Path) -> None:
    prepare(project, "requirements-bench.txt")
    # It holds the others: neither the tests nor the shop install anything over it.
    assert prepare(project, "requirements-dev.txt") == ""
    assert prepare(project, "requirements.txt") == ""
    assert prepare(project, "requirements-bench.txt") == ""


def test_a_lock_that_changed_is_installed_anew(project: Path) -> None:
    prepare(project, "requirements-bench.txt")
    (project / "requirements-dev.txt").write_text("# another one\n")
    assert "installing what requirements-dev.txt names" in prepare(project, "requirements-dev.txt")
    assert "installing what requirements-bench.txt" in prepare(project, "requirements-bench.txt")
