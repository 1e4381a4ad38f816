"""Split a request's URL and body into a statement and the data of an INSERT, and run it."""

from __future__ import annotations

from dataclasses import replace

from iot_platform.clickhouse_embedded.body import PIECE_BYTES, Body
from iot_platform.clickhouse_embedded.errors import SYNTAX_ERROR, ClickHouseError
from iot_platform.clickhouse_embedded.exchange import Exchange
from iot_platform.clickhouse_embedded.execution import Execution
from iot_platform.clickhouse_embedded.statement import InsertHead, insert_head
from iot_platform.clickhouse_embedded.text import decoded, encoded, header_text

_MAX_HEAD_BYTES = PIECE_BYTES  # the statement part of an INSERT must fit
_MAX_QUERY_BYTES = 64 * PIECE_BYTES
_SHORT_BYTES = 4 * 1024  # parsed without a worker thread


async def execute(exchange: Exchange, execution: Execution, body: Body) -> None:
    """Run the statement in the URL and the body. As in ClickHouse, a line end joins the two."""
    text = encoded(f"{execution.query.sql}\n") if execution.query.sql else b""
    head = await _find_head(exchange, text) if text else None
    if head is None or not text[head.data_start :].strip():
        text += await body.take()
        head = head or await _find_head(exchange, text)
    if head is not None:
        await _insert(exchange, execution, head, text, body)
        return
    parts = [text]
    size = len(text)
    while not body.ended:
        parts.append(await body.take())
        size += len(parts[-1])
        if size > _MAX_QUERY_BYTES:
            raise ClickHouseError(SYNTAX_ERROR, f"Syntax error: the query is larger than {_MAX_QUERY_BYTES} bytes")
    await exchange.respond(lambda: execution.run(decoded(b"".join(parts))))


async def _insert(exchange: Exchange, execution: Execution, head: InsertHead, text: bytes, body: Body) -> None:
    # Other formats always go through the pipe: in a statement, a blank line would end the data.
    if body.ended and head.format.lower() == "values":
        result = await exchange.step(lambda: execution.run_values(head, decoded(text[head.data_start :])))
        if result is not None:
            await exchange.respond(lambda: result)
            return
    try:
        await _stream(exchange, execution, head, text, body)
    except ClickHouseError as error:
        if not execution.refused_word:
            raise
        why = f"{error.message} (only literals are accepted, because the values name {execution.refused_word})"
        raise ClickHouseError(error.code, why, error.name) from None
    await exchange.respond(lambda: iter(()))


async def _stream(exchange: Exchange, execution: Execution, head: InsertHead, text: bytes, body: Body) -> None:
    await exchange.step(execution.begin_insert, head)
    await exchange.step(execution.append, text[head.data_start :])
    async for piece in body:
        await exchange.step(execution.append, piece)
    await exchange.long_step(execution.finish_insert)


async def _find_head(exchange: Exchange, text: bytes) -> InsertHead | None:
    """The head of an INSERT with data; in a worker thread unless the text is short."""
    return _head(text) if len(text) <= _SHORT_BYTES else await exchange.step(_head, text)


def _head(text: bytes) -> InsertHead | None:
    # Data may be binary: latin-1 maps bytes to characters one to one, so positions are byte positions.
    head = insert_head(text[:_MAX_HEAD_BYTES].decode("latin-1"))
    return None if head is None else replace(head, sql=header_text(head.sql))
