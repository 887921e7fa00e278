"""A Debian machine for trying operators' commands: real programs, in a folder instead of /.

What is put in the place of what, and nothing else is:

- Paths: what the commands and the shipped files call /srv/shop, /etc/shop, /etc/nginx,
  /etc/systemd, /etc/letsencrypt, /var/lib/shop, /var/lib/nginx, /var/backups, /var/log/nginx and
  /run/nginx.pid is in the machine's folder.
- Addresses: each 10.0.0.x, and 127.0.0.1:8000, is a port of 127.0.0.1 of this test's own; so are
  80 and 443, and shop.example.com is localhost. Nginx listens by IPv4 only.
- systemctl: see `tests.support.systemd`. For nginx it starts the real one.
- The internet: apt-get does nothing (the tests need those packages anyway, see bin/test), and a
  release's .venv is a link to the one that the tests run in.
- Users: useradd does nothing, install leaves --owner and --group out, and runuser runs the
  command as who runs the tests. nginx's workers are www-data, as everywhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.front import make_certificate, open_folder
from tests.support.machines import guardian
from tests.support.machines.service import free_port, takes_connections
from tests.support.running import ROOT, eventually
from tests.support.systemd import Failed, Systemd

_PATHS = (
    *("/srv/shop", "/etc/shop", "/etc/nginx", "/etc/systemd", "/etc/letsencrypt"),
    *("/var/lib/shop", "/var/lib/nginx", "/var/backups", "/var/log/nginx", "/run/nginx.pid"),
)

#: What isn't part of a release.
_NOT_SHIPPED = shutil.ignore_patterns(
    ".git", ".venv", "instance", "__pycache__", ".*_cache", ".env", "test-results", ".hypothesis"
)

_STAND_INS = {
    "apt-get": "exit 0",
    "useradd": "exit 0",
    "runuser": 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
    "install": 'for word do shift; case $word in --owner=*|--group=*) ;; *) set -- "$@" "$word";; '
    'esac; done; exec /usr/bin/install "$@"',
    "nginx": 'exec /usr/sbin/nginx -e stderr -c @root@/etc/nginx/nginx.conf "$@"',
    "systemctl": 'exec @python@ -I @root@/systemctl.py "$@"',
}

_SYSTEMCTL = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as to:
    to.connect("@root@/systemd.socket")
    to.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    status, text = json.loads(to.makefile().readline())
print(text, end="\\n" if text else "", file=sys.stderr if status else sys.stdout)
sys.exit(status)
"""


class Debian:
    """One machine.

    Args:
        places: what else is put in the place of what, such as addresses of other machines.
        environ: what commands find in their environment besides PATH.
    """

    def __init__(self, places: Mapping[str, str], **environ: str) -> None:
        self.root = open_folder()
        self._gone = guardian.afterwards("rm", "-rf", "--", str(self.root))
        self.https, self.http = free_port(), free_port()
        self._places = dict(places)
        self.systemd = Systemd(self.root)
        self._nginx: subprocess.Popen[bytes] | None = None
        self._make_folders()
        self._put_stand_ins()
        self.environ = {
            "PATH": f"{self.root}/stand-ins:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "CURL_CA_BUNDLE": str(self.path("/etc/letsencrypt/live/localhost/fullchain.pem")),
            **environ,
        }
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.root / "systemd.socket"))
        self._listening.listen()
        threading.Thread(target=self._obey, daemon=True).start()

    def path(self, path: str) -> Path:
        """Return where a path of the machine is."""
        return self.root / path.lstrip("/")

    def here(self, text: str) -> str:
        """Put this machine's paths, ports and names into a text."""
        for old, new in {
            **self._places,
            "shop.example.com/": f"localhost:{self.https}/" if "curl" in text else "localhost/",
            "shop.example.com": "localhost",
            "listen 443 ": f"listen 127.0.0.1:{self.https} ",
            "listen 80;": f"listen 127.0.0.1:{self.http};",
        }.items():
            text = text.replace(old, new)
        text = re.sub(r" *listen \[::\].*\n", "", text)
        paths = "|".join(map(re.escape, _PATHS))
        # Where nginx knows what a file is by its name: Debian's own.
        return re.sub(rf"(?<![\w.-])(?!/etc/nginx/mime)({paths})\b", rf"{self.root}\1", text)

    def run(self, commands: str) -> str:
        """Have root's shell do commands, and return what they print.

        Raises:
            AssertionError: one failed.
        """
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(commands)],
            cwd=self.path("/root"),
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=90,
        )
        logs = "".join(log.read_text() for log in self.path("/var/log").glob("*.service"))
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}\n{logs[-3000:]}"
        return done.stdout

    def receive_release(self, version: str, **changes: str) -> None:
        """Put the tarball of a release into root's home: of this working tree, with changes.

        Args:
            changes: what is added at the end of files, by their path with `__` for each `/`.
        """
        name = f"drop-shop-{version}"
        tree = Path(shutil.copytree(ROOT, self.root / name, ignore=_NOT_SHIPPED, symlinks=True))
        (tree / "instance").mkdir()
        (tree / ".venv").symlink_to(Path(sys.prefix))
        for file in [f for f in (tree / "deploy").rglob("*") if f.is_file()]:
            file.write_text(self.here(file.read_text()))
        for path, addition in changes.items():
            file = tree / path.replace("__", "/")
            file.write_text(file.read_text() + addition)
        with tarfile.open(self.path(f"/root/{name}.tar.gz"), "w:gz", compresslevel=1) as tar:
            tar.add(tree, name)
        shutil.rmtree(tree)

    def _make_folders(self) -> None:
        folders = [
            *("/root", "/run", "/stand-ins", "/var/backups", "/var/lib/nginx", "/var/log/nginx"),
            *("/etc/systemd/system", "/etc/nginx/conf.d", "/etc/nginx/modules-enabled"),
            "/etc/letsencrypt/live/localhost",
        ]
        for folder in folders:
            self.path(folder).mkdir(parents=True)
        make_certificate(self.path("/etc/letsencrypt/live/localhost"))

    def _put_stand_ins(self) -> None:
        (self.root / "systemctl.py").write_text(_SYSTEMCTL.replace("@root@", str(self.root)))
        for name, script in _STAND_INS.items():
            script = script.replace("@root@", str(self.root)).replace("@python@", sys.executable)
            file = self.path(f"/stand-ins/{name}")
            file.write_text(f"#!/bin/sh\n{script}\n")
            file.chmod(0o755)

    def _obey(self) -> None:
        while True:
            try:
                asking, _ = self._listening.accept()
            except OSError:
                return  # it was closed
            with asking, asking.makefile("rw") as line:
                answer: list[Any] = [0, ""]
                try:
                    words = json.loads(line.readline())
                    answer[1] = (
                        self._drive_nginx(words[0])
                        if words[-1] == "nginx"
                        else (self.systemd.do(words))
                    )
                except (Failed, AssertionError, KeyError, OSError) as error:
                    answer = [1, f"{type(error).__name__}: {error}"]
                line.write(json.dumps(answer) + "\n")

    def _drive_nginx(self, verb: str) -> str:
        if verb == "reload":
            assert self._nginx is not None
            self._nginx.send_signal(1)
            return ""
        self._end_nginx()
        command = [str(self.path("/stand-ins/nginx")), "-g", "daemon off;"]
        self._nginx = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        guardian.watch(self._nginx.pid)
        eventually(lambda: takes_connections("127.0.0.1", self.https))
        return ""

    def _end_nginx(self) -> None:
        if self._nginx is not None:
            self._nginx.terminate()
            self._nginx.wait(10)

    def end(self) -> None:
        """Leave nothing of it."""
        self._listening.close()
        self.systemd.end()
        self._end_nginx()
        shutil.rmtree(self.root)
        self._gone()

    def __enter__(self) -> Debian:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
