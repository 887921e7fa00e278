"""The certificate of operations.md: got, served and renewed, from a real ACME server."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.front import Front, Server, make_certificate, open_folder
from tests.support.machines.nginx import Nginx
from tests.support.machines.service import Service, free_port, program, takes_connections
from tests.support.running import ROOT, eventually

pytestmark = pytest.mark.drill

NAME = "shop.example.com"

#: What Debian's nginx does with port 80 as long as nobody has configured it.
_DEBIANS_OWN = "server { listen @host@:@port@ default_server; root @webroot@; }"


class NameServer(Service):
    """Says of every name that it is this machine's."""

    def _command(self) -> list[str]:
        off = ["-http01", "", "-https01", "", "-tlsalpn01", ""]
        words = ["-dns01", f"{self.host}:{self.port}", "-management", f"{self.host}:{free_port()}"]
        words += ["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]
        return [program("pebble-challtestsrv", "pebble"), *words, *off]

    def _answers(self) -> bool:
        return takes_connections(self.host, self.port)


class CertificateAuthority(Service):
    """An ACME server, which looks for its answers at a port of this machine.

    Args:
        names: who it asks for addresses.
        http_port: in the place of 80.
    """

    def __init__(self, names: NameServer, http_port: int) -> None:
        super().__init__()
        make_certificate(self.folder)
        self._names = names
        settings = {
            "listenAddress": f"{self.host}:{self.port}",
            "managementListenAddress": f"{self.host}:{free_port()}",
            "certificate": str(self.folder / "fullchain.pem"),
            "privateKey": str(self.folder / "privkey.pem"),
            "httpPort": http_port,
            "tlsPort": free_port(),
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": settings}))

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/dir"

    def _command(self) -> list[str]:
        words = ["-config", str(self.folder / "pebble.json")]
        words += ["-dnsserver", f"{self._names.host}:{self._names.port}"]
        return [
            "env",
            "PEBBLE_VA_NOSLEEP=1",
            "PEBBLE_WFE_NONCEREJECT=0",
            program("pebble", "pebble"),
            *words,
        ]

    def _answers(self) -> bool:
        return takes_connections(self.host, self.port)


class Machine:
    """Where an operator has certbot: its folders, its web root, and an nginx to be reloaded."""

    def __init__(self, authority: CertificateAuthority, web_root: Path) -> None:
        self.folder = open_folder()
        self.web_root = web_root
        self.nginx: Nginx | None = None
        own = {name: self.folder / name for name in ("config-dir", "work-dir", "logs-dir")}
        lines = [f"{name} = {path}" for name, path in own.items()]
        lines += [f"server = {authority.url}", "non-interactive = true", "agree-tos = true"]
        lines += ["no-random-sleep-on-renew = true"]  # by a timer it waits for up to 8 minutes
        lines += ["register-unsafely-without-email = true"]
        (self.folder / "cli.ini").write_text("\n".join(lines))
        self._stand_in("systemctl", f'kill -HUP "$(cat {self.folder}/nginx.pid)"')
        certbot = program("certbot", "certbot")
        self._stand_in("certbot", f'exec {certbot} --config {self.folder}/cli.ini "$@"')
        self.environ = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "REQUESTS_CA_BUNDLE": str(authority.folder / "fullchain.pem"),
        }

    @property
    def live(self) -> Path:
        return self.folder / "config-dir" / "live" / NAME

    def run(self, command: str) -> None:
        """Do a command of the document."""
        assert self.nginx is not None
        command = command.replace("/var/www/html", str(self.web_root))
        (self.folder / "nginx.pid").write_text(str(self.nginx.pid))
        done = subprocess.run(
            [
                "bash",
                "-euo",
                "pipefail",
                "-c",
                command,
            ],
            env=self.environ,
            capture_output=True,
            text=True,
        )
        log = (self.folder / "logs-dir" / "letsencrypt.log").read_text()
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}\n{log[-3000:]}"

    def _stand_in(self, name: str, script: str) -> None:
        file = self.folder / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)


class Away:
    """A server of the shop that isn't there."""

    host, port = "127.0.0.1", 1


@pytest.fixture
def web_root() -> Iterator[Path]:
    folder = open_folder()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def certbots_commands() -> list[str]:
    document = (ROOT / "docs" / "operations.md").read_text()
    return re.findall(r"^certbot .*$", document, re.M)


def served(front: Nginx) -> str:
    """Return the certificate that nginx shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((front.host, front.port)) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    return ssl.DER_cert_to_PEM_cert(shown)


def test_a_certificate_is_renewed_the_way_it_was_got(web_root: Path, tmp_path: Path) -> None:
    get, try_renewal = certbots_commands()
    with ExitStack() as stack:
        debians_own = stack.enter_context(Nginx(_DEBIANS_OWN, webroot=web_root))
        names = stack.enter_context(NameServer())
        authority = stack.enter_context(CertificateAuthority(names, debians_own.port))
        machine = Machine(authority, web_root)
        stack.callback(shutil.rmtree, machine.folder)

        machine.nginx = debians_own
        machine.run(get)
        first = (machine.live / "cert.pem").read_text()

        debians_own.stop()
        servers: list[Server] = [Away()]
        edits = {
            f"{NAME};": f"{NAME};",
            f"/etc/letsencrypt/live/{NAME}/": f"{machine.live}/",
            "root /var/www/html;": f"root {web_root};",
            "listen 80;": f"listen {debians_own.host}:{debians_own.port};",
        }
        front = stack.enter_context(Front(servers, tmp_path, edits))
        machine.nginx = front
        assert served(front).split() == first.split()

        machine.run(try_renewal)
        assert (machine.live / "cert.pem").read_text() == first, "it was only tried"
        machine.run("certbot renew --force-renewal")
        second = (machine.live / "cert.pem").read_text()
        assert second != first
        eventually(lambda: served(front).split() == second.split())
