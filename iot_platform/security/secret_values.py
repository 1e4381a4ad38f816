"""Remove secrets from texts that are stored or shown, in case an error message quotes one.

This is the second line of defence. The first: secrets are SecretStr, and messages are written without them.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, ValidationError

from iot_platform.errors import PlatformError
from iot_platform.settings import Settings

HIDDEN = "***"
# A shorter secret would be found in almost any text.
MIN_LENGTH = 4


def hide_secrets(text: str) -> str:
    """The text with ``***`` in place of every secret of the settings, including the secret parts of URLs.

    If the settings cannot be read, the secrets are unknown and the whole text is withheld.
    """
    try:
        values = _secret_values()
    except (PlatformError, ValidationError) as error:
        return f"(text withheld: the settings cannot be read, {type(error).__name__})"
    for value in values:
        text = text.replace(value, HIDDEN)
    return text


@contextmanager
def hide_secrets_in_errors() -> Iterator[None]:
    """Remove secrets from any exception that leaves the block, including its causes and contexts.

    An exception without secrets is raised unchanged; one that quotes a secret becomes a PlatformError with the rest of
    its text.
    """
    try:
        yield
    except Exception as error:
        cleaned = _without_secrets(error)
        if cleaned is error:
            raise
        raise cleaned from cleaned.__cause__


def _without_secrets(error: BaseException) -> BaseException:
    """The exception, or a replacement, with no secret in its whole chain. Causes are changed in place."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    text = "".join(traceback.format_exception_only(error)).strip()
    if hide_secrets(text) != text or hide_secrets(repr(error.args)) != repr(error.args):
        result: BaseException = PlatformError(hide_secrets(text)).with_traceback(error.__traceback__)
    else:
        result = error
    if cause is not None:
        result.__cause__ = _without_secrets(cause)
    return result


def _secret_values() -> list[str]:
    """Every secret, and the secret parts of URLs; the longest first, because one may contain another."""
    settings = Settings()
    fields = [getattr(settings, name) for name in Settings.model_fields]
    found: set[str] = set()
    for value in (field.get_secret_value() for field in fields if isinstance(field, SecretStr)):
        found |= _secrets_in_url(value) if "://" in value else {value, *value.split()}
    if settings.alert_webhook_url:
        # Anybody who knows the path of the webhook can post to it.
        found |= {settings.alert_webhook_url.get_secret_value().partition("://")[2].partition("/")[2]}
    if settings.devices_csv and "://" in settings.devices_csv:
        found |= _secrets_in_url(settings.devices_csv)
    return sorted((value for value in found if len(value) >= MIN_LENGTH), key=len, reverse=True)


def _secrets_in_url(url: str) -> set[str]:
    """Password and query (signatures) of a URL. Of text that is not a valid URL, the whole of it."""
    try:
        parts = urlsplit(url)
        secret = {parts.password or "", unquote(parts.password or ""), parts.query}
        _ = parts.port  # not a number: ValueError
    except ValueError:
        return {url, *url.partition("://")[2].split("/")[0].split("@")[0].split(":")}
    return secret
