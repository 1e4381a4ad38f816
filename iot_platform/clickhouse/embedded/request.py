"""What one HTTP request asks for: identity, settings, parameters, session, formats."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from iot_platform.clickhouse.embedded.faults import (
    BAD_ARGUMENTS,
    INVALID_SESSION_TIMEOUT,
    NOT_IMPLEMENTED,
    ClickHouseError,
)
from iot_platform.clickhouse.embedded.lexer import words
from iot_platform.clickhouse.embedded.sessions import DEFAULT_TIMEOUT_S
from iot_platform.clickhouse.embedded.statement import format_name

# URL parameters that are not settings of the engine.
_RESERVED = words(
    """
    query query_id database user password quota_key session_id session_timeout session_check close_session
    default_format wait_end_of_query buffer_size stacktrace compress decompress client_protocol_version
    http_native_compression_disable_checksumming_on_decompress dialect
    """
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_EXTERNAL = ("_format", "_types", "_structure")


@dataclass
class HttpQuery:
    """One request, read from its URL and headers (the SQL itself may still be in the body)."""

    query_id: str
    sql: str
    database: str
    default_format: str
    settings: dict[str, str]
    params: dict[str, str]
    options: dict[str, str]
    readonly: int = 0
    session_id: str = ""
    session_timeout_s: float = DEFAULT_TIMEOUT_S
    session_check: bool = False
    close_session: bool = False
    wait_end: bool = False
    compress_answer: bool = False
    external: dict[str, dict[str, str]] = field(default_factory=dict)


def read_request(pairs: Iterable[tuple[str, str]], headers: Mapping[str, str], is_get: bool) -> HttpQuery:
    """The request's URL parameters (last one wins) and headers as an HttpQuery."""
    options = dict(pairs)
    query_id = options.get("query_id", "")
    if any(not letter.isprintable() for letter in query_id):
        raise ClickHouseError(BAD_ARGUMENTS, "query_id must not have control characters")
    for flag in ("compress", "decompress"):
        if _is_on(options.get(flag, "0")):
            raise ClickHouseError(
                NOT_IMPLEMENTED, f"{flag}=1 (ClickHouse's own block compression) is not supported; use Content-Encoding"
            )
    if options.get("role"):
        raise ClickHouseError(NOT_IMPLEMENTED, "Roles are not supported")
    settings, params, external = _sort_out(options)
    readonly = _number(settings.pop("readonly", "0"), "readonly")
    return HttpQuery(
        query_id=query_id or str(uuid.uuid4()),
        sql=options.get("query", ""),
        database=options.get("database") or headers.get("x-clickhouse-database", ""),
        default_format=format_name(
            options.get("default_format") or headers.get("x-clickhouse-format", "") or "TabSeparated"
        ),
        settings=settings,
        params=params,
        options=options,
        # As in ClickHouse: what GET asks for must not change anything.
        readonly=int(readonly) or (2 if is_get else 0),
        session_id=options.get("session_id", ""),
        session_timeout_s=_timeout(options),
        session_check=_is_on(options.get("session_check", "0")),
        close_session=_is_on(options.get("close_session", "0")),
        wait_end=_is_on(options.get("wait_end_of_query", "0")),
        compress_answer=_is_on(options.get("enable_http_compression", "0")),
        external=external,
    )


def _sort_out(options: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, str]]]:
    settings: dict[str, str] = {}
    params: dict[str, str] = {}
    external: dict[str, dict[str, str]] = {}
    tables = {name.removesuffix(end) for name in options for end in ("_types", "_structure") if name.endswith(end)}
    for name, value in options.items():
        if name.startswith("param_"):
            params[name.removeprefix("param_")] = value
            continue
        suffix = next((end for end in _EXTERNAL if name.endswith(end) and name.removesuffix(end) in tables), None)
        if suffix:
            about = external.setdefault(name.removesuffix(suffix), {})
            about[suffix[1:]] = format_name(value) if suffix == "_format" and value else value
        elif name not in _RESERVED:
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


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ClickHouseError(BAD_ARGUMENTS, f"{name} must be a number, not '{text}'")
    return int(text)


def _is_on(text: str) -> bool:
    return text.strip().lower() in ("1", "true", "yes", "on")
