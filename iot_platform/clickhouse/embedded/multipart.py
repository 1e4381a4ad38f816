"""multipart/form-data requests: query parameters as fields, external tables as files."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from iot_platform.clickhouse.embedded.body import PIECE_BYTES
from iot_platform.clickhouse.embedded.exchange import Exchange
from iot_platform.clickhouse.embedded.faults import BAD_ARGUMENTS, ClickHouseError
from iot_platform.clickhouse.embedded.request import HttpQuery

_MAX_FIELD_BYTES = 16 * PIECE_BYTES


def is_form(request: Request) -> bool:
    """Whether the body is a form."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def read_form(request: Request) -> tuple[FormData, list[tuple[str, str]]]:
    """The form (large files on disk) and its plain fields."""
    try:
        form = await request.form(max_part_size=_MAX_FIELD_BYTES)
    except MultiPartException as error:
        raise ClickHouseError(BAD_ARGUMENTS, f"Malformed multipart body: {error.message}") from None
    except Exception as error:
        # Starlette wraps the parser's complaint when an application is in the scope.
        detail = getattr(error, "detail", None)
        if detail is None:
            raise
        raise ClickHouseError(BAD_ARGUMENTS, f"Malformed multipart body: {detail}") from None
    return form, [(name, value) for name, value in form.multi_items() if isinstance(value, str)]


async def send_tables(form: FormData, query: HttpQuery, exchange: Exchange) -> None:
    """Each file becomes a temporary table, described by NAME_structure or NAME_types and NAME_format."""
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


def _numbered(types: str) -> str:
    """``NAME_types`` names the columns _1, _2, ...; a comma inside parentheses does not separate."""
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
