"""A real nginx, with the configuration that is to be tried."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping

from tests.support.machines.network import HERE, Machine
from tests.support.machines.service import Service, program, takes_connections

#: What Debian's nginx.conf puts around the files in conf.d, with all that is written in one folder.
_AROUND = """
worker_processes 1;
events {{ worker_connections 8192; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log @folder@/access.log;
{site}
}}
"""


class Nginx(Service):
    """An nginx server.

    Args:
        configuration: a whole one, with its `http { … }`, or what stands in conf.d. `@port@`,
            `@host@` and `@folder@` in it mean its own; it must listen on `@host@:@port@`.
        values: what else to put in, by its name between the signs: `@upstream@`.
    """

    gently = signal.SIGQUIT  # answers that have begun are finished

    def __init__(self, configuration: str, machine: Machine = HERE, **values: object) -> None:
        super().__init__(machine)
        self.configure(configuration, **values)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def configure(self, configuration: str, **values: object) -> None:
        """Write another configuration, which counts from the next `start` or `reload` on."""
        own: Mapping[str, object] = {"port": self.port, "host": self.host, "folder": self.folder}
        whole = re.search(r"^\s*http\s*\{", configuration, re.M)
        text = configuration if whole else _AROUND.format(site=configuration)
        for name, value in {**own, **values}.items():
            text = text.replace(f"@{name}@", str(value))
        (self.folder / "nginx.conf").write_text(text)

    def reload(self) -> None:
        """Have it read its configuration anew, as an operator does, without an interruption."""
        os.kill(self.pid, signal.SIGHUP)

    def _command(self) -> list[str]:
        for name in ("client", "proxy", "fastcgi", "uwsgi", "scgi"):
            (self.folder / name).mkdir(exist_ok=True)
        # Its workers may read what this process may: static files in folders of a test.
        user = "user root; " if os.geteuid() == 0 else ""
        own = f"daemon off; pid {self.folder}/nginx.pid; {user}"
        words = ["-p", str(self.folder), "-e", "stderr", "-c", str(self.folder / "nginx.conf")]
        return [program("nginx", "nginx"), *words, "-g", own]

    def _answers(self) -> bool:
        return takes_connections(self.host, self.port)
