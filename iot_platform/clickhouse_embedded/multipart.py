"""multipart/form-data requests: query parameters as fields, external tables as files."""

from __future__ import annotations

from collections.abc import Iterator

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from iot_platform.clickhouse_embedded.body import PIECE_BYTES
from iot_platform.clickhouse_embedded.errors import BAD_ARGUMENTS, ClickHouseError
from iot_platform.clickhouse_embedded.exchange import Exchange
from iot_platform.clickhouse_embedded.request import HttpQuery
from iot_platform.clickhouse_embedded.text import header_text

_MAX_FIELD_BYTES = 16 * PIECE_BYTES


def is_form(request: Request) -> bool:
    """Whether the body is a form."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def read_form(request: Request) -> tuple[FormData, list[tuple[str, str]]]:
    """The form (large files on disk) and its plain fields, which keep any bytes (text.py)."""
    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary", b"").decode("latin-1")
    if not boundary:
        raise ClickHouseError(BAD_ARGUMENTS, "Malformed multipart body: Missing boundary in multipart.")
    # Latin-1 keeps every byte; the library would replace those that are not in the request's character set.
    content_type = f'multipart/form-data; charset=latin-1; boundary="{boundary}"'
    parser = MultiPartParser(Headers({"content-type": content_type}), request.stream(), max_part_size=_MAX_FIELD_BYTES)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ClickHouseError(BAD_ARGUMENTS, f"Malformed multipart body: {error.message}") from None
    items = [(header_text(name), value) for name, value in form.multi_items()]
    fields = [(name, header_text(value)) for name, value in items if isinstance(value, str)]
    return FormData(items), fields


async def send_tables(form: FormData, query: HttpQuery, exchange: Exchange) -> None:
    """Each file becomes a temporary table, described by NAME_structure or NAME_types and NAME_format.

    The request's settings are already applied, so they also affect how the files are read.
    """
    execution = exchange.execution
    assert execution is not None
    for name, file in form.multi_items():
        if not isinstance(file, UploadFile):
            continue
        about = query.external.get(name, {})
        structure = about.get("structure") or _numbered(about.get("types", ""))
        if not structure:
            raise ClickHouseError(
                BAD_ARGUMENTS, f"Neither structure nor types have not been provided for external table {name}"
            )
        fmt = about.get("format") or "TabSeparated"
        await exchange.step(execution.add_external, name, structure, fmt, _read(file))
    if query.external:
        await exchange.step(execution.protect)


def _numbered(types: str) -> str:
    """The column list for ``NAME_types``: _1, _2, ... with the types. A comma inside parentheses does not separate."""
    parts, depth, begin = [], 0, 0
    for position, letter in enumerate(types):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(types[begin:position])
            begin = position + 1
    parts.append(types[begin:])
    return ", ".join(f"_{number} {part}" for number, part in enumerate(parts, 1)) if types.strip() else ""


def _read(file: UploadFile) -> Iterator[bytes]:
    while chunk := file.file.read(PIECE_BYTES):
        yield chunk
