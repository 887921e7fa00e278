"""Handing a mail over: to a server by SMTP (RFC 5321), or into a folder."""

from __future__ import annotations

import os
import smtplib
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from shop.mail.composing import Letter
from shop.setting_values import MailServer

#: How long an answer of the server is waited for, in seconds.
ANSWER = 30.0

#: Replies of a server that is about to close, and of one that wants nothing of the sender.
_CLOSING = 421

_OWN_MACHINE = ("localhost", "127.0.0.1", "::1")


class CarrierAway(Exception):
    """No mail can be handed over at present, whichever it is. The message says why."""


class NotTaken(Exception):
    """This mail was not taken, or nobody knows whether it was; others may be."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        #: whether the server says that it never takes a mail for this address
        self.refused = refused


class Carrier(Protocol):
    """Takes mails."""

    def take(self, letter: Letter) -> None:
        """Hand a mail over.

        Raises:
            CarrierAway, NotTaken.
        """

    def close(self) -> None:
        """Let go of what is open; the next mail opens it again."""


class Folder:
    """Writes each mail into a file of its own; one that is written twice is one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, letter: Letter) -> None:
        """Write a mail as NAME.eml; see `Carrier`."""
        file = self._folder / f"{letter.name}.eml"
        unfinished = file.with_suffix(".unfinished")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(letter.content)
            unfinished.replace(file)
        except OSError as error:
            raise CarrierAway(f"{self._folder} can't be written: {error.strerror}") from None

    def close(self) -> None:
        """Nothing is open."""


class Server:
    """Hands mails to a mail server, many over one connection."""

    def __init__(self, server: MailServer, own_name: str) -> None:
        """Take the server, and the domain that the shop says it is."""
        self._server = server
        self._own_name = own_name
        self._open: smtplib.SMTP | None = None

    def take(self, letter: Letter) -> None:
        """Hand a mail over; see `Carrier`."""
        client = self._begin(letter)
        try:
            code, reply = client.rcpt(letter.recipient)
            if code not in (250, 251):
                self._refuse(client, code, reply)
            code, reply = client.data(letter.content)
        except smtplib.SMTPDataError as error:
            self._refuse(client, error.smtp_code, error.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise NotTaken(f"the connection broke, the mail may have been taken: {error}") from None
        else:
            if code != 250:
                self._refuse(client, code, reply)

    def close(self) -> None:
        """Say good-bye."""
        client, self._open = self._open, None
        if client is not None:
            with suppress(OSError, smtplib.SMTPException):
                client.sock.settimeout(1.0) if client.sock else None
                client.quit()
            client.close()

    def _begin(self, letter: Letter) -> smtplib.SMTP:
        """Begin a mail, on the open connection or, if there is none or it has ended, on another."""
        if self._open is not None:
            with suppress(CarrierAway):
                return self._begin_on(self._open, letter)
        self._open = self._connect()
        return self._begin_on(self._open, letter)

    def _begin_on(self, client: smtplib.SMTP, letter: Letter) -> smtplib.SMTP:
        options = []
        if letter.needs_utf8:
            if not client.has_extn("smtputf8"):
                raise NotTaken("the server knows no addresses like this (SMTPUTF8)", refused=True)
            options = ["SMTPUTF8", "BODY=8BITMIME"]
        try:
            code, reply = client.mail(letter.sender, options)
        except (OSError, smtplib.SMTPException) as error:
            code, reply = _CLOSING, str(error).encode()
        if code != 250:
            self.close()
            raise CarrierAway(
                f"{self._name} wants no mail from {letter.sender}: {_said(code, reply)}"
            )
        return client

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        try:
            if server.tls:
                client: smtplib.SMTP = smtplib.SMTP_SSL(
                    *(server.host, server.port, self._own_name),
                    timeout=ANSWER,
                    context=ssl.create_default_context(),
                )
            else:
                client = smtplib.SMTP(server.host, server.port, self._own_name, timeout=ANSWER)
        except (OSError, smtplib.SMTPException) as error:
            raise CarrierAway(f"{self._name} does not answer: {error}") from None
        try:
            self._introduce(client)
        except (OSError, smtplib.SMTPException) as error:
            client.close()
            raise CarrierAway(f"{self._name} lets nobody in: {error}") from None
        return client

    def _introduce(self, client: smtplib.SMTP) -> None:
        """Say who asks, by TLS where the server offers it; a password goes over TLS alone."""
        server = self._server
        client.ehlo_or_helo_if_needed()
        if not server.tls and server.host not in _OWN_MACHINE:
            if client.has_extn("starttls"):
                client.starttls(context=ssl.create_default_context())
                client.ehlo_or_helo_if_needed()
            elif server.user:
                raise smtplib.SMTPException("it offers no TLS, and a password must not go without")
        if server.user:
            client.login(server.user, server.password)

    def _refuse(self, client: smtplib.SMTP, code: int, reply: bytes | str) -> None:
        """Give up a mail that was begun.

        Raises:
            NotTaken, CarrierAway.
        """
        said = _said(code, reply)
        if code == _CLOSING:
            self.close()
            raise CarrierAway(f"{self._name} closes: {said}")
        try:
            client.rset()
        except (OSError, smtplib.SMTPException):
            self.close()
        raise NotTaken(f"refused: {said}", refused=code >= 500)

    @property
    def _name(self) -> str:
        return f"the mail server {self._server.host}:{self._server.port}"


def _said(code: int, reply: bytes | str) -> str:
    """Write a server's reply on one line, of bounded length."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return f"{code} {' '.join(printable.split())[:200]}"
