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

# Bytes that are read of an answer that reports an error.
_REFUSAL_BYTES = 16_384
_PIECE_BYTES = 65_536


class ApiError(Exception):
    """There was no usable answer. The message contains no secret."""


class _Bearer(AuthBase):
    """Adds the token to each request. It is passed as ``auth``, because a .netrc file would override a header."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


class Api:
    """A connection to an API, for a ``with`` block. ``max_bytes``: of all answers; ``timeout_s``: of each one."""

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

    def ask(self, method: str, url: str, **content: Any) -> tuple[int, bytes]:
        """Status and body of the answer; if the status is not 200, its beginning. Raises ApiError if there is none."""
        policy = retries()
        try:
            while True:
                answer = self._send(method, url, content)
                with answer:
                    if answer.status_code == requests.codes.ok:
                        body = self._body(answer, self._left_bytes)
                        self._left_bytes -= len(body)
                        return answer.status_code, body
                    try:
                        if answer.status_code in TRANSIENT_STATUS:
                            policy = policy.increment(method, url, response=answer.raw)
                            policy.sleep(answer.raw)
                            continue
                    except MaxRetryError:
                        pass  # no attempts are left, so this answer is the result
                    return answer.status_code, self._body(answer, _REFUSAL_BYTES, cut=True)
        except (requests.RequestException, HTTPError) as error:
            raise ApiError(f"no answer, tried {ATTEMPTS} times ({type(error).__name__})") from error

    def _send(self, method: str, url: str, content: dict[str, Any]) -> requests.Response:
        # No redirects: only this address may get the token.
        return self._session.request(
            method, url, timeout=(self._timeout_s, self._timeout_s), allow_redirects=False, stream=True, **content
        )

    def _body(self, answer: requests.Response, max_bytes: int, *, cut: bool = False) -> bytes:
        """The body of the answer, decompressed. ``cut``: if it is too large, its beginning instead of an error."""
        deadline = time.monotonic() + self._timeout_s
        body = bytearray()
        while piece := answer.raw.read1(_PIECE_BYTES, decode_content=True):
            body += piece
            if len(body) > max_bytes:
                if cut:
                    return bytes(body[:max_bytes])
                raise ApiError("the answers have more bytes than allowed (IOT_DEVICES_MAX_BYTES)")
            # The session's timeout applies to each piece; this one to the whole answer.
            if time.monotonic() > deadline:
                raise ApiError("the answer does not end in time (IOT_SOURCE_TIMEOUT_S)")
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
    """The same for connections that fail. Answers are handled by ``ask``: urllib3 would read one without an end."""
    # A search is a POST request, but it changes nothing.
    return retries().new(allowed_methods=("GET", "POST"), respect_retry_after_header=False)
