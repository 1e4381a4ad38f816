"""Device metadata in a CSV: a path, or a URL that fsspec supports (https, s3, gs, ...)."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import aiohttp
from fsspec.core import url_to_fs

from iot_platform.devices.source_rows import parse_devices
from iot_platform.devices.sources.download import DownloadError, download
from iot_platform.devices.sources.source import CSV, NOTHING_CHANGED, Delivery, is_url, without_secrets
from iot_platform.errors import SourceError

# Missing, forbidden, no response; a file system that is unknown or whose package is not installed.
_ERRORS = (OSError, aiohttp.ClientError, DownloadError, ImportError, ValueError)
_HTTP = ("http", "https")
_HTTP_URLS = tuple(f"{protocol}://" for protocol in _HTTP)


class DeviceCsvSource:
    """A CSV; each read reads all of it. ``complete``: it lists every device. ``max_bytes``: larger ones are refused."""

    name = CSV

    def __init__(self, url: str, *, complete: bool, timeout_s: float, max_bytes: int) -> None:
        self._url = url
        self._complete = complete
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes

    @property
    def location(self) -> str:
        """The path, or the URL without its secret parts."""
        return without_secrets(self._url)

    def read(self, since: str = "") -> Delivery:
        """Read all devices. Raises ContractError with the first violations, and SourceError if it cannot be read."""
        content = self.content()
        devices, notes = parse_devices(content, self.location)
        position = content_sha256(content)
        return Delivery(devices, is_full=True, is_complete=self._complete, position=position, notes=notes)

    def content(self) -> bytes:
        """The bytes of the CSV. Raises SourceError if it cannot be read or is too large."""
        try:
            content = self._fetched() if is_url(self._url) else self._file_content(Path(self._url).expanduser())
        except _ERRORS as error:
            # The error may quote the URL with its secrets, so it is not kept as the cause.
            raise SourceError(
                f"{self.location}: cannot be read: {_reason(error, self._url)}. {NOTHING_CHANGED}"
            ) from None
        if len(content) > self._max_bytes:
            raise SourceError(
                f"{self.location}: more than {self._max_bytes:,} bytes (IOT_DEVICES_MAX_BYTES). Is it the right file? "
                f"{NOTHING_CHANGED}"
            )
        return content

    def written_at(self) -> dt.datetime | None:
        """When it was last written, UTC; None if the file system does not know. Raises SourceError like content."""
        if self._url.startswith(_HTTP_URLS):
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
        """The content of a URL: at most one byte more than is allowed."""
        if self._url.startswith(_HTTP_URLS):
            return download(self._url, timeout_s=self._timeout_s, max_bytes=self._max_bytes)
        files, path = url_to_fs(self._url, **self._chained_options())
        with files.open(path, "rb") as file:
            return bytes(file.read(self._max_bytes + 1))

    def _file_content(self, path: Path) -> bytes:
        """The content of a file: at most one byte more than is allowed."""
        # Reading from a pipe or a device may never end.
        if path.exists() and not path.is_file():
            raise SourceError(f"{self.location}: cannot be read: it is not a regular file. {NOTHING_CHANGED}")
        with path.open("rb") as file:
            return file.read(self._max_bytes + 1)

    def _chained_options(self) -> dict[str, object]:
        """For a URL inside another one, e.g. zip://devices.csv::https://...: redirects are never followed."""
        options = {
            "client_kwargs": {"timeout": aiohttp.ClientTimeout(total=self._timeout_s)},
            "allow_redirects": False,
        }
        return {protocol: options for protocol in _HTTP if f"{protocol}://" in self._url}


class LoadedFile(DeviceCsvSource):
    """A CSV that somebody loads on the command line.

    Its own name in metadata_refreshes keeps it apart from the configured source, whose freshness is checked.
    """

    name = "file"


def content_sha256(content: bytes) -> str:
    """The SHA-256 of the content of a CSV, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _reason(error: Exception, url: str) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, TimeoutError):
        return "no response in time (IOT_SOURCE_TIMEOUT_S)"
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
