"""Download a file from a web server: limited in time and size, and only from the host in the URL."""

from __future__ import annotations

from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
from fsspec.asyn import get_loop, sync

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}


class DownloadError(Exception):
    """The file cannot be read. The message contains no URL."""


def download(url: str, *, timeout_s: float, max_bytes: int) -> bytes:
    """The content of an http(s) URL: at most ``max_bytes``, and one more byte if it is larger.

    Redirects are followed only on the same host, and never from https to http: a compromised server or a mistyped name
    must not direct the platform to addresses in its own network. Raises DownloadError, aiohttp.ClientError, or
    TimeoutError if the download takes longer than ``timeout_s``.
    """
    content: bytes = sync(get_loop(), _download, url, timeout_s, max_bytes)
    return content


async def _download(url: str, timeout_s: float, max_bytes: int) -> bytes:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session:
        for _ in range(MAX_REDIRECTS + 1):
            async with session.get(url, allow_redirects=False) as response:
                if response.status in _REDIRECTS:
                    url = redirected(url, response.headers.get("Location", ""))
                    continue
                if response.status != 200:
                    raise DownloadError(_problem(response.status))
                return await _read(response, max_bytes)
    raise DownloadError(f"redirected more than {MAX_REDIRECTS} times")


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > max_bytes:
            break
    return bytes(content[: max_bytes + 1])


def redirected(url: str, location: str) -> str:
    """The URL that a redirect leads to. Raises DownloadError if it must not be followed."""
    old, new = urlsplit(url), urlsplit(urljoin(url, location))
    is_upgrade = (old.scheme, new.scheme) == ("http", "https")
    if not location or new.hostname != old.hostname or not (is_upgrade or _origin(old) == _origin(new)):
        raise DownloadError("redirected to another host, port or protocol, which is not followed")
    # The login in the URL belongs to its host, which is the same after the redirect.
    login = old.netloc.rpartition("@")[0]
    host = new.netloc.rpartition("@")[2]
    return new._replace(netloc=f"{login}@{host}" if login else host).geturl()


def _origin(parts: SplitResult) -> tuple[str, int | None]:
    return parts.scheme, parts.port or _PORTS.get(parts.scheme)


def _problem(status: int) -> str:
    return "there is no such file" if status == 404 else f"HTTP status {status}"
