"""Messages by mail."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from iot_platform.alerts.message import Message
from iot_platform.alerts.problem import one_line
from iot_platform.errors import DeliveryError, PlatformError
from iot_platform.security.escaping import escape_line, escape_lines
from iot_platform.security.secret_values import hide_secrets

TIMEOUT_S = 10
SUBMISSION_PORT, SMTPS_PORT = 587, 465


@dataclass(frozen=True)
class SmtpServer:
    """How to connect to a mail server. ``encrypted``: TLS from the start (smtps) instead of STARTTLS."""

    host: str
    port: int
    encrypted: bool
    user: str
    password: str = field(repr=False)


def read_smtp_url(url: SecretStr) -> SmtpServer:
    """The server that a URL smtp(s)://user:password@host:port names. Raises PlatformError, without the URL."""
    try:
        parts = urlsplit(url.get_secret_value())
        port = parts.port
    except ValueError:
        parts, port = None, None
    if parts is None or parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise PlatformError("IOT_ALERT_SMTP_URL must be smtp(s)://user:password@host:port")
    encrypted = parts.scheme == "smtps"
    return SmtpServer(
        host=parts.hostname,
        port=port or (SMTPS_PORT if encrypted else SUBMISSION_PORT),
        encrypted=encrypted,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


@dataclass(frozen=True)
class Mailbox:
    """One recipient. (A mail to several could not be repeated for only those who did not get it.)"""

    server: SmtpServer
    sender: str
    recipient: str

    def send(self, message: Message) -> None:
        """Send a message. Raises DeliveryError when the server does not accept it or its certificate is not valid."""
        mail = self._mail(message)
        try:
            with self._connected() as smtp:
                smtp.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryError(
                f"The mail server {self.server.host}:{self.server.port} did not accept the message "
                f"to {self.recipient}: "
                f"{hide_secrets(one_line(str(error))) or type(error).__name__}"
            ) from None

    def _connected(self) -> smtplib.SMTP:
        server, context = self.server, ssl.create_default_context()
        if server.encrypted:
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)
        try:
            if not server.encrypted:
                self._start_tls(smtp, context)
            if server.user:
                smtp.login(server.user, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _start_tls(self, smtp: smtplib.SMTP, context: ssl.SSLContext) -> None:
        smtp.ehlo()
        if smtp.has_extn("starttls"):
            smtp.starttls(context=context)
        elif self.server.user:
            raise smtplib.SMTPNotSupportedError(
                "It does not offer STARTTLS, and the password is never sent unencrypted. Use smtps://, or no user."
            )

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self.sender
        mail["To"] = self.recipient
        mail["Subject"] = escape_line(f"[iot_platform] {message.subject}")
        # All mails of an incident form a thread. A mail that is sent twice has the same id.
        mail["Message-ID"] = f"<{message.id}@iot-platform>"
        mail["References"] = f"<{message.incident}@iot-platform>"
        # Prevents automatic replies (out of office).
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(escape_lines(message.plain_text()))
        return mail
