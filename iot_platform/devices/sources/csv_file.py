"""Device metadata in a CSV: a path, or any URL that fsspec knows (https, s3, gs, ...)."""

from __future__ import annotations

import datetime as dt
import hashlib

import aiohttp
from fsspec.core import split_protocol, url_to_fs

from iot_platform.devices.contract import parse_devices
from iot_platform.devices.sources.source import Delivery, without_secrets
from iot_platform.errors import SourceError

# Not there, not allowed, no answer; a file system that is not installed or not known.
_ERRORS = (OSError, aiohttp.ClientError, ImportError, ValueError)


class CsvSource:
    """A CSV, read as a whole each time. ``complete``: it lists every device."""

    name = "csv"

    def __init__(self, url: str, *, complete: bool, timeout_s: float) -> None:
        self._url = url
        self._complete = complete
        self._timeout_s = timeout_s

    @property
    def location(self) -> str:
        """The path, or the URL without what is secret in it."""
        return without_secrets(self._url)

    def read(self, since: str = "") -> Delivery:
        """All devices. Raises ContractError with every violation and its line, SourceError when it cannot be read."""
        content = self.content()
        devices = parse_devices(content, self.location)
        return Delivery(devices, is_full=True, is_complete=self._complete, position=fingerprint(content))

    def content(self) -> bytes:
        """Its bytes. Raises SourceError when they cannot be read."""
        try:
            files, path = url_to_fs(self._url, **self._options())
            return bytes(files.cat_file(path))
        except _ERRORS as error:
            # They may quote the URL with what is secret in it, so no cause.
            raise SourceError(
                f"{self.location}: cannot be read: {_reason(error, self._url)}. The stored metadata stays as it is."
            ) from None

    def written_at(self) -> dt.datetime | None:
        """When it was last written to, UTC; None where the file system does not tell. Raises SourceError as content."""
        try:
            files, path = url_to_fs(self._url, **self._options())
            written: dt.datetime = files.modified(path)
            return written
        except NotImplementedError:
            return None
        except _ERRORS as error:
            raise SourceError(f"{self.location}: cannot be read: {_reason(error, self._url)}.") from None

    def _options(self) -> dict[str, object]:
        if split_protocol(self._url)[0] in ("http", "https"):
            return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=self._timeout_s)}}
        return {}


def fingerprint(content: bytes) -> str:
    """The SHA-256 of a content, in hexadecimal digits: another content, another fingerprint."""
    return hashlib.sha256(content).hexdigest()


def _reason(error: Exception, url: str) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, TimeoutError):
        return "no answer in time (IOT_SOURCE_TIMEOUT_S)"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"HTTP status {error.status}"
    if isinstance(error, ImportError | ValueError) and url not in str(error):
        # The message names the package.
        return str(error)
    return type(error).__name__
