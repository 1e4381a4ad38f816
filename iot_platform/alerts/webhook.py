"""Messages to a webhook, in the JSON format of Slack, which Mattermost and most others accept."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr

from iot_platform.alerts.message import Group, Message, heading
from iot_platform.errors import DeliveryError, PlatformError
from iot_platform.security.escaping import chat_link, escape_chat, escape_line

TIMEOUT_S = 10
# Slack's limits, with the header and the closing text among the blocks.
MAX_BLOCKS, MAX_BLOCK_TEXT, MAX_HEADER = 50, 3000, 150
MAX_RESPONSE_TEXT = 200


class Webhook:
    """A webhook. Its whole URL is secret: whoever knows it can post."""

    def __init__(self, url: SecretStr) -> None:
        self._url = url
        try:
            parts = urlsplit(url.get_secret_value())
            self._host = parts.hostname
        except ValueError:
            raise PlatformError("IOT_ALERT_WEBHOOK_URL is not a URL.") from None
        if parts.scheme not in ("http", "https") or not self._host:
            raise PlatformError("IOT_ALERT_WEBHOOK_URL must be an http(s) URL.")

    def send(self, message: Message) -> None:
        """Post a message. Raises DeliveryError when the response is not 2xx or does not come in time."""
        # urllib3 logs the path of each request, which is secret.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
        try:
            response = requests.post(
                self._url.get_secret_value(), json=payload(message), timeout=TIMEOUT_S, allow_redirects=False
            )
        except requests.RequestException as error:
            # The texts of this error and of its cause contain the URL.
            raise DeliveryError(f"The webhook at {self._host} does not answer ({type(error).__name__}).") from None
        if not 200 <= response.status_code < 300:
            text = " ".join(response.text.replace(self._url.get_secret_value(), "").split())[:MAX_RESPONSE_TEXT]
            raise DeliveryError(
                f"The webhook at {self._host} refused the message: {response.status_code} {text}".rstrip()
            )


def payload(message: Message) -> dict[str, Any]:
    """The JSON of a message: ``text`` for notifications and simple receivers, ``blocks`` for the others."""
    header = escape_line(message.subject, MAX_HEADER)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": header, "emoji": False}},
        _section(escape_chat(message.text)),
    ]
    for group in message.groups:
        blocks += _sections(group)
    return {"text": escape_chat(message.subject), "blocks": blocks[:MAX_BLOCKS]}


def _sections(group: Group) -> list[dict[str, Any]]:
    """A group as one block, or as several when its lines do not fit into one."""
    texts = [f"*{escape_chat(heading(group))}*"]
    for line in group.lines:
        text = f"• {chat_link(line.link, line.title)} {escape_chat(line.detail)}"
        if len(texts[-1]) + len(text) < MAX_BLOCK_TEXT:
            texts[-1] += f"\n{text}"
        else:
            texts.append(text)
    return [_section(text) for text in texts]


def _section(text: str) -> dict[str, Any]:
    # Verbatim: Slack does not turn addresses and channel names into links.
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:MAX_BLOCK_TEXT], "verbatim": True}}
