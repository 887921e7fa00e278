"""A real PgBouncer in front of a PostgreSQL server."""

from __future__ import annotations

import psycopg

from tests.support.machines.postgresql import USER, PostgreSQL, as_postgres, give_to_postgres
from tests.support.machines.service import Service, program


class PgBouncer(Service):
    """A PgBouncer, with Debian's defaults but for where it is and how it pools.

    Args:
        server: whose databases it gives, all of them.
        mode: `session` or `transaction`.
        settings: further ones, as in pgbouncer.ini.
    """

    def __init__(self, server: PostgreSQL, mode: str, **settings: str) -> None:
        super().__init__(server.machine)
        chosen = {
            "listen_addr": self.host,
            "listen_port": str(self.port),
            "auth_type": "any",
            "pool_mode": mode,
            "unix_socket_dir": "",
            **settings,
        }
        self._file = self.folder / "pgbouncer.ini"
        self._file.write_text(
            f"[databases]\n* = host={server.host} port={server.port} user={USER}\n"
            "[pgbouncer]\n" + "".join(f"{name} = {value}\n" for name, value in chosen.items())
        )
        give_to_postgres(str(self.folder))

    def url_of(self, database: str) -> str:
        """Return where a database of the server is reached through this."""
        return f"postgresql://{USER}@{self.host}:{self.port}/{database}"

    def _command(self) -> list[str]:
        return [*as_postgres(), program("pgbouncer", "pgbouncer", "sbin"), str(self._file)]

    def _answers(self) -> bool:
        try:
            url = self.url_of("postgres")
            with psycopg.connect(url, connect_timeout=2, prepare_threshold=None) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False
