"""The channels for messages, from the settings."""

from __future__ import annotations

from typing import Protocol

from iot_platform.alerts.mail import Mailbox, read_smtp_url
from iot_platform.alerts.message import Message
from iot_platform.errors import PlatformError
from iot_platform.settings import Settings

HOW_TO_CONFIGURE = (
    "No channel is configured. Set IOT_ALERT_WEBHOOK_URL, or IOT_ALERT_SMTP_URL with IOT_ALERT_EMAIL_FROM and "
    "IOT_ALERT_EMAIL_TO, for the code location. `iot-platform alerts test` sends a test message."
)


class Channel(Protocol):
    """One receiver of messages."""

    def send(self, message: Message) -> None:
        """Deliver a message. Raises DeliveryError, without any secret in its text, when it was not accepted."""


def channels(settings: Settings) -> dict[str, Channel]:
    """The configured channels by name. Each mail recipient is a channel, so that a retry repeats no mail to the others.

    Raises PlatformError when a channel is configured incompletely or wrongly.
    """
    found: dict[str, Channel] = {}
    # An empty value counts as unset: compose files pass unset variables as ''.
    if settings.alert_webhook_url:
        # Imported here: it imports requests, which most Dagster processes do not need.
        from iot_platform.alerts.webhook import Webhook

        found["webhook"] = Webhook(settings.alert_webhook_url)
    mail = {
        "IOT_ALERT_SMTP_URL": settings.alert_smtp_url,
        "IOT_ALERT_EMAIL_FROM": settings.alert_email_from,
        "IOT_ALERT_EMAIL_TO": settings.alert_email_to,
    }
    missing = [name for name, value in mail.items() if not value]
    if not missing:
        assert settings.alert_smtp_url is not None and settings.alert_email_from is not None
        server = read_smtp_url(settings.alert_smtp_url)
        for recipient in settings.alert_email_to:
            found[f"mail to {recipient}"] = Mailbox(server, settings.alert_email_from, recipient)
    elif len(missing) < len(mail):
        raise PlatformError(f"Alerts by mail are not configured completely: {' and '.join(missing)} is not set.")
    return found
