"""Who is told in tests: a mail server and a webhook on this machine, which can be out of order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PASSWORD = "opensesame-42"
TOKEN = "T0kenOfTheHook"


@dataclass
class MailServer:
    """A mail server.

    received: the messages; refuses: whether it accepts none; knows_nobody: whether no password is right; logins: who came.
    """

    address: str = ""
    received: list[EmailMessage] = field(default_factory=list)
    refuses: bool = False
    knows_nobody: bool = False
    logins: list[tuple[str, str]] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refuses:
            return "451 come again"
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.received.append(message)
        return "250 OK"

    def log_in(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login.decode(), given.password.decode()))
        return AuthResult(success=not self.knows_nobody and given.password == PASSWORD.encode(), handled=False)

    def texts(self) -> list[tuple[str, str]]:
        """Subject and plain text of each message."""
        return [(str(message["Subject"]), _plain(message)) for message in self.received]


def _plain(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


@contextmanager
def mail_server(port: int) -> Iterator[MailServer]:
    """A mail server that takes a password and has no TLS."""
    server = MailServer(f"mailto://robot:{PASSWORD}@127.0.0.1:{port}?from=etl@example.org&to=ops@example.org")
    controller = Controller(server, "127.0.0.1", port, authenticator=server.log_in, auth_require_tls=False)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


@dataclass
class Webhook:
    """A webhook. received: the documents; answer: the status it answers with."""

    address: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answer: int = 200

    def texts(self) -> list[tuple[str, str]]:
        """Title and message of each document."""
        return [(document["title"], document["message"]) for document in self.received]


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A webhook on a port that is free; a token is part of its path."""
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.paths.append(self.path)
            if hook.answer == 200:
                hook.received.append(document)
            self.send_response(hook.answer)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.address = f"json://127.0.0.1:{server.server_port}/hooks/{TOKEN}"
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hook
        finally:
            server.shutdown()
