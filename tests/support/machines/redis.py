"""A real Redis. It keeps nothing on disk: the shop doesn't ask it to."""

from __future__ import annotations

import redis

from tests.support.machines.service import Service, program


class Redis(Service):
    """A Redis server that anybody who reaches it may use."""

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def client(self) -> redis.Redis:
        """Return a client of it. It is to be closed."""
        client: redis.Redis = redis.Redis(
            host=self.host, port=self.port, socket_timeout=5, decode_responses=True
        )
        return client

    def _command(self) -> list[str]:
        settings = {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            "protected-mode": "no",
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return [program("redis-server", "redis-server"), *words]

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
