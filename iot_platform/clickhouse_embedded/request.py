"""One HTTP request: its query id, settings, parameters, session and formats."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from iot_platform.clickhouse_embedded.errors import (
    BAD_ARGUMENTS,
    INVALID_SESSION_TIMEOUT,
    NOT_IMPLEMENTED,
    ClickHouseError,
)
from iot_platform.clickhouse_embedded.lexer import words
from iot_platform.clickhouse_embedded.sessions import DEFAULT_TIMEOUT_S
from iot_platform.clickhouse_embedded.statement import format_name
from iot_platform.clickhouse_embedded.text import header_text

# URL parameters that are not settings of the engine.
_RESERVED = words(
    """
    query query_id database user password quota_key session_id session_timeout session_check close_session
    default_format wait_end_of_query buffer_size stacktrace compress decompress client_protocol_version dialect
    """
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_EXTERNAL = ("_format", "_types", "_structure")
_MAX_PARAMETERS = 10_000
_REPLACE_WAIT_MS = 5000  # ClickHouse's defaults of replace_running_query_max_wait_ms
_PROGRESS_MS = 100  # and http_headers_progress_interval_ms


@dataclass
class HttpQuery:
    """One request, read from its URL and headers (the SQL itself may still be in the body)."""

    query_id: str
    sql: str
    database: str
    default_format: str
    settings: dict[str, str]
    params: dict[str, str]
    readonly: int = 0
    session_id: str = ""
    session_timeout_s: float = DEFAULT_TIMEOUT_S
    session_check: bool = False
    close_session: bool = False
    wait_end: bool = False
    compress_response: bool = False
    response_in_blocks: bool = False  # compress=1: ClickHouse's own blocks, inside any Content-Encoding
    body_in_blocks: bool = False  # decompress=1
    verify_blocks: bool = True
    replace_within_s: float | None = None  # replace_running_query=1: seconds to wait for the end of the other query
    progress_interval_s: float | None = None  # seconds between X-ClickHouse-Progress headers; None: no such headers
    external: dict[str, dict[str, str]] = field(default_factory=dict)


def url_parameters(query_string: bytes) -> list[tuple[str, str]]:
    """The names and values of a URL's query string, which may contain any bytes (text.py)."""
    try:
        return parse_qsl(
            query_string.decode("ascii"),  # the HTTP parser rejects other bytes
            keep_blank_values=True,
            encoding="utf-8",
            errors="surrogateescape",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise ClickHouseError(BAD_ARGUMENTS, f"The URL has more than {_MAX_PARAMETERS} parameters") from None


def read_request(
    pairs: Iterable[tuple[str, str]], headers: Mapping[str, str], is_get: bool, files: Collection[str] = ()
) -> HttpQuery:
    """The request's URL parameters (last one wins) and headers as an HttpQuery.

    ``files``: names of the files of a multipart request; only these become external tables.
    """
    options = dict(pairs)
    query_id = options.get("query_id", header_text(headers.get("x-clickhouse-query-id", "")))
    if any(not letter.isprintable() for letter in query_id):
        raise ClickHouseError(BAD_ARGUMENTS, "query_id must not have control characters")
    if options.get("role"):
        raise ClickHouseError(NOT_IMPLEMENTED, "Roles are not supported")
    settings, params, external = _classified(options, files)
    readonly = _number(settings.pop("readonly", "0"), "readonly")
    # As in ClickHouse: the headers X-ClickHouse-Database and X-ClickHouse-Format take precedence over the URL.
    default_format = header_text(headers.get("x-clickhouse-format", "")) or options.get("default_format")
    return HttpQuery(
        query_id=query_id or str(uuid.uuid4()),
        sql=options.get("query", ""),
        database=header_text(headers.get("x-clickhouse-database", "")) or options.get("database", ""),
        default_format=format_name(default_format or "TabSeparated"),
        settings=settings,
        params=params,
        # As in ClickHouse: a GET must not change anything.
        readonly=readonly or (2 if is_get else 0),
        session_id=options.get("session_id", ""),
        session_timeout_s=_timeout(options),
        session_check=_flag(options, "session_check"),
        close_session=_flag(options, "close_session"),
        wait_end=_flag(options, "wait_end_of_query", "http_wait_end_of_query"),
        compress_response=_flag(options, "enable_http_compression"),
        response_in_blocks=_flag(options, "compress"),
        body_in_blocks=_flag(options, "decompress"),
        verify_blocks=not _flag(options, "http_native_compression_disable_checksumming_on_decompress"),
        replace_within_s=_seconds(
            options, "replace_running_query", "replace_running_query_max_wait_ms", _REPLACE_WAIT_MS
        ),
        progress_interval_s=_seconds(
            options, "send_progress_in_http_headers", "http_headers_progress_interval_ms", _PROGRESS_MS
        ),
        external=external,
    )


def _classified(
    options: Mapping[str, str], files: Collection[str]
) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, str]]]:
    settings: dict[str, str] = {}
    params: dict[str, str] = {}
    external: dict[str, dict[str, str]] = {}
    for name, value in options.items():
        if name.startswith("param_"):
            params[name.removeprefix("param_")] = value
            continue
        suffix = next((end for end in _EXTERNAL if name.endswith(end) and name.removesuffix(end) in files), None)
        if suffix:
            about = external.setdefault(name.removesuffix(suffix), {})
            about[suffix[1:]] = format_name(value) if suffix == "_format" and value else value
        elif name and name not in _RESERVED:  # "?&a=b" has an empty one
            if not _NAME.match(name):
                raise ClickHouseError(BAD_ARGUMENTS, f"'{name}' is not the name of a setting")
            settings[name] = value
    return settings, params, external


def _timeout(options: Mapping[str, str]) -> float:
    try:
        return float(options.get("session_timeout", DEFAULT_TIMEOUT_S))
    except ValueError:
        raise ClickHouseError(
            INVALID_SESSION_TIMEOUT, f"Invalid session timeout: '{options['session_timeout']}'"
        ) from None


def _seconds(options: Mapping[str, str], switch: str, milliseconds: str, default_ms: int) -> float | None:
    """The option ``milliseconds``, at least 0.01 s, when ``switch`` is on."""
    if not _flag(options, switch):
        return None
    return max(_number(options.get(milliseconds, str(default_ms)), milliseconds), 10) / 1000


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ClickHouseError(BAD_ARGUMENTS, f"{name} must be a number, not '{text}'")
    return int(text)


def _flag(options: Mapping[str, str], *names: str) -> bool:
    return any(options.get(name, "0").strip().lower() in ("1", "true", "yes", "on") for name in names)
