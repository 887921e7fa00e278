"""PostgreSQL's own programs, by which a database is written into a file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from sqlalchemy.engine import URL

#: Where Debian puts programs that may be there in several versions.
_DEBIAN = Path("/usr/lib/postgresql")

#: How long a dump waits for somebody who changes the tables, in milliseconds.
_LOCK_WAIT = 60_000


class CannotDump(Exception):
    """Nothing was written; the message says why, in one line."""


def dump(url: URL, file: Path, *, server: int) -> None:
    """Write one moment's state of a database into a file, for `pg_restore`.

    Args:
        url: the database's.
        server: the server's major version. An older pg_dump refuses to work for it.

    Raises:
        CannotDump: the programs are missing or too old, or the server refuses.
    """
    pg_dump = find("pg_dump", server)
    options = ["--format=custom", "--no-owner", "--no-privileges", f"--file={file}"]
    options += [f"--lock-wait-timeout={_LOCK_WAIT}", "--no-password"]
    # Not by `url.set`, which takes None for "as it is". The password goes by the environment.
    address = url._replace(drivername="postgresql", password=None).render_as_string()
    environ = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    _run([str(pg_dump), *options, f"--dbname={address}"], environ)
    _run([str(pg_dump.with_name("pg_restore")), "--list", str(file)], environ)  # it can be read


def find(program: str, server: int) -> Path:
    """Return the program for a server: of its major version, else of the next one that is there.

    Raises:
        CannotDump: there is none of its version, nor of a newer one.
    """
    there = {version: path for path in _candidates(program) if (version := _version(path))}
    fitting = sorted(version for version in there if version >= server)
    if fitting:
        return there[fitting[0]]
    package = f"postgresql-client-{server}"
    if not there:
        raise CannotDump(f"there is no {program} on this machine: apt-get install {package}")
    raise CannotDump(
        f"the server is PostgreSQL {server}, {program} here is {max(there)}, which refuses newer "
        f"ones: apt-get install {package} (if Debian has none, from apt.postgresql.org)"
    )


def _candidates(program: str) -> list[Path]:
    """Return where the program may be; what is in the PATH goes before Debian's own folders."""
    in_path = shutil.which(program)
    return [*_DEBIAN.glob(f"*/bin/{program}"), *([Path(in_path)] if in_path else [])]


def _version(path: Path) -> int | None:
    """Return a program's major version; None for what isn't one of PostgreSQL's."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(found[1]) if found else None


def _run(command: list[str], environ: dict[str, str]) -> None:
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise CannotDump(f"no backup was written: {error}") from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"status {done.returncode}"
        raise CannotDump(f"no backup was written: {said}")
