"""Machines of one's own on one machine: network namespaces, and lines that can be cut.

Each machine has a line to a router, a namespace as well, which forwards from one to the other.
A cut is made there, by a routing rule that drops: neither side gets a reset, or an error from
its own kernel, as it would if its line went down. Packets vanish.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Self

from tests.support.machines import guardian


class NoNetwork(AssertionError):
    """Network namespaces can't be had here. Never a reason to skip."""


@dataclass(frozen=True)
class Machine:
    """Where a program runs, and under which address it is reached."""

    name: str
    address: str
    #: what to put before a command so that it runs there
    enter: tuple[str, ...] = ()


#: This machine, on its loopback device.
HERE = Machine("here", "127.0.0.1")

_networks = itertools.count(1)


class Network:
    """Machines that reach one another and this one, until a line is cut. Needs root.

    This machine, from which tests and browsers look, is the one that is called "here"; it has
    a line of its own as well.

    Raises:
        NoNetwork: it could not be made, and why.
    """

    def __init__(self, *names: str) -> None:
        number = next(_networks)
        self._prefix = f"shop-{os.getpid()}-{number}"
        self._device = f"shop{os.getpid()}.{number}"  # 15 characters are allowed
        self._router = f"{self._prefix}-router"
        self._block = _free_block()
        self._undo: list[tuple[tuple[str, ...], Callable[[], None]]] = []
        self.machines: dict[str, Machine] = {}
        try:
            self._make_router()
            self._connect_here()
            for name in names:
                self._make(name)
        except BaseException:
            self.end()
            raise

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def cut(self, one: str, other: str) -> None:
        """Drop every packet between two machines, silently."""
        for rule in self._rules(one, other):
            _ip("-n", self._router, "rule", "add", *rule)

    def mend(self, one: str, other: str) -> None:
        """Let packets through again between two machines."""
        for rule in self._rules(one, other):
            _ip("-n", self._router, "rule", "del", *rule)

    def end(self) -> None:
        """Leave nothing of it."""
        while self._undo:
            command, forget = self._undo.pop()
            subprocess.run(command, capture_output=True, check=False)
            forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _rules(self, one: str, other: str) -> list[list[str]]:
        a, b = self.machines[one].address, self.machines[other].address
        return [["from", a, "to", b, "blackhole"], ["from", b, "to", a, "blackhole"]]

    def _make_router(self) -> None:
        self._add_namespace(self._router)
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        _run(*_enter(self._router), "sh", "-c", forward)

    def _connect_here(self) -> None:
        self._undone_by("ip", "link", "del", "dev", self._device)
        address = self._connect("here", self._device, str(self._block))
        self.machines["here"] = Machine("here", address)

    def _make(self, name: str) -> None:
        namespace = f"{self._prefix}-{name}"
        self._add_namespace(namespace)
        address = self._connect(name, "eth0", "default", "-n", namespace)
        self.machines[name] = Machine(name, address, _enter(namespace))

    def _add_namespace(self, name: str) -> None:
        self._undone_by("ip", "netns", "del", name)
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "dev", "lo", "up")

    def _connect(self, name: str, device: str, beyond: str, *there: str) -> str:
        """Lay a line from a machine's device to the router's, which is named like the machine.

        Args:
            beyond: the addresses to be reached over this line.
            there: what has `ip` work on that machine.

        Returns:
            The machine's address.
        """
        router, machine = self._addresses()
        to_router = ("type", "veth", "peer", "name", name, "netns", self._router)
        _ip(*there, "link", "add", "dev", device, *to_router)
        _ip("-n", self._router, "address", "add", f"{router}/30", "dev", name)
        _ip("-n", self._router, "link", "set", "dev", name, "up")
        _ip(*there, "address", "add", f"{machine}/30", "dev", device)
        _ip(*there, "link", "set", "dev", device, "up")
        _ip(*there, "route", "add", beyond, "via", router)
        return machine

    def _addresses(self) -> tuple[str, str]:
        """Return the router's and the machine's address on the next line."""
        first = self._block.network_address + 4 * len(self.machines)
        return str(first + 1), str(first + 2)

    def _undone_by(self, *command: str) -> None:
        self._undo.append((command, guardian.afterwards(*command)))


def _enter(namespace: str) -> tuple[str, ...]:
    """Return what runs a command in a namespace, in the same process: it can be signalled."""
    return ("nsenter", f"--net=/run/netns/{namespace}")


def _free_block() -> IPv4Network:
    """Return 256 addresses that this machine has no way to yet."""
    known = Path("/proc/net/fib_trie").read_text()
    while True:
        block = f"10.{random.randrange(64, 255)}.{random.randrange(256)}"
        if f"{block}." not in known:
            return IPv4Network(f"{block}.0/24")


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoNetwork(f"there is no {command[0]} here: install iproute2") from error
    if done.returncode:
        raise NoNetwork(
            "machines in network namespaces can't be made here, which needs root with "
            f"CAP_SYS_ADMIN and CAP_NET_ADMIN: {' '.join(command)}: {done.stderr.strip()}"
        )
