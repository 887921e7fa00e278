"""A mail server (RFC 5321) that takes what it is sent, or does to it what servers do."""

from __future__ import annotations

import socketserver
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any


@dataclass(frozen=True)
class Taken:
    """A mail that the server has said that it takes."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=default)

    @property
    def text(self) -> str:
        body = self.message.get_body(("plain",))
        assert body is not None
        return str(body.get_content())

    @property
    def html(self) -> str:
        body = self.message.get_body(("html",))
        assert body is not None
        return str(body.get_content())


@dataclass
class MailServer:
    """A mail server on a port of this machine, from `start` to `stop`."""

    port: int = 0
    #: what is said of an address instead of taking it, as "550 nobody here"
    refused: dict[str, str] = field(default_factory=dict)
    #: how often an address is put off before it is taken
    greylisted: dict[str, int] = field(default_factory=dict)
    #: seconds before each answer
    delay: float = 0.0
    #: how many mails are taken without a word: the connection ends instead
    dies_after_data: int = 0
    #: what everybody is greeted by
    greeting: str = "220 here"
    taken: list[Taken] = field(default_factory=list)
    connections: int = 0
    lines: list[str] = field(default_factory=list)

    def start(self) -> MailServer:
        server = self

        class Handler(_Handler):
            mails = server

        self._server = _Threaded(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def be_kind(self) -> None:
        """Forget what was taken, and take everything from now on."""
        self.refused, self.greylisted = {}, {}
        self.delay, self.dies_after_data, self.greeting = 0.0, 0, "220 here"
        self.taken, self.lines, self.connections = [], [], 0

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """What a shop is told that hands its mails over here."""
        return {
            "SHOP_DEMO": "off",
            "SHOP_MAIL_URL": self.url,
            "SHOP_MAIL_FROM": "Noon <orders@shop.example>",
            "SHOP_PUBLIC_URL": "https://shop.example/",
        }

    @property
    def recipients(self) -> list[str]:
        """Whom the mails were for, in the order in which they came."""
        return [recipient for taken in self.taken for recipient in taken.recipients]

    @property
    def ids(self) -> Counter[str]:
        """How often each mail came, by what it is known by."""
        return Counter(str(taken.message["Message-ID"]) for taken in self.taken)


class _Threaded(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Handler(socketserver.StreamRequestHandler):
    mails: MailServer

    def handle(self) -> None:
        with suppress(ConnectionError):  # a shop that is killed ends its connections so
            self._serve()

    def _serve(self) -> None:
        self.mails.connections += 1
        self.sender, self.recipients = "", [""]
        self._answer(self.mails.greeting)
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            self.mails.lines.append(line)
            verb, _, rest = line.partition(" ")
            answer: Any = getattr(self, f"do_{verb.lower()}", None)
            if answer is None:
                self._answer("502 not here")
            elif answer(rest) is False:
                return

    def _answer(self, text: str) -> None:
        time.sleep(self.mails.delay)
        self.wfile.write(f"{text}\r\n".encode())

    def do_ehlo(self, _: str) -> None:
        self._answer("250-here\r\n250 SIZE 1000000")

    def do_mail(self, rest: str) -> None:
        self.sender, self.recipients = _address(rest), []
        self._answer("250 go on")

    def do_rcpt(self, rest: str) -> None:
        address = _address(rest)
        if address in self.mails.refused:
            self._answer(self.mails.refused[address])
        elif self.mails.greylisted.get(address, 0) > 0:
            self.mails.greylisted[address] -= 1
            self._answer("451 4.7.1 come back later")
        else:
            self.recipients.append(address)
            self._answer("250 go on")

    def do_data(self, _: str) -> bool:
        self._answer("354 go on")
        content = b""
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:  # who sent it is gone, and it is no mail
                return False
            content += line.removeprefix(b".") if line.startswith(b"..") else line
        self.mails.taken.append(Taken(self.sender, tuple(self.recipients), content))
        if self.mails.dies_after_data > 0:
            self.mails.dies_after_data -= 1
            return False
        self._answer("250 taken")
        return True

    def do_rset(self, _: str) -> None:
        self._answer("250 begin anew")

    def do_quit(self, _: str) -> bool:
        self._answer("221 good-bye")
        return False


def _address(rest: str) -> str:
    return rest.partition("<")[2].partition(">")[0]
