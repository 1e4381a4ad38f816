"""The second fence around secrets: what is stored or shown goes through here, in case an error quotes one."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, ValidationError

from iot_platform.errors import PlatformError
from iot_platform.settings import Settings

HIDDEN = "***"
# Shorter ones would be found in any text.
MIN_LENGTH = 4


def hide_secrets(text: str) -> str:
    """The text with ``***`` in place of every secret of the settings, whole or as a part of its URL.

    While the settings cannot be read, nobody knows what is secret: then no text is given out.
    """
    try:
        values = _values()
    except (PlatformError, ValidationError) as error:
        return f"(text withheld: the settings cannot be read, {type(error).__name__})"
    for value in values:
        text = text.replace(value, HIDDEN)
    return text


@contextmanager
def hide_secrets_in_errors() -> Iterator[None]:
    """Whatever is raised inside the block leaves it without secrets in its text, its causes and its contexts.

    An error without any is raised as it is; one that quotes a secret becomes a PlatformError with the rest of its text.
    """
    try:
        yield
    except Exception as error:
        cleaned = without_secrets_in_chain(error)
        if cleaned is error:
            raise
        raise cleaned from cleaned.__cause__


def without_secrets_in_chain(error: BaseException) -> BaseException:
    """The error, or one in its place, whose chain quotes no secret. Causes are changed in place."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    text = "".join(traceback.format_exception_only(error)).strip()
    if hide_secrets(text) != text or hide_secrets(repr(error.args)) != repr(error.args):
        result: BaseException = PlatformError(hide_secrets(text)).with_traceback(error.__traceback__)
    else:
        result = error
    if cause is not None:
        result.__cause__ = without_secrets_in_chain(cause)
    return result


def _values() -> list[str]:
    """Every secret, and what is secret in one that is a URL: longest first, as one may be a part of another."""
    settings = Settings()
    fields = [getattr(settings, name) for name in Settings.model_fields]
    found: set[str] = set()
    for value in (field.get_secret_value() for field in fields if isinstance(field, SecretStr)):
        found |= _of_url(value) if "://" in value else {value, *value.split()}
    if settings.alert_webhook_url:
        # Whoever knows its path can post.
        found |= {settings.alert_webhook_url.get_secret_value().partition("://")[2].partition("/")[2]}
    if settings.devices_csv and "://" in settings.devices_csv:
        found |= _of_url(settings.devices_csv)
    return sorted((value for value in found if len(value) >= MIN_LENGTH), key=len, reverse=True)


def _of_url(url: str) -> set[str]:
    """Password and query of a URL (signatures stand there). Of what is none, all of it."""
    try:
        parts = urlsplit(url)
        secret = {parts.password or "", unquote(parts.password or ""), parts.query}
        _ = parts.port  # not a number: ValueError
    except ValueError:
        return {url, *url.partition("://")[2].split("/")[0].split("@")[0].split(":")}
    return secret
