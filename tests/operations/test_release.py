"""`bin/release`: the archive that docs/operations.md unpacks."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest

from tests.support.running import ROOT

GIT = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with what of the project a release is made by, in one commit."""
    folder = tmp_path / "clone"
    for name in ("bin/env.sh", "bin/release", "pyproject.toml", ".gitattributes", ".gitignore"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*GIT, *words], cwd=folder, check=True)
    return folder


def release(repository: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [str(repository / "bin" / "release"), *map(str, words)]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60)


def test_a_release_is_the_archive_that_operators_unpack(repository: Path, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    name = f"drop-shop-{version}"
    assert f"--file={name}.tar.gz --strip-components=1" in (ROOT / "docs/operations.md").read_text()
    done = release(repository)
    archive = repository / "dist" / f"{name}.tar.gz"
    assert (done.returncode, done.stdout) == (0, f"{archive}\n"), done.stderr
    with tarfile.open(archive) as opened:
        names = opened.getnames()
        assert f"{name}/bin/release" in names and f"{name}/pyproject.toml" in names
        assert all(entry == name or entry.startswith(f"{name}/") for entry in names)
        assert opened.getmember(f"{name}/bin/release").mode & 0o111
    assert release(repository, tmp_path).returncode == 0
    assert (tmp_path / archive.name).read_bytes() == archive.read_bytes(), "the same commit"


def test_what_is_no_commit_is_no_release(repository: Path) -> None:
    (repository / "pyproject.toml").write_text('version = "2"\n')
    done = release(repository)
    assert (done.returncode, "not committed" in done.stderr) == (1, True), done.stderr
    assert not (repository / "dist").exists()
    shutil.rmtree(repository / ".git")
    assert "no git repository" in release(repository).stderr
    assert release(repository, "--help").returncode == 2
