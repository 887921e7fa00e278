"""The floor: what the kernel alone takes to send bytes over loopback TCP and to receive them."""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass

#: Connections that are written to in turn, so that none is warm from the moment before.
_PAIRS = 200

_ROUNDS = 25


@dataclass(frozen=True)
class Floor:
    """CPU times of one process that does nothing else, in seconds per message."""

    bytes: int
    send: float
    receive: float

    @property
    def both(self) -> float:
        return self.send + self.receive

    @classmethod
    def middle(cls, floors: list[Floor]) -> Floor:
        """Return the one in the middle of several of the same size."""
        return sorted(floors, key=lambda floor: floor.both)[len(floors) // 2]


def measure_floor(size: int) -> Floor:
    """Send and receive messages of `size` bytes over many loopback connections in turn."""
    message = bytes(size)
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:
        pairs = [_connect(stack, listener) for _ in range(_PAIRS)]
        _exchange(pairs, message)
        rounds = [_exchange(pairs, message) for _ in range(_ROUNDS)]
    count = _PAIRS * _ROUNDS
    send, receive = (sum(times) / count for times in zip(*rounds, strict=True))
    return Floor(size, send, receive)


def _connect(stack: ExitStack, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = stack.enter_context(socket.create_connection(listener.getsockname()))
    far, _ = listener.accept()
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, stack.enter_context(far)


def _exchange(
    pairs: list[tuple[socket.socket, socket.socket]], message: bytes
) -> tuple[float, float]:
    began = time.process_time()
    for near, _ in pairs:
        os.write(near.fileno(), message)
    sent = time.process_time()
    for _, far in pairs:
        far.recv(len(message), socket.MSG_WAITALL)
    return sent - began, time.process_time() - sent
