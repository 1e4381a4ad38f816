"""Receivers of alerts for tests: a webhook and a mail server, over real sockets."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
PATH = "/services/T0/B0/verysecret"


@dataclass
class Receiver:
    """A webhook that keeps what it gets; ``answers`` are its next status codes, then 200."""

    url: str = ""
    got: list[Any] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A webhook on a free port for the length of a block."""
    found = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = found.answers.pop(0) if found.answers else 200
            if status == 200:
                assert self.path == PATH and self.headers["Content-Type"] == "application/json"
                found.got.append(json.loads(body))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(f"answer {status} for {found.url}".encode())

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}{PATH}"
        yield found
        server.shutdown()


class Mails:
    """A mail server's handler that keeps what it gets; with ``busy`` it refuses."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.encrypted: list[bool] = []
        self.busy: set[str] = set()

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.busy:
            return "451 busy"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.got.append(mail)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"


@contextmanager
def serving(controller: Controller) -> Iterator[Controller]:
    """A mail server for the length of a block."""
    controller.start()
    try:
        yield controller
    finally:
        controller.stop()
