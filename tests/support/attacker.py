"""What hostile visitors do, in a process of its own.

python -m tests.support.attacker PORT ADDRESSES SECONDS [tls]

Bounded in count, rate and time, and sent to 127.0.0.1 alone. It prints how often each was done.
"""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402
import random  # noqa: E402
import socket  # noqa: E402
import ssl  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Callable  # noqa: E402
from contextlib import suppress  # noqa: E402

import gevent  # noqa: E402

HOST = "127.0.0.1"

UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

#: A WebSocket's pings with 100 bytes each, masked with zeros, as many as fit into 16 KB.
PINGS = (b"\x89\xe4" + bytes(4) + bytes(100)) * 150

#: How idle connections begin: not at all, with half a head, with a head that promises a body.
IDLE = (
    b"",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    b"POST /socket HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
)

#: What is read of by nobody: a path in bytes that are none of an address.
NO_ADDRESS = b"GET /stream" + b"\xff" * 8080 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Attacker:
    """Somebody with some addresses, until a moment."""

    def __init__(self, port: int, addresses: int, seconds: float, *, tls: bool) -> None:
        self.port = port
        self.addresses = [f"127.0.1.{number + 1}" for number in range(addresses)]
        self.end = time.monotonic() + seconds
        self.tls = ssl._create_unverified_context() if tls else None
        self.origin = f"{'https' if tls else 'http'}://localhost"
        self.done: Counter[str] = Counter()

    def connect(self) -> socket.socket:
        plain = socket.socket()
        plain.settimeout(5)
        try:
            plain.bind((random.choice(self.addresses), 0))
            plain.connect((HOST, self.port))
            if self.tls is None:
                return plain
            return self.tls.wrap_socket(plain, server_hostname="localhost")
        except OSError:
            plain.close()
            raise

    def repeat(self, act: Callable[[], None], pause: float) -> None:
        """Do something again and again, however it ends."""
        while time.monotonic() < self.end:
            with suppress(OSError):
                act()
                self.done[act.__name__] += 1
            gevent.sleep(pause)

    def made_up_products(self) -> None:
        """Row 1: a stream that names 500 products which aren't there."""
        names = "&".join(f"product={random.randrange(10**6, 10**7)}" for _ in range(450))
        with self.connect() as connection:
            self.ask(connection, f"/stream?{names}")
            connection.recv(65536)

    def talking_socket(self) -> None:
        """Row 2: a WebSocket that pings and pings."""
        with self.connect() as connection:
            self.ask(connection, "/socket", f"Origin: {self.origin}\r\n{UPGRADE}")
            connection.recv(4096)
            while time.monotonic() < self.end:
                connection.sendall(PINGS)
                gevent.sleep(0.05)

    def deaf_reader(self) -> None:
        """Row 4: asks for a stream in bytes that are none of an address, and doesn't read."""
        with self.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.sendall(NO_ADDRESS)
            gevent.sleep(min(5, max(0, self.end - time.monotonic())))

    def endless_body(self) -> None:
        """Row 5: a chunk extension, or trailers, that never end."""
        head = "POST /cart/items HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        begin, more = random.choice((("0\r\n", "X-A: b\r\n" * 2000), ("1;", "a" * 16000)))
        with self.connect() as connection:
            connection.sendall((head + begin).encode())
            while time.monotonic() < self.end:
                connection.sendall(more.encode())
                gevent.sleep(0.01)

    def idle_connection(self) -> None:
        """Row 9: says nothing, or stops in the middle, and stays."""
        with self.connect() as connection:
            connection.sendall(random.choice(IDLE))
            connection.settimeout(max(0.1, self.end - time.monotonic()))
            connection.recv(4096)

    def ask(self, connection: socket.socket, path: str, headers: str = "") -> None:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())

    def attack(self) -> None:
        crowd = [
            *(gevent.spawn(self.repeat, self.made_up_products, 0.2) for _ in range(10)),
            *(gevent.spawn(self.repeat, self.talking_socket, 1.0) for _ in range(50)),
            *(gevent.spawn(self.repeat, self.deaf_reader, 0.2) for _ in range(8)),
            *(gevent.spawn(self.repeat, self.endless_body, 0.5) for _ in range(4)),
        ]
        for number in range(1500):
            crowd.append(gevent.spawn(self.repeat, self.idle_connection, 2.0))
            if number % 50 == 0:
                gevent.sleep(0.05)
        gevent.joinall(crowd, timeout=max(0, self.end - time.monotonic()) + 1)


if __name__ == "__main__":
    port, addresses, seconds, *rest = sys.argv[1:]
    attacker = Attacker(int(port), int(addresses), float(seconds), tls=rest == ["tls"])
    attacker.attack()
    print(dict(attacker.done), flush=True)
    os._exit(0)  # what is still open is let go at once
