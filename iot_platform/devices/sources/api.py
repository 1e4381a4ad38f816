"""Requests to a web API that may be busy, down or broken: limited in attempts, time and size."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import requests
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util import Retry

# 429: too many requests. Each request has this many attempts, with growing pauses, or those that Retry-After asks for.
TRANSIENT_STATUS = (429, 500, 502, 503, 504)
ATTEMPTS, FIRST_PAUSE_S, LONGEST_PAUSE_S = 6, 0.5, 60

# Maximum number of bytes that are read of an error response.
_REFUSAL_BYTES = 16_384
_PIECE_BYTES = 65_536


class ApiError(Exception):
    """There was no usable response. The message contains no secret."""


class _Bearer(AuthBase):
    """Adds the token to each request. It is passed as ``auth``, because a .netrc file would override a header."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


class Api:
    """A connection to an API, for a ``with`` block. ``max_bytes``: of all responses; ``timeout_s``: of each one."""

    def __init__(self, token: SecretStr, *, timeout_s: float, max_bytes: int) -> None:
        self._session = requests.Session()
        self._session.auth = _Bearer(token)
        self._timeout_s = timeout_s
        self._left_bytes = max_bytes
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=_connection_retries()))

    def __enter__(self) -> Api:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._session.close()

    def request(self, method: str, url: str, **content: Any) -> tuple[int, bytes]:
        """Status and body of the response; unless the status is 200, the beginning of the body. Raises ApiError."""
        policy = retries()
        try:
            while True:
                response = self._send(method, url, content)
                with response:
                    if response.status_code == requests.codes.ok:
                        body = self._body(response, self._left_bytes)
                        self._left_bytes -= len(body)
                        return response.status_code, body
                    try:
                        if response.status_code in TRANSIENT_STATUS:
                            policy = policy.increment(method, url, response=response.raw)
                            policy.sleep(response.raw)
                            continue
                    except MaxRetryError:
                        pass  # no attempts are left, so this response is the result
                    return response.status_code, self._body(response, _REFUSAL_BYTES, cut=True)
        except (requests.RequestException, HTTPError) as error:
            raise ApiError(f"no response, tried {ATTEMPTS} times ({type(error).__name__})") from error

    def _send(self, method: str, url: str, content: dict[str, Any]) -> requests.Response:
        # No redirects: only this address may get the token.
        return self._session.request(
            method, url, timeout=(self._timeout_s, self._timeout_s), allow_redirects=False, stream=True, **content
        )

    def _body(self, response: requests.Response, max_bytes: int, *, cut: bool = False) -> bytes:
        """The body of the response, decompressed. ``cut``: if it is too large, its beginning instead of an error."""
        deadline = time.monotonic() + self._timeout_s
        body = bytearray()
        while piece := response.raw.read1(_PIECE_BYTES, decode_content=True):
            body += piece
            if len(body) > max_bytes:
                if cut:
                    return bytes(body[:max_bytes])
                raise ApiError("the responses have more bytes than allowed (IOT_DEVICES_MAX_BYTES)")
            # The session's timeout applies to each piece; this one to the whole response.
            if time.monotonic() > deadline:
                raise ApiError("the response does not end in time (IOT_SOURCE_TIMEOUT_S)")
        return bytes(body)


def retries() -> Retry:
    """How often, and after which pauses, a request is repeated after a status of TRANSIENT_STATUS."""
    return Retry(
        total=ATTEMPTS - 1,
        backoff_factor=FIRST_PAUSE_S,
        backoff_max=LONGEST_PAUSE_S,
        backoff_jitter=FIRST_PAUSE_S,
        retry_after_max=LONGEST_PAUSE_S,
    )


def _connection_retries() -> Retry:
    """The same for failed connections. ``request`` handles responses itself: urllib3 reads them without a limit."""
    # A search is a POST request, but it changes nothing.
    return retries().new(allowed_methods=("GET", "POST"), respect_retry_after_header=False)
