"""The socket that the shop listens on: opened here, or passed by systemd.

A passed one outlives the process: what comes while nobody accepts waits in its backlog.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
import struct
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass

from shop.config import Settings
from shop.output import Output
from shop.setting_values import SettingError

#: How many connections may wait to be accepted; the kernel allows no more than
#: net.core.somaxconn.
BACKLOG = 4096

#: The first descriptor that systemd passes: see sd_listen_fds(3).
_FIRST_PASSED = 3

_SO_ATTACH_FILTER = 26


@dataclass(frozen=True)
class Listener:
    """Where the shop is reached."""

    socket: socket.socket
    #: whether it was passed: then it is not ours to empty, and others may accept from it
    passed: bool

    @property
    def address(self) -> str:
        """The address to open in a browser, or the path of a Unix socket."""
        return address_of(self.socket)

    def hand_on(self, environ: MutableMapping[str, str]) -> None:
        """Pass it to the program that takes this process's place, as systemd would have."""
        if self.socket.fileno() != _FIRST_PASSED:
            os.dup2(self.socket.fileno(), _FIRST_PASSED)
        os.set_inheritable(_FIRST_PASSED, True)
        environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")


def open_listener(settings: Settings) -> Listener:
    """Take the socket that systemd passed, else listen where the settings say.

    Raises:
        SettingError: the address can't be listened on, or what was passed is no such socket.
    """
    passed = _passed()
    if passed is not None:
        return Listener(passed, passed=True)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    own = socket.socket(family, socket.SOCK_STREAM)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((settings.host, settings.port))
        own.listen(BACKLOG)
    except OSError as error:
        own.close()
        raise _refused(settings, error) from None
    own.setblocking(False)
    return Listener(own, passed=False)


def _passed() -> socket.socket | None:
    for_whom, count = os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDS")
    if for_whom != str(os.getpid()) or count is None:
        return None
    del os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"]
    with suppress(OSError):
        passed = socket.socket(fileno=_FIRST_PASSED)
        if count == "1" and passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            os.set_inheritable(_FIRST_PASSED, False)
            passed.setblocking(False)
            return passed
    raise SettingError("LISTEN_FDS", count, "one listening stream socket is allowed")


def address_of(listening: socket.socket) -> str:
    """Return what a listening socket is reached by."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"http://[{name[0]}]:{name[1]}" if ":" in name[0] else f"http://{name[0]}:{name[1]}"


def stop_accepting(listening: socket.socket) -> None:
    """Have the kernel begin no further connections; those that it has completed can be accepted.

    Closing a listening socket resets what completed since the last accept. With this before,
    nothing does: a new connection's SYN is dropped, and after its repetition, a second later, the
    port is closed or another's. Where the kernel can't do that, nothing happens.
    """
    if listening.family == socket.AF_UNIX:
        return
    # Classic BPF, on the TCP header: drop what has SYN and not ACK among its flags (byte 13).
    program = b"".join(
        struct.pack("=HBBI", *step)
        for step in [
            (0x30, 0, 0, 13),  # load the flags
            (0x54, 0, 0, 0x12),  # of them SYN and ACK
            (0x15, 0, 1, 0x02),  # only SYN?
            (0x06, 0, 0, 0),  # drop
            (0x06, 0, 0, 0xFFFFFFFF),  # keep
        ]
    )
    held = ctypes.create_string_buffer(program)
    attached = struct.pack("HP", len(program) // 8, ctypes.addressof(held))
    with suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)


def allow_many_files() -> None:
    """Each stream holds a descriptor: take as many as the system gives."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS gives less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def greet(address: str, *, empty: bool = False) -> None:
    """Say where the shop is, and what to try next.

    Args:
        address: as in `address_of`.
        empty: whether there are no products.
    """
    if empty:
        next_ = (
            "  There are no products yet. In a second terminal:\n"
            "    bin/flask catalog import FILE.csv   your own: Shopify's export, or a spreadsheet\n"
            "    bin/flask seed              a demo catalogue, to try the shop with\n"
        )
    else:
        next_ = (
            "  Open it in a few tabs, then try in a second terminal:\n"
            "    bin/flask release 1 2       the drop: sizes appear in every tab\n"
            "    bin/flask stock list        what is left\n"
            "    bin/flask sell-out          watch it sell out\n"
        )
    Output(sys.stdout, lambda _: "").write(
        f"\nThe shop is open at {address}\n\n{next_}"
        "    bin/flask --help            everything else\n\n"
        "  Ctrl-C closes the shop; carts, stock and orders stay.\n\n",
    )


def _refused(settings: Settings, error: OSError) -> SettingError:
    if error.errno == errno.EADDRINUSE:
        allowed = "something listens there already; choose another port or stop that"
        return SettingError("SHOP_PORT", str(settings.port), allowed)
    if error.errno == errno.EACCES:
        allowed = "ports below 1024 need rights that this process doesn't have"
        return SettingError("SHOP_PORT", str(settings.port), allowed)
    allowed = f"an address of this machine is allowed ({error.strerror})"
    return SettingError("SHOP_HOST", settings.host, allowed)
