"""Stands in for systemd where there is none: it does what the shop's unit files ask for.

Containers have no systemd to talk to. This one reads the real files (drop-ins too) and knows of
each what matters to the shop's operator: sockets that are held and passed on, settings from a
file, folders, umask, stopping and starting again. It gives no other rights: a service runs as
who runs the tests, and what locks it in (ProtectSystem and the like) isn't done here.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import threading
from collections import defaultdict
from pathlib import Path

from tests.support.machines import guardian, processes

Values = dict[str, list[str]]

#: Starts a program with the sockets it is given from descriptor 3 on: see sd_listen_fds(3).
_PASSING = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec 3<&"$0"; exec "$@"'


class Failed(Exception):
    """A job could not be done; its text is what systemctl says."""


class Systemd:
    """The services and sockets of one machine.

    Args:
        root: of the machine's files; units are in etc/systemd/system below it, the log of a unit
            is var/log/UNIT.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.enabled: set[str] = set()
        self._sockets: dict[str, socket.socket] = {}
        self._services: dict[str, Service] = {}

    def do(self, words: list[str]) -> str:
        """Do what `systemctl` is told to, and return what it prints.

        Raises:
            Failed: it could not be done.
        """
        verb, *rest = words
        names = [name if "." in name else f"{name}.service" for name in rest if name[0] != "-"]
        if verb == "daemon-reload":
            return ""
        if verb in ("enable", "disable"):
            for name in names:
                assert "WantedBy" in self.unit(name)["Install"], f"{name} can't be enabled"
            (self.enabled.update if verb == "enable" else self.enabled.difference_update)(names)
            verb = {"enable": "start", "disable": "stop"}[verb] if "--now" in rest else "is-enabled"
        for name in names:
            self._one(verb, name)
        return ""

    def _one(self, verb: str, name: str) -> None:
        if verb in ("stop", "restart"):
            self._stop(name)
        if verb in ("start", "restart"):
            self._start(name)
        if verb == "reload":
            self._services[name].reload()

    def _start(self, name: str) -> None:
        if name.endswith(".timer"):
            self.unit(name.replace(".timer", ".service"))  # what it would start is there
        elif name.endswith(".socket"):
            self._sockets.setdefault(name, self._listening(self.unit(name)["Socket"]))
        elif name not in self._services:
            passed = self._sockets.get(name.replace(".service", ".socket"))
            service = Service(self.root, name, self.unit(name)["Service"], passed)
            if not service.is_oneshot:
                self._services[name] = service
            service.start()

    def _stop(self, name: str) -> None:
        if name in self._services:
            self._services.pop(name).stop()
        if name in self._sockets:
            self._sockets.pop(name).close()

    def _listening(self, values: Values) -> socket.socket:
        host, _, port = values["ListenStream"][-1].rpartition(":")
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, int(port)))
        listening.listen(int(values["Backlog"][-1]))
        return listening

    def unit(self, name: str) -> dict[str, Values]:
        """Return a unit's values by section and name, those of its drop-ins last."""
        folder = self.root / "etc/systemd/system"
        file = folder / name
        if not file.exists():
            raise Failed(f"Unit {name} not found.")
        sections: dict[str, Values] = defaultdict(lambda: defaultdict(list))
        for part in (file, *sorted((folder / f"{name}.d").glob("*.conf"))):
            section = ""
            for line in part.read_text().splitlines():
                if line.startswith("["):
                    section = line.strip("[] ")
                elif line.strip() and line[0] not in "#;":
                    key, _, value = line.partition("=")
                    sections[section][key.strip()].append(value.strip())
        return sections

    def pid(self, name: str) -> int:
        """Return the main process of a running service."""
        return self._services[name].pid

    def end(self) -> None:
        """Leave nothing running."""
        for name in [*self._services, *self._sockets]:
            self._stop(name)


class Service:
    """A service, kept running as its unit says."""

    def __init__(self, root: Path, name: str, values: Values, passed: socket.socket | None) -> None:
        self._root = root
        self._name = name
        self._values = values
        self._passed = passed
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    @property
    def is_oneshot(self) -> bool:
        return self._last("Type") == "oneshot"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._spawn()
        assert self._process is not None
        if not self.is_oneshot:
            self._keeper.start()
        elif self._process.wait(60):
            raise Failed(f"Job for {self._name} failed:\n{self.log.read_text()}")

    def stop(self) -> None:
        """Ask its main process to end, and kill what is left after its time."""
        self._stopping.set()
        self._send(signal.SIGTERM)
        self._keeper.join(float(self._last("TimeoutStopSec", "90")))
        if self._keeper.is_alive():
            processes.kill(self.pid)
            self._keeper.join(10)
            raise Failed(f"{self._name} did not stop in time:\n{self.log.read_text()}")

    def reload(self) -> None:
        """Do what ExecReload says."""
        command = self._last("ExecReload").replace("$MAINPID", str(self.pid))
        subprocess.run(shlex.split(command), check=True)

    @property
    def log(self) -> Path:
        """What it wrote to the journal."""
        return self._root / "var/log" / self._name

    def _keep(self) -> None:
        while not self._stopping.is_set():
            assert self._process is not None
            self._process.wait()
            restart = self._last("Restart") == "always"
            if self._stopping.wait(float(self._last("RestartSec", "0.1"))) or not restart:
                return
            self._spawn()

    def _spawn(self) -> None:
        for state in self._values.get("StateDirectory", []):
            folder = self._root / "var/lib" / state
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(int(self._last("StateDirectoryMode", "0755"), 8))
        environ = self._environ()
        command = [
            part
            for word in shlex.split(self._last("ExecStart"))
            for part in (environ[word[1:]].split() if word.startswith("$") else [word])
        ]
        descriptors = () if self._passed is None else (self._passed.fileno(),)
        if self._passed is not None:
            command = ["bash", "-c", _PASSING, str(self._passed.fileno()), *command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                umask=int(self._last("UMask", "0022"), 8),
                pass_fds=descriptors,
                start_new_session=True,
            )
        guardian.watch(self._process.pid)

    def _environ(self) -> dict[str, str]:
        """Return no more than what systemd would: PATH, and what the unit says."""
        environ = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        environ |= dict(pair.split("=", 1) for pair in self._values.get("Environment", []))
        for file in self._values.get("EnvironmentFile", []):
            environ |= settings_in(Path(file))
        return environ

    def _send(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _last(self, name: str, default: str = "") -> str:
        return self._values.get(name, [default])[-1]


def settings_in(file: Path) -> dict[str, str]:
    """Read an environment file as systemd.exec(5) says, as far as ours go."""
    settings = {}
    for line in file.read_text().splitlines():
        if line.strip() and line[0] not in "#;":
            name, _, value = line.partition("=")
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            settings[name.strip()] = value[1:-1] if quoted else value.strip()
    return settings
