"""Pictures are fetched from the public internet, within limits, and from nowhere else."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from shop.pictures.fetching import NotFetched, fetch, is_public
from shop.pictures.originals import MOST_BYTES
from tests.support.front import make_certificate

#: Answers by path: a status, headers, and a body or what writes one.
Answer = tuple[int, dict[str, str], bytes | Callable[[Any], object]]


class Web:
    """A server on this machine, which stands for the public internet in these tests."""

    def __init__(self, certificate: Path | None = None) -> None:
        web = self
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, list[Answer]] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append((self.path, self.headers["Host"]))
                queue = web.answers.get(self.path, [(404, {}, b"")])
                status, headers, body = queue.pop(0) if len(queue) > 1 else queue[0]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if callable(body):
                    body(self.wfile)
                else:
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "fullchain.pem", certificate / "privkey.pem")
            listening = self._server.socket
            self._server.socket = context.wrap_socket(listening, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    with closing(Web()) as server:
        yield server


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Addresses by name, instead of those that the machine's resolver knows."""
    known: dict[str, list[str]] = {"pictures.example": ["127.0.0.1"]}
    asked = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        if host in known:
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, (address, port)) for address in known[host]]
        if host.endswith(".example"):
            raise socket.gaierror("not known")
        return asked(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


def is_the_web(address: object) -> bool:
    return str(address) == "127.0.0.1"


def get(web: Web, path: str, **options: Any) -> bytes:
    return fetch(f"http://pictures.example:{web.port}{path}", is_the_web, **options)


def test_a_picture_is_fetched_by_the_name_of_its_server(
    web: Web, names: dict[str, list[str]]
) -> None:
    web.answers["/a%20b.jpg?v=1"] = [(200, {}, b"picture")]
    assert get(web, "/a b.jpg?v=1#top") == b"picture"
    assert web.asked == [("/a%20b.jpg?v=1", f"pictures.example:{web.port}")]


def test_by_https_the_name_of_the_server_must_be_the_certificates(
    names: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_certificate(tmp_path)
    names["localhost"] = ["127.0.0.1"]
    with closing(Web(tmp_path)) as web:
        web.answers["/1"] = [(200, {}, b"picture")]
        address = f"https://localhost:{web.port}/1"
        with pytest.raises(NotFetched, match="its certificate is not good"):
            fetch(address, is_the_web)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "fullchain.pem"))
        assert fetch(address, is_the_web) == b"picture"
        with pytest.raises(NotFetched, match="its certificate is not good"):
            fetch(address.replace("localhost", "pictures.example"), is_the_web)


def test_redirects_are_followed_a_few_times_and_each_is_looked_at(
    web: Web, names: dict[str, list[str]]
) -> None:
    web.answers["/1"] = [(302, {"Location": "/2"}, b"")]
    web.answers["/2"] = [(301, {"Location": f"http://pictures.example:{web.port}/3"}, b"")]
    web.answers["/3"] = [(200, {}, b"picture")]
    assert get(web, "/1") == b"picture"
    web.answers["/round"] = [(302, {"Location": "/round"}, b"")]
    with pytest.raises(NotFetched, match="leads on and on"):
        get(web, "/round")
    asked = len(web.asked)
    for inside in ("http://[::1]:1/x", "http://10.0.0.1/x", "file:///etc/passwd", "gopher://x/"):
        web.answers["/in"] = [(302, {"Location": inside}, b"")]
        with pytest.raises(NotFetched, match=r"not on the public internet|no address of the web"):
            get(web, "/in")
        asked += 1
    assert len(web.asked) == asked, "nothing is tried again that is refused"


def test_a_name_with_one_address_within_is_not_asked(web: Web, names: dict[str, list[str]]) -> None:
    names["pictures.example"] = ["127.0.0.1", "192.168.0.1"]
    with pytest.raises(NotFetched, match="not on the public internet"):
        get(web, "/1")
    assert web.asked == []


def test_a_name_is_looked_up_once_so_what_was_looked_at_is_asked(
    web: Web, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answers["/1"] = [(200, {}, b"picture")]
    looked_up: list[str] = []
    before = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        looked_up.append(host)
        return before(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    get(web, "/1")
    assert [host for host in looked_up if host == "pictures.example"] == ["pictures.example"]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2001:db8::1", "fec0::1"),
        *("2001:0:7f00:1::",),
    ],
)
def test_no_address_within_is_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "64:ff9b::808:808"])
def test_other_addresses_are(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "reference",
    [
        *("http://127.0.0.1/x", "http://2130706433/x", "http://0x7f.1/x", "http://127.1/x"),
        *("http://[::1]/x", "http://[::ffff:127.0.0.1]/x", "http://localhost/x", "http://0/x"),
    ],
)
def test_however_this_machine_is_written_it_is_not_asked(reference: str) -> None:
    with pytest.raises(NotFetched, match="not on the public internet"):
        fetch(reference)


@pytest.mark.parametrize(
    "reference",
    [
        *("http://", "http:///x", "http://a:b@x.example/", "http://x.example:99999/", "http://[x/"),
        "http://x.example/" + "x" * 3000,
    ],
)
def test_what_is_no_address_is_refused(reference: str) -> None:
    with pytest.raises(NotFetched):
        fetch(reference)


def test_what_failed_once_is_tried_again_and_what_isnt_there_is_not(
    web: Web, names: dict[str, list[str]]
) -> None:
    web.answers["/1"] = [(503, {}, b""), (200, {}, b"picture")]
    assert get(web, "/1") == b"picture"
    web.answers["/2"] = [(200, {"Content-Length": "100"}, b"half"), (200, {}, b"whole")]
    assert get(web, "/2") == b"whole"
    with pytest.raises(NotFetched, match="answers with 404"):
        get(web, "/none")
    assert [path for path, _ in web.asked] == ["/1", "/1", "/2", "/2", "/none"]
    web.answers["/3"] = [(500, {}, b"")]
    with pytest.raises(NotFetched, match="answers with 500"):
        get(web, "/3")


def test_more_than_a_picture_has_is_not_read(web: Web, names: dict[str, list[str]]) -> None:
    web.answers["/said"] = [(200, {"Content-Length": str(MOST_BYTES + 1)}, b"")]
    web.answers["/unsaid"] = [(200, {}, bytes(MOST_BYTES + 1))]
    for path in ("/said", "/unsaid"):
        with pytest.raises(NotFetched, match="more than 30 MB"):
            get(web, path)


def test_who_takes_for_ever_is_given_up(web: Web, names: dict[str, list[str]]) -> None:
    over = threading.Event()

    def drip(out: Any) -> None:
        while not over.wait(0.05):
            try:
                out.write(b"x")
            except OSError:
                return

    web.answers["/drip"] = [(200, {}, drip)]
    began = time.monotonic()
    with pytest.raises(NotFetched, match=r"takes more than 0\.5 s"):
        get(web, "/drip", longest=0.5)
    over.set()
    assert 1.0 <= time.monotonic() - began < 20
    assert len(web.asked) == 2
