"""Stream the data of statements through pipes: INSERTs read FROM INFILE, SELECTs write INTO OUTFILE.

The engine's own streaming calls are not used. ``send_insert`` hides every error while rows are written (a violated
constraint, too many partitions, a view that throws) and reports success for rows that were never stored. ``send_query``
encodes each block as a separate document with its own header, so most formats cannot be concatenated. Ordinary
statements on a pipe report all errors and stream every format, in bounded memory. Clients cannot use these clauses: the
guard refuses them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from iot_platform.clickhouse_embedded.errors import ClickHouseError, from_engine
from iot_platform.clickhouse_embedded.handle import Handle
from iot_platform.clickhouse_embedded.lexer import tokens, with_depth
from iot_platform.clickhouse_embedded.statement import InsertHead, Statement, format_name

_PIPE_BYTES = 1024 * 1024  # the most that an ordinary user may ask for
_KILL_AGAIN_S = 0.2


class _Piped:
    """A statement that runs in a thread of its own and reads or writes a pipe; the other end is ours."""

    def __init__(self, handle: Handle, params: Mapping[str, str], engine_reads: bool) -> None:
        self._handle = handle
        self._params = params
        self.result: Any = None
        self._error: ClickHouseError | None = None
        reader, writer = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._theirs, self._ours = (reader, writer) if engine_reads else (writer, reader)
        self._thread: threading.Thread | None = None

    @property
    def path(self) -> str:
        """The engine's end of the pipe, as a file."""
        return f"/dev/fd/{self._theirs}"

    def start(self, sql: str, fmt: str) -> None:
        """Run the statement."""
        self._thread = threading.Thread(target=self._run, args=(sql, fmt), name="statement", daemon=True)
        self._thread.start()

    def _run(self, sql: str, fmt: str) -> None:
        try:
            self.result = self._handle.query_one(sql, fmt, self._params)
        except ClickHouseError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - carried to the thread that waits for the result
            self._error = from_engine(error)
        finally:
            # This signals the end of the statement to our end of the pipe: as end of file, or as a broken pipe.
            os.close(self._theirs)

    def join(self) -> None:
        """Close our end and wait for the statement; raise its error."""
        ours, self._ours = self._ours, -1
        if ours >= 0:
            os.close(ours)
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def cancel(self, kill: Callable[[], bool]) -> None:
        """Stop the statement. ``kill`` cancels it first: a closed pipe alone would look like the end of the data.

        ``kill`` returns whether it found the statement; it is called again, because the statement may not have begun.
        """
        while self._thread is not None and self._thread.is_alive():
            found = kill()
            self._thread.join(_KILL_AGAIN_S)
            if found and self._thread.is_alive():
                break  # cancelled, but a thread of the engine waits for our pipe until that is closed
        with contextlib.suppress(ClickHouseError):
            self.join()


class Inserter(_Piped):
    """One INSERT under way: ``append`` bytes, then ``finish``, or ``cancel``."""

    def __init__(self, handle: Handle, head: InsertHead, params: Mapping[str, str]) -> None:
        super().__init__(handle, params, engine_reads=True)
        self.start(_from_infile(head, self.path), head.format)

    def append(self, data: bytes) -> None:
        """Write the next bytes; raises the engine's error about earlier ones."""
        view = memoryview(data)
        while view and self._ours >= 0:
            try:
                view = view[os.write(self._ours, view) :]
            except BrokenPipeError:
                self.join()
                return  # the statement has succeeded without reading the rest

    def finish(self) -> Any:
        """End the data and wait until all rows are stored; returns the engine's result or raises its error."""
        self.join()
        return self.result


class Output(_Piped):
    """The result of one SELECT, in any format: iterate it, then look at ``result``; or ``cancel``."""

    def __init__(self, handle: Handle, statement: Statement, default_format: str, params: Mapping[str, str]) -> None:
        super().__init__(handle, params, engine_reads=False)
        body, tail = statement.text[: statement.body_end], statement.text[statement.body_end :]
        # The comment lets the view of the query log show the client's own text (see engine.py).
        tail = tail or f"/* default */ FORMAT {format_name(default_format)}"
        self.start(f"{body}\nINTO OUTFILE '{self.path}' TRUNCATE {tail}", statement.format or default_format)

    def __iter__(self) -> Iterator[bytes]:
        while data := os.read(self._ours, _PIPE_BYTES):
            yield data
        self.join()


def _from_infile(head: InsertHead, path: str) -> str:
    """The INSERT that reads ``path``; FROM INFILE comes after the columns and before SETTINGS."""
    position = len(head.sql)
    for _, token, depth in with_depth(list(tokens(head.sql))):
        if depth == 0 and token.word == "SETTINGS":
            position = token.start
            break
    begin, settings = head.sql[:position], head.sql[position:]
    return f"{begin}\nFROM INFILE '{path}' COMPRESSION 'none' {settings} FORMAT {format_name(head.format)}"
