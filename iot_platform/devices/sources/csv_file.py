"""Device metadata in a CSV: a path, or any URL that fsspec knows (https, s3, gs, ...)."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import aiohttp
from fsspec.core import split_protocol, url_to_fs

from iot_platform.devices.contract import parse_devices, read_file, too_large
from iot_platform.devices.sources.download import DownloadError, download
from iot_platform.devices.sources.source import CSV, Delivery, without_secrets
from iot_platform.errors import SourceError

# Not there, not allowed, no answer; a file system that is not installed or not known.
_ERRORS = (OSError, aiohttp.ClientError, DownloadError, ImportError, ValueError)
_HTTP = ("http", "https")


class CsvSource:
    """A CSV, read as a whole each time. ``complete``: it lists every device; ``max_bytes``: a larger one is refused."""

    name = CSV

    def __init__(self, url: str, *, complete: bool, timeout_s: float, max_bytes: int) -> None:
        self._url = url
        self._complete = complete
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes

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
        """Its bytes. Raises SourceError when they cannot be read, or are too many."""
        if split_protocol(self._url)[0] is None and "::" not in self._url:
            return read_file(Path(self._url).expanduser(), self._max_bytes, self.location)
        try:
            content = self._fetched()
        except _ERRORS as error:
            # They may quote the URL with what is secret in it, so no cause.
            raise SourceError(
                f"{self.location}: cannot be read: {_reason(error, self._url)}. The stored metadata stays as it is."
            ) from None
        if len(content) > self._max_bytes:
            raise SourceError(too_large(self.location, self._max_bytes))
        return content

    def written_at(self) -> dt.datetime | None:
        """When it was last written to, UTC; None where the file system does not tell. Raises SourceError as content."""
        if split_protocol(self._url)[0] in _HTTP:
            return None
        try:
            files, path = url_to_fs(self._url, **self._chained_options())
            written: dt.datetime = files.modified(path)
            return written
        except NotImplementedError:
            return None
        except _ERRORS as error:
            raise SourceError(f"{self.location}: cannot be read: {_reason(error, self._url)}.") from None

    def _fetched(self) -> bytes:
        """At most one byte more than it may have."""
        if split_protocol(self._url)[0] in _HTTP:
            return download(self._url, timeout_s=self._timeout_s, max_bytes=self._max_bytes)
        files, path = url_to_fs(self._url, **self._chained_options())
        with files.open(path, "rb") as file:
            return bytes(file.read(self._max_bytes + 1))

    def _chained_options(self) -> dict[str, object]:
        """For a URL inside of another one, e.g. zip://devices.csv::https://...: no redirects at all."""
        options = {
            "client_kwargs": {"timeout": aiohttp.ClientTimeout(total=self._timeout_s)},
            "allow_redirects": False,
        }
        return {protocol: options for protocol in _HTTP if f"{protocol}://" in self._url}


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
    if isinstance(error, DownloadError):
        return str(error)
    if isinstance(error, aiohttp.ClientResponseError):
        return f"HTTP status {error.status}"
    if isinstance(error, ImportError | ValueError) and url not in str(error):
        # The message names the package.
        return str(error)
    return type(error).__name__
