"""Requests that are none: refused once, whatever comes before, after or in between."""

from __future__ import annotations

import random
import re
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.front import Front, open_folder
from tests.support.running import HURRIED, RunningShop
from tests.support.shopper import Shopper

HOST = b"Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST
FINE = GET + b"\r\n"
LAST = GET + b"Connection: close\r\n\r\n"
POST = b"POST /cart/items HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SOCKET = (
    b"GET /socket HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)

#: Heads that are refused: RFC 9110, sections 5.1, 5.5, 5.6.2 and 7.2; RFC 9112, 2 to 6.
HEADS = {
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version of letters": b"GET / HTTP/x.y\r\n" + HOST + b"\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": GET + HOST + b"\r\n",
    "an empty host": b"GET /healthz HTTP/1.1\r\nHost: \r\n\r\n",
    "two hosts in one": b"GET /healthz HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "a byte above ASCII as host": b"GET /healthz HTTP/1.1\r\nHost: \xff\r\n\r\n",
    "half an address as host": b"GET /healthz HTTP/1.1\r\nHost: [\r\n\r\n",
    "a word as port": b"GET /healthz HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "a user in the target": b"GET http://a@b/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target of another scheme": b"GET ftp://localhost/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "half an address as target": b"GET http://[/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target for proxies": b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target for OPTIONS": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment": b"GET /healthz#x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a byte above ASCII in the target": b"GET /stream?product=\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "many of them": b"GET /stream" + b"\xff" * 8080 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a control in the target": b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
    "tabs in the first line": b"GET\t/\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces in the first line": b"GET  /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method that is no token": b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "too long a first line": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "too long a line": GET + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    "too many lines": GET + b"X: x\r\n" * 200 + b"\r\n",
    "too long a head": GET + (b"X: " + b"x" * 1000 + b"\r\n") * 90 + b"\r\n",
    "a line without a colon": GET + b"X\r\n\r\n",
    "a line without a name": GET + b": x\r\n\r\n",
    "a space in a name": POST + b"X Y: 1\r\nContent-Length: 5\r\n\r\nhello",
    "a space after a name": POST + b"Content-Length : 5\r\n\r\nhello",
    "a control in a name": POST + b"X\x01: 1\r\nContent-Length: 5\r\n\r\nhello",
    "a byte above ASCII in a name": POST + b"X\xff: 1\r\nContent-Length: 5\r\n\r\nhello",
    "a folded line": GET + b"X: a\r\n b\r\n\r\n",
    "a folded first line": b"GET /healthz HTTP/1.1\r\n X: a\r\n" + HOST + b"\r\n",
    "lines that end in LF": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
    "one line that ends in LF": b"GET /healthz HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "a CR in a value": GET + b"X: a\rContent-Length: 5\r\n\r\nhello",
    "a NUL in a value": GET + b"X: a\0b\r\n\r\n",
    "a connection that is no token": GET + b"Connection: \xff\r\n\r\n",
    "no number as length": POST + b"Content-Length: x\r\n\r\n",
    "a signed length": POST + b"Content-Length: +5\r\n\r\nhello",
    "a hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "a raised digit as length": POST + b"Content-Length: \xb2\r\n\r\n",
    "a length after a vertical tab": POST + b"Content-Length: \x0b5\r\n\r\nhello",
    "a length after a no-break space": POST + b"Content-Length: \xa05\r\n\r\nhello",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "one length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "lengths in a list": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length and chunks": POST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks by HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding that changes nothing": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "chunks after a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "another expectation": POST + b"Expect: x\r\nContent-Length: 5\r\n\r\nhello",
    "a WebSocket by HEAD": SOCKET.replace(b"GET", b"HEAD", 1) + b"\r\n",
    "a WebSocket that speaks unasked": SOCKET + b"\r\n\x81\x85abcdABCDE",
    "a WebSocket of another version": SOCKET.replace(b": 13", b": \xff") + b"\r\n",
}

#: Bodies that are refused: RFC 9112, section 7.1.
BODIES = {
    "a chunk without a size": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "an extension without a size": CHUNKED + b";x\r\nhello\r\n0\r\n\r\n",
    "a space before a size": CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n",
    "a prefix of a size": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size below zero": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "a chunk that is longer": CHUNKED + b"5\r\nhelloo\r\n0\r\n\r\n",
    "a chunk without an end": CHUNKED + b"5\r\nhello0\r\n\r\n",
    "a LF in an extension": CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "a CR in an extension": CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "an endless extension": CHUNKED + b"5;" + b"x" * 300_000,
    "a trailer that is none": CHUNKED + b"0\r\nX Y: 1\r\n\r\n",
    "a length as trailer": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "endless trailers": CHUNKED + b"0\r\n" + b"X: yyyyyyyyyyyyy\r\n" * 20_000,
    "many small chunks": CHUNKED + b"1\r\nx\r\n" * 60_000,
    "many extensions": CHUNKED + (b"1;" + b"x" * 1000 + b"\r\nx\r\n") * 100,
}

#: What never comes to an end, or only seems to: refused as soon as the time is over.
UNENDING = {
    "half a head": b"GET /healthz HTTP/1.1\r\nHo",
    "a greeting of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01",
    "half a body": POST + b"Content-Length: 5\r\n\r\nhel",
    "half a chunk": CHUNKED + b"5\r\nhel",
    "half a trailer": CHUNKED + b"0\r\nX",
    "a body that a chunk announces": CHUNKED + b"fffffffffffffffff\r\nhello",
    "chunks that end in LF": CHUNKED + b"5\nhello\n0\n\n",
}

MALFORMED = {**HEADS, **BODIES}

malformed = pytest.mark.parametrize("sent", list(MALFORMED.values()), ids=list(MALFORMED))


@pytest.fixture(scope="module")
def strict(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop that waits for hardly anything, and that none of this makes fail."""
    folder = shutil.copytree(released, tmp_path_factory.mktemp("strict") / "instance")
    shop = RunningShop(folder, HURRIED, TIMEOUT="0.6").start()
    yield shop
    assert Shopper(shop).get("/").status == 200
    assert shop.stop() == 0
    log = "".join(shop.output)
    assert "Traceback" not in log and '"ERROR"' not in log


@pytest.fixture(scope="module")
def front(strict: RunningShop) -> Iterator[Front]:
    folder = open_folder()
    with Front([strict], folder) as nginx:
        yield nginx
    shutil.rmtree(folder)


def statuses(connection: socket.socket, sent: bytes, *, then_end: bool = False) -> list[int]:
    """Send something and return the answers that come until the connection is closed."""
    found = b""
    with connection, suppress(ConnectionError):
        with suppress(ConnectionError):  # it may be refused before all of it is sent
            connection.sendall(sent)
            if then_end:
                connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(65536):
            found += data
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", found)]


def connect(shop: RunningShop) -> socket.socket:
    return socket.create_connection(("127.0.0.1", shop.port), timeout=15)


def is_refusal(status: int) -> bool:
    return status in (400, 403, 413, 414, 431)


@malformed
def test_what_is_malformed_is_refused_and_ends_the_connection(
    strict: RunningShop, sent: bytes
) -> None:
    (status,) = statuses(connect(strict), sent + FINE + FINE)
    assert is_refusal(status)


@malformed
def test_what_comes_before_it_is_answered_and_what_comes_after_it_is_not(
    strict: RunningShop, sent: bytes
) -> None:
    first, second, refused = statuses(connect(strict), FINE + FINE + sent + FINE)
    assert (first, second) == (200, 200) and is_refusal(refused)


@pytest.mark.parametrize("sent", list(UNENDING.values()), ids=list(UNENDING))
def test_what_does_not_end_is_given_up_without_a_second_answer(
    strict: RunningShop, sent: bytes
) -> None:
    first, refused = statuses(connect(strict), FINE + sent)
    assert first == 200 and refused in (400, 408, 413)


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: %d\r\n\r\n" % len(LAST) + LAST,
        b"HEAD /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(LAST) + LAST,
        CHUNKED + b'%x;a="b;c";d\r\n%s\r\n0\r\nX: y\r\n\r\n' % (len(LAST), LAST),
        GET + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 5\r\n\r\nhello",
        b"\r\n" + FINE,
    ],
    ids=["a length", "a length of HEAD", "chunks", "a length of an upgrade", "an empty line"],
)
def test_a_body_is_a_body_and_never_a_request(strict: RunningShop, sent: bytes) -> None:
    answers = statuses(connect(strict), sent + sent + LAST)
    assert len(answers) == 3 and answers[-1] == 200 and max(answers) <= 400


@malformed
def test_nothing_malformed_comes_through_nginx_as_two_requests(front: Front, sent: bytes) -> None:
    for before in (b"", FINE):
        secure = front.tls().wrap_socket(
            socket.create_connection(("127.0.0.1", front.port), timeout=15),
            server_hostname="localhost",
        )
        answers = statuses(secure, before + sent + FINE + LAST)
        # Nginx takes some of it for a fine request; it says itself which codings it doesn't know.
        assert len(answers) <= (4 if before else 3)
        assert all(status in (101, 200, 501) or 400 <= status < 500 for status in answers)
    connection = front.connect()
    for path, said in (("/healthz", b"ok\n"), ("/static/nothing", None), ("/healthz", b"ok\n")):
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
        assert said is None or text == said, "everybody still gets the answer to what they asked"
    connection.close()


def test_nothing_that_anybody_sends_is_answered_by_a_500(strict: RunningShop) -> None:
    dice = random.Random(9112)
    seeds = [FINE, LAST, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", SOCKET + b"\r\n", *HEADS.values()]
    for _ in range(400):
        sent = bytearray(dice.choice(seeds)[:2000])
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(sent))
            how = dice.randrange(3)
            if how == 0:
                sent[at] = dice.choice(b"\0\x0b\r\n\t :;,=\x7f\x80\xa0\xff")
            elif how == 1:
                del sent[at]
            else:
                sent[at:at] = dice.choice([b"\r\n", b"\n", b"\xff", b" ", b"%ff", b"[", b"\0"])
        for status in statuses(connect(strict), bytes(sent), then_end=True):
            assert status < 500, bytes(sent)


def test_a_client_that_is_gone_before_its_refusal_is_not_worth_a_word(strict: RunningShop) -> None:
    for sent in (HEADS["a folded line"], BODIES["a chunk without a size"]):
        with connect(strict) as leaving:
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            leaving.sendall(sent)


@pytest.mark.parametrize("target", ["http://localhost/", "HTTP://localhost", "http://localhost?x"])
def test_a_target_with_a_host_counts_instead_of_the_header(
    strict: RunningShop, target: str
) -> None:
    with connect(strict) as connection:
        connection.sendall(
            f"GET {target} HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n".encode()
        )
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Cross-Origin-Opener-Policy" in answer, "as for the host that is trusted"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/cart/items", "/nowhere", "/static/x", "/socket"])
def test_an_announced_body_that_is_too_large_is_refused_at_once(
    open_drop: RunningShop, method: str, path: str
) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    with connect(open_drop) as connection:
        connection.settimeout(5)  # on a shop whose timeout is longer than that
        connection.sendall(f"{head}Content-Length: 70000\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] == b"413"
