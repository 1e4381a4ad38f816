"""Errors of the server process, and ClickHouse's numbered errors for clients: code, name, HTTP status, text."""

from __future__ import annotations

import os
import re

from iot_platform.clickhouse_embedded.record import ServerRecord

SYNTAX_ERROR = 62
UNKNOWN_FORMAT = 73
BAD_ARGUMENTS = 36
NOT_IMPLEMENTED = 48
UNKNOWN_COMPRESSION_METHOD = 89
CHECKSUM_DOESNT_MATCH = 40
TOO_LARGE_SIZE_COMPRESSED = 130
UNKNOWN_CODEC = 432
USER_SESSION_LIMIT_EXCEEDED = 700
UNKNOWN_EXCEPTION = 1002
READONLY = 164
TOO_MANY_SIMULTANEOUS_QUERIES = 202
QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING = 216
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
INVALID_SESSION_TIMEOUT = 374
CANNOT_DECOMPRESS = 271
UNKNOWN_QUERY_PARAMETER = 456
BAD_QUERY_PARAMETER = 457
ACCESS_DENIED = 497
AUTHENTICATION_FAILED = 516

_NAMES = {
    SYNTAX_ERROR: "SYNTAX_ERROR",
    BAD_ARGUMENTS: "BAD_ARGUMENTS",
    UNKNOWN_FORMAT: "UNKNOWN_FORMAT",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    UNKNOWN_COMPRESSION_METHOD: "UNKNOWN_COMPRESSION_METHOD",
    CHECKSUM_DOESNT_MATCH: "CHECKSUM_DOESNT_MATCH",
    TOO_LARGE_SIZE_COMPRESSED: "TOO_LARGE_SIZE_COMPRESSED",
    UNKNOWN_CODEC: "UNKNOWN_CODEC",
    USER_SESSION_LIMIT_EXCEEDED: "USER_SESSION_LIMIT_EXCEEDED",
    UNKNOWN_EXCEPTION: "UNKNOWN_EXCEPTION",
    READONLY: "READONLY",
    TOO_MANY_SIMULTANEOUS_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    SESSION_NOT_FOUND: "SESSION_NOT_FOUND",
    SESSION_IS_LOCKED: "SESSION_IS_LOCKED",
    INVALID_SESSION_TIMEOUT: "INVALID_SESSION_TIMEOUT",
    CANNOT_DECOMPRESS: "CANNOT_DECOMPRESS",
    UNKNOWN_QUERY_PARAMETER: "UNKNOWN_QUERY_PARAMETER",
    BAD_QUERY_PARAMETER: "BAD_QUERY_PARAMETER",
    ACCESS_DENIED: "ACCESS_DENIED",
    AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
}

# ClickHouse's own mapping (src/Server/HTTP/exceptionCodeToHTTPStatus.cpp); everything else is 500.
_STATUS_CODES = {
    400: (6, 8, 15, 25, 26, 27, 36, 38, 41, 44, 53, 62, 72, 117, 162, 167, 168, 321, 427, 441, 675, 676, 376),
    401: (194,),
    403: (192, 193, 497, 512, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 110, 115, 277, 336, 511),
    408: (159,),
    411: (381,),
    413: (29,),
    415: (599,),
    501: (48,),
    503: (76, 209, 439),
}
_STATUS = {code: status for status, codes in _STATUS_CODES.items() for code in codes}

_CODE = re.compile(r"Code: (\d+)\. DB::Exception: ")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)\s*(?:\(version .*\))?\s*$")


class EmbeddedServerError(Exception):
    """The server cannot start or run; the message says why."""

    exit_code = 1


class DirectoryInUseError(EmbeddedServerError):
    """Another server uses the directory. ``record`` describes it; None: it is starting or stopping."""

    exit_code = 3

    def __init__(self, message: str, record: ServerRecord | None) -> None:
        super().__init__(message)
        self.record = record


class MissingPackageError(EmbeddedServerError):
    """A package that the server needs is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"The embedded ClickHouse needs the package {package}: pip install 'iot-platform[embedded]'")


class ClickHouseError(Exception):
    """An error a client gets: code, symbolic name and the message without code, name and version."""

    def __init__(self, code: int, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.name = name or _NAMES.get(code, "UNKNOWN_EXCEPTION")

    @property
    def status(self) -> int:
        """The HTTP status that ClickHouse answers with for this code."""
        return _STATUS.get(self.code, 500)

    def body(self, version: str) -> str:
        """The text of the error as ClickHouse writes it into the response."""
        return f"Code: {self.code}. DB::Exception: {self.message} ({self.name}) (version {version} (official build))\n"


# Internals of the server in the engine's messages: pipes, its views, its setting for query ids.
_OWN_NAMES = (
    (re.compile(r": \(in file/uri /dev/fd/\d+\)|: While executing File: data for INSERT was parsed from file"), ""),
    (re.compile(r"'?/dev/fd/\d+'?"), "the data of the request"),
    (re.compile(r"_by_client_id_\d+(?:_\w+)?"), ""),
    (re.compile(r"Settings\[\\?'send_logs_source_regexp\\?'\]"), "query_id"),
)


def _without_own_names(text: str) -> str:
    # The server's working directory contains its data.
    text = text.replace(f"{os.getcwd()}/", "")
    for pattern, replacement in _OWN_NAMES:
        text = pattern.sub(replacement, text)
    return text


def from_engine(error: BaseException) -> ClickHouseError:
    """The numbered error inside an exception of the engine's Python module, without paths and names of the server."""
    text = _without_own_names(str(error).strip())
    starts = list(_CODE.finditer(text))
    if not starts:
        return ClickHouseError(UNKNOWN_EXCEPTION, text or type(error).__name__)
    # The module repeats the prefix when it wraps an error: "Code: 27. DB::Exception: Code: 27. DB::Exception: ...".
    first = starts[0]
    end = first.end()
    for again in starts[1:]:
        if again.start() != end:
            break
        end = again.end()
    message = text[end:]
    name = _NAME.search(message)
    if name:
        message = message[: name.start()].rstrip()
    return ClickHouseError(int(first.group(1)), message, name.group(1) if name else None)
