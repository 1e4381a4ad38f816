"""Streaming the data of an INSERT into the engine through a pipe.

The engine's own ``send_insert`` is not used: it swallows every error that comes up while rows are written (a violated
constraint, too many partitions, a view that throws) and reports success for rows that were never stored. Reading the
same bytes FROM INFILE, an ordinary statement, reports them all, in bounded memory as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from iot_platform.clickhouse.embedded.engine import Handle
from iot_platform.clickhouse.embedded.faults import ClickHouseError
from iot_platform.clickhouse.embedded.lexer import tokens
from iot_platform.clickhouse.embedded.statement import InsertHead

_PIPE_BYTES = 1024 * 1024  # the most that an ordinary user may ask for
_TRACES = re.compile(r": \(in file/uri /dev/fd/\d+\)|: While executing File: data for INSERT was parsed from file")


class Inserter:
    """One INSERT under way: ``append`` bytes, then ``finish``, or ``cancel``."""

    def __init__(self, handle: Handle, head: InsertHead, params: Mapping[str, str]) -> None:
        self._handle = handle
        self._params = params
        self._result: Any = None
        self._error: ClickHouseError | None = None
        self._reader, self._writer = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        sql = _from_infile(head, f"/dev/fd/{self._reader}")
        self._thread = threading.Thread(target=self._run, args=(sql, head.format), name="insert", daemon=True)
        self._thread.start()

    def _run(self, sql: str, fmt: str) -> None:
        try:
            self._result = self._handle.query(sql, fmt, self._params)
        except ClickHouseError as error:
            self._error = ClickHouseError(error.code, _TRACES.sub("", error.message), error.name)
        finally:
            # With the last reader gone, a blocked append ends with a broken pipe.
            os.close(self._reader)

    def append(self, data: bytes) -> None:
        """Hand over the next bytes; raises what the engine has to say about the ones before."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._writer, view) :]
            except BrokenPipeError:
                self._join()
                return  # the statement ended well without reading the rest

    def finish(self) -> Any:
        """The end of the data: wait until all is written; the engine's result or its error."""
        self._join()
        return self._result

    def cancel(self, kill: Callable[[], None]) -> None:
        """Give up: ``kill`` cancels the statement, so that the end of the pipe is not taken for the end of the data."""
        if self._thread.is_alive():
            kill()
        with contextlib.suppress(ClickHouseError):
            self._join()

    def _join(self) -> None:
        writer, self._writer = self._writer, -1
        if writer >= 0:
            os.close(writer)
        self._thread.join()
        if self._error is not None:
            raise self._error


def _from_infile(head: InsertHead, path: str) -> str:
    """The INSERT that reads ``path``; FROM INFILE stands behind the columns, before SETTINGS."""
    depth, position = 0, len(head.sql)
    previous = ""
    for token in tokens(head.sql):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.word == "SETTINGS" and previous not in ("INTO", "TABLE", "."):
            position = token.start
            break
        previous = token.word or token.text
    begin, settings = head.sql[:position], head.sql[position:]
    # The line end keeps a comment at the end of the statement from swallowing the rest.
    return f"{begin}\nFROM INFILE '{path}' COMPRESSION 'none' {settings}\nFORMAT {head.format}"
