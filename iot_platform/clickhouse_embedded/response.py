"""HTTP responses: headers as ClickHouse sends them, streamed bodies, errors in mid-stream."""

from __future__ import annotations

import json
import secrets
import socket
import string
from dataclasses import asdict

from iot_platform.clickhouse_embedded.errors import ClickHouseError
from iot_platform.clickhouse_embedded.execution import Execution
from iot_platform.clickhouse_embedded.text import encoded

_TYPES = {
    "tab": "text/tab-separated-values; charset=UTF-8",
    "tsv": "text/tab-separated-values; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "json": "application/json; charset=UTF-8",
    "xml": "application/xml; charset=UTF-8",
    "pretty": "text/plain; charset=UTF-8",
    "vertical": "text/plain; charset=UTF-8",
    "values": "text/plain; charset=UTF-8",
    "markdown": "text/markdown; charset=UTF-8",
    "arrowstream": "application/vnd.apache.arrow.stream",
    "arrow": "application/vnd.apache.arrow.file",
    "parquet": "application/octet-stream",
}
DISPLAY_NAME = socket.gethostname()


def content_type(fmt: str | None) -> str:
    """The media type of an output format."""
    name = (fmt or "").lower()
    if "eachrow" in name or name in ("jsonlines", "ndjson"):
        return "application/x-ndjson; charset=UTF-8"
    if name.startswith("csvwithnames"):
        return "text/csv; charset=UTF-8; header=present"
    found = sorted((prefix for prefix in _TYPES if name.startswith(prefix)), key=len)
    if found:
        return _TYPES[found[-1]]
    return "application/octet-stream" if fmt else "text/plain; charset=UTF-8"


def new_exception_tag() -> str:
    """A random tag that marks errors in mid-stream. Data does not contain it by accident."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))


def common_headers(query_id: str, timezone: str, tag: str) -> dict[str, str]:
    """Headers of every response; ``tag`` marks its errors in mid-stream."""
    return {
        "X-ClickHouse-Server-Display-Name": DISPLAY_NAME,
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": timezone,
        "X-ClickHouse-Exception-Tag": tag,
    }


def content_headers(fmt: str | None, encoding: str | None) -> dict[str, str]:
    """Headers that describe a result; ``fmt`` None: a statement without a result."""
    headers = {"Content-Type": content_type(fmt)}
    if fmt:
        headers["X-ClickHouse-Format"] = fmt
    if encoding:
        headers["Content-Encoding"] = encoding
    return headers


def encoded_headers(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """The headers as the HTTP server takes them."""
    return [(name.encode(), encoded(value)) for name, value in headers.items()]


def progress(execution: Execution) -> str:
    """The value of X-ClickHouse-Progress: all numbers as strings."""
    counts = {"read_rows": 0, "read_bytes": 0, "total_rows_to_read": 0, **(execution.progress or {})}
    counts["elapsed_ns"] = execution.elapsed_ns
    return json.dumps({name: str(value) for name, value in counts.items()})


def summary(execution: Execution) -> str:
    """The value of X-ClickHouse-Summary: all numbers as strings."""
    counts = {name: str(value) for name, value in asdict(execution.totals).items()}
    return json.dumps({**counts, "total_rows_to_read": "0", "elapsed_ns": str(execution.elapsed_ns)})


def mid_stream(error: ClickHouseError, version: str, tag: str) -> bytes:
    """The error as ClickHouse (since 25.11) appends it to a response whose status is already sent."""
    message = encoded(error.body(version))
    return b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (
        tag.encode(),
        message,
        len(message),
        tag.encode(),
    )
