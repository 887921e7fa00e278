"""As much of HTTP/1.1 as a load client needs: keep-alive, cookies, answers of known length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode


@dataclass(frozen=True)
class Request:
    """What to ask, and what should be answered."""

    #: under which name the time it takes is noted
    kind: str
    method: str
    path: str
    #: as pairs where a field stands in it several times
    form: Mapping[str, str] | Sequence[tuple[str, str]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    text: str

    def header(self, name: str) -> str:
        """Return a header's value; nothing without it."""
        return dict(self.headers).get(name, "")


class Browser:
    """Writes requests and reads answers, and keeps one visitor's cookies."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._cookies: dict[str, str] = {}
        self._came = bytearray()

    @property
    def cookies(self) -> str:
        """What it sends along, as in the header `Cookie`."""
        return "; ".join(f"{name}={value}" for name, value in self._cookies.items())

    def write(self, request: Request) -> bytes:
        """Return a request as it goes over the wire."""
        body = urlencode(request.form or {}).encode()
        headers = {"Host": self._host, **request.headers}
        if self._cookies:
            headers["Cookie"] = self.cookies
        if request.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["Content-Length"] = str(len(body))
        lines = [f"{request.method} {request.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def read(self, data: bytes) -> Answer | None:
        """Take what came; return the answer once it is whole.

        Raises:
            ValueError: it has no Content-Length.
        """
        self._came += data
        end = self._came.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._came[:end].decode("latin-1").split("\r\n")
        headers = [(k.lower(), v.strip()) for k, _, v in (line.partition(":") for line in lines)]
        length = dict(headers).get("content-length")
        if length is None:
            raise ValueError(f"an answer without Content-Length: {first}")
        whole = end + 4 + int(length)
        if len(self._came) < whole:
            return None
        answer = Answer(int(first.split()[1]), headers, self._came[end + 4 : whole].decode())
        del self._came[:whole]
        self._keep_cookies(answer)
        return answer

    def forget(self) -> None:
        """Forget what came of an answer that will never be whole: its connection is gone."""
        self._came.clear()

    def _keep_cookies(self, answer: Answer) -> None:
        for name, value in answer.headers:
            if name == "set-cookie":
                key, _, text = value.partition(";")[0].partition("=")
                if "max-age=0;" in value.lower() + ";":
                    self._cookies.pop(key, None)
                else:
                    self._cookies[key] = text
