"""Pictures fetched from addresses that stand in an operator's file, which others may have written.

An address may lead into the operator's own network. So a name is resolved once, each of its
addresses must be one of the public internet, and the connection goes to the one that was looked
at; a redirect is an address like any other. All of it is bounded, in bytes and in time.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from shop.ipv4 import ipv4_within
from shop.pictures.originals import MOST_BYTES, PictureError

#: How long one attempt may take, in seconds, and connecting alone.
LONGEST = 30.0
_CONNECTING = 5.0

#: How often a picture is asked for: a network may fail once.
_ATTEMPTS = 2

_MOST_REDIRECTS = 3
_LONGEST_ADDRESS = 2000
_PORTS = {"http": 80, "https": 443}

_REDIRECTS = (301, 302, 303, 307, 308)
_IN_QUERIES = "/%:@!$&()*+,;=~-._?"
_TOO_LARGE = f"it has more than {MOST_BYTES // 1_000_000} MB"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotFetched(PictureError):
    """A picture can't be had from its address; one line says why."""


class _TryAgain(NotFetched):
    """It may be had at another try."""


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = ipv4_within(address) or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


def fetch(
    reference: str, allowed: Callable[[Address], bool] = is_public, longest: float = LONGEST
) -> bytes:
    """Return what stands at an address, `MOST_BYTES` at most.

    Args:
        allowed: tells which addresses of the network may be asked.
        longest: how long an attempt may take, in seconds.

    Raises:
        NotFetched: it can't be had, at the second attempt neither.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _Attempt(allowed).run(reference, longest)
        except _TryAgain:
            pass
    return _Attempt(allowed).run(reference, longest)


class _Attempt:
    """One attempt, in a thread: what looks a name up can't be told to end."""

    def __init__(self, allowed: Callable[[Address], bool]) -> None:
        self._allowed = allowed
        self._connection: _Pinned | None = None
        self._answer: http.client.HTTPResponse | None = None
        self._done: Future[bytes] = Future()
        self._over = False

    def run(self, reference: str, longest: float) -> bytes:
        """Return what stands there; see `fetch`."""
        threading.Thread(target=self._run, args=(reference,), daemon=True).start()
        try:
            return self._done.result(longest)
        except TimeoutError:
            raise _TryAgain(f"it takes more than {longest:g} s") from None
        finally:
            self._over = True
            if self._connection is not None:
                self._connection.cut()

    def _run(self, reference: str) -> None:
        try:
            self._done.set_result(self._follow(reference))
        except NotFetched as error:
            self._done.set_exception(error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._done.set_exception(_TryAgain(_reason(error)))
        except Exception as error:
            self._done.set_exception(error)
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._answer is not None:
            self._answer.close()
        if self._connection is not None:
            self._connection.hang_up()

    def _follow(self, reference: str) -> bytes:
        for _ in range(1 + _MOST_REDIRECTS):
            url = _parse(reference)
            answer = self._ask(url)
            if answer.status not in _REDIRECTS:
                return _read(answer)
            reference = urljoin(url.geturl(), answer.getheader("Location") or "")
            self._hang_up()
        raise NotFetched(f"it leads on and on, more than {_MOST_REDIRECTS} times")

    def _ask(self, url: SplitResult) -> http.client.HTTPResponse:
        host, port = str(url.hostname), url.port or _PORTS[url.scheme]
        addresses = _resolve(host, port, self._allowed)
        if self._over:
            raise NotFetched("too late")
        self._connection = _Pinned(host, port, addresses, url.scheme)
        path = quote(url.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = f"?{quote(url.query, safe=_IN_QUERIES)}" if url.query else ""
        headers = {"Accept": "image/*", "User-Agent": "drop-shop", "Connection": "close"}
        self._connection.request("GET", path + query, headers=headers)
        self._answer = self._connection.getresponse()
        return self._answer


def _parse(reference: str) -> SplitResult:
    if len(reference) > _LONGEST_ADDRESS:
        raise NotFetched(f"the address has more than {_LONGEST_ADDRESS:,} letters")
    try:
        url = urlsplit(reference)
        known = url.port is None or 0 < url.port < 65536
    except ValueError:
        known, url = False, SplitResult("", "", "", "", "")
    if url.scheme not in _PORTS or not url.hostname or not known:
        raise NotFetched("that is no address of the web")
    if url.username is not None or url.password is not None:
        raise NotFetched("a name and a password don't belong into an address")
    return url


def _read(answer: http.client.HTTPResponse) -> bytes:
    if answer.status != 200:
        kind = _TryAgain if answer.status >= 500 or answer.status == 429 else NotFetched
        raise kind(f"its server answers with {answer.status}")
    promised = answer.length or 0
    if promised > MOST_BYTES:
        raise NotFetched(_TOO_LARGE)
    content = answer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise NotFetched(_TOO_LARGE)
    if len(content) < promised:
        raise _TryAgain("it ends too soon")
    return content


def _resolve(host: str, port: int, allowed: Callable[[Address], bool]) -> list[str]:
    """Return the addresses of a host, all of which may be asked."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _TryAgain(f"the name {host[:100]} is not known") from None
    addresses = [str(each[4][0]) for each in found]
    for address in addresses:
        if not allowed(ipaddress.ip_address(address.partition("%")[0])):
            raise NotFetched(f"{host[:100]} is not on the public internet")
    return addresses


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return f"its server can't be reached: {error.strerror}"
    return "its server gives no answer that can be read"


class _Pinned(http.client.HTTPConnection):
    """A connection to the addresses that a host was looked at by, and to no others."""

    def __init__(self, host: str, port: int, addresses: list[str], scheme: str) -> None:
        super().__init__(host, port, timeout=_CONNECTING)
        self.default_port = _PORTS[scheme]
        self._addresses = addresses
        self._tls = ssl.create_default_context() if scheme == "https" else None
        #: the connection itself, which is left to the answer while that is read
        self._open: socket.socket | None = None

    def connect(self) -> None:
        """Connect to one of them; TLS is with the host by its name."""
        failed: OSError = OSError("no address")
        for address in self._addresses[:3]:
            try:
                self.sock = socket.create_connection((address, self.port), _CONNECTING)
                break
            except OSError as error:
                failed = error
        else:
            raise failed
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)
        self.sock.settimeout(LONGEST)
        self._open = self.sock

    def cut(self) -> None:
        """End whatever another thread waits for."""
        if self._open is not None:
            with suppress(OSError):
                self._open.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the connection, whoever reads from it."""
        self.close()
        if self._open is not None:
            self._open.close()
