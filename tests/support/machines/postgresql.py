"""A real PostgreSQL: a cluster of its own, with as many databases as are wanted."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from tests.support.machines.network import HERE, Machine
from tests.support.machines.service import NotThere, Service, program

#: Where Debian puts programs that may be there in several versions, below /usr.
PROGRAMS = "lib/postgresql/*/bin"

USER = "shop"

#: Anybody who reaches it may do everything: it listens where only tests do.
_HBA = "host all all 0.0.0.0/0 trust\n"


class PostgreSQL(Service):
    """A PostgreSQL server.

    Args:
        fsync: whether it waits for the disk. A crash of its processes it survives without; what
            kills it to see that should not be content with that.
        settings: further ones, as in postgresql.conf.
    """

    #: the folder of its programs, if not where Debian has them
    programs: Path | None = None

    gently = signal.SIGINT  # a fast shutdown: clients are sent away

    def __init__(self, machine: Machine = HERE, *, fsync: bool = False, **settings: str) -> None:
        super().__init__(machine)
        self._data = self.folder / "data"
        on_or_off = "on" if fsync else "off"
        self._settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "300",
            # In the data folder, which is put away; in /dev/shm they would stay after a kill.
            "dynamic_shared_memory_type": "mmap",
            "fsync": on_or_off,
            "full_page_writes": on_or_off,
            **settings,
        }
        self._make_cluster()

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return where a database is, as SQLAlchemy and libpq read it."""
        return f"postgresql://{USER}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template0") -> str:
        """Create a database, empty or as a copy of another one that nobody is connected to.

        Returns:
            Its URL.
        """
        statement = SQL("CREATE DATABASE {} TEMPLATE {}")
        self._do(statement.format(Identifier(name), Identifier(template)))
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self._do(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))

    def dump(self, database: str) -> str:
        """Return what makes a database what it is, as `restore` takes it."""
        pg_dump = self._program("pg_dump")
        command = [*self.machine.enter, pg_dump, self.url_of(database)]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout

    def restore(self, dump: str, name: str) -> str:
        """Create a database from a dump, of this server or another one.

        Returns:
            Its URL.
        """
        url = self.create_database(name)
        psql = [self._program("psql"), "--quiet", "--no-psqlrc"]
        command = [*self.machine.enter, *psql, "--set", "ON_ERROR_STOP=1", url]
        subprocess.run(command, input=dump, capture_output=True, check=True, text=True)
        return url

    def _program(self, name: str) -> str:
        if self.programs is not None:
            return str(self.programs / name)
        return program(name, "postgresql", PROGRAMS)

    def _do(self, statement: Any) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def _make_cluster(self) -> None:
        initdb = [self._program("initdb"), "--pgdata", str(self._data)]
        initdb += ["--username", USER, "--auth", "trust", "--no-sync", "--no-instructions"]
        # Debian's own C.UTF-8 and not this machine's language: texts sort alike everywhere.
        initdb += ["--encoding", "UTF8", "--locale", "C.UTF-8"]
        give_to_postgres(str(self.folder))
        done = subprocess.run(
            [*as_postgres(), *initdb], capture_output=True, text=True, cwd=self.folder
        )
        if done.returncode:
            raise NotThere(f"initdb failed:\n{done.stdout}{done.stderr}")
        (self._data / "pg_hba.conf").write_text(_HBA)

    def _command(self) -> list[str]:
        words = [f"--{name}={value}" for name, value in self._settings.items()]
        return [
            *as_postgres(),
            self._program("postgres"),
            *("-D", str(self._data)),
            *words,
        ]

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def _put_away(self) -> None:
        # Killed, it leaves a segment of shared memory, which its lock file names.
        with suppress(FileNotFoundError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            segment = lines[6].split()[1]
            subprocess.run(["ipcrm", "--shmem-id", segment], capture_output=True, check=False)
        super()._put_away()


def as_postgres() -> list[str]:
    """Return what runs a command as somebody whom PostgreSQL serves: it refuses root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]


def give_to_postgres(folder: str) -> None:
    """Have a folder belong to whom `as_postgres` runs commands as."""
    if os.geteuid() != 0:
        return
    try:
        subprocess.run(["chown", "postgres:postgres", folder], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise NotThere(
            "there is no user postgres: install the Debian package postgresql"
        ) from error
