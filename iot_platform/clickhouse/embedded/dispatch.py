"""From a request's URL and body to a statement: where the SQL ends and the data of an INSERT begins."""

from __future__ import annotations

from dataclasses import replace

from iot_platform.clickhouse.embedded.body import PIECE_BYTES, Body
from iot_platform.clickhouse.embedded.exchange import Exchange
from iot_platform.clickhouse.embedded.execution import Execution
from iot_platform.clickhouse.embedded.faults import SYNTAX_ERROR, ClickHouseError
from iot_platform.clickhouse.embedded.statement import InsertHead, insert_head

_MAX_HEAD_BYTES = PIECE_BYTES  # the statement part of an INSERT must fit
_MAX_QUERY_BYTES = 64 * PIECE_BYTES


async def execute(exchange: Exchange, execution: Execution, body: Body) -> None:
    """Run what the URL and the body say; a line end stands between the two, as in ClickHouse."""
    text = f"{execution.query.sql}\n".encode() if execution.query.sql else b""
    head = _head(text)
    if head is None or not text[head.data_start :].strip():
        text += await body.take()
        head = head or _head(text)
    if head is not None:
        await _insert(exchange, execution, head, text, body)
        return
    while not body.ended:
        text += await body.take()
        if len(text) > _MAX_QUERY_BYTES:
            raise ClickHouseError(SYNTAX_ERROR, f"Syntax error: the query is larger than {_MAX_QUERY_BYTES} bytes")
    sql = text.decode("utf-8", "surrogateescape")
    await exchange.answer(lambda: execution.run(sql))


async def _insert(exchange: Exchange, execution: Execution, head: InsertHead, text: bytes, body: Body) -> None:
    # Every other format goes through the pipe: the engine would take a blank line for the end of the data.
    if body.ended and head.format.lower() == "values":
        values = text[head.data_start :].decode("utf-8", "surrogateescape")
        result = await exchange.step(execution.run_values, head, values)
        if result is not None:
            await exchange.answer(lambda: result)
            return
    try:
        await _stream(exchange, execution, head, text, body)
    except ClickHouseError as error:
        if not execution.refused_word:
            raise
        why = f"{error.message} (only literals are accepted, because the values name {execution.refused_word})"
        raise ClickHouseError(error.code, why, error.name) from None
    await exchange.answer(lambda: iter(()))


async def _stream(exchange: Exchange, execution: Execution, head: InsertHead, text: bytes, body: Body) -> None:
    await exchange.step(execution.begin_insert, head)
    await exchange.step(execution.append, text[head.data_start :])
    async for piece in body:
        await exchange.step(execution.append, piece)
    await exchange.step(execution.finish_insert)


def _head(text: bytes) -> InsertHead | None:
    # Data may be binary: latin-1 maps bytes to characters one to one, so positions are byte positions.
    head = insert_head(text[:_MAX_HEAD_BYTES].decode("latin-1"))
    if head is None:
        return None
    return replace(head, sql=head.sql.encode("latin-1").decode("utf-8", "surrogateescape"))
