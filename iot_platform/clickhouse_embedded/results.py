"""The body of a response: collected, compressed, spooled to disk. Everything here blocks and runs in worker threads."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import IO

from iot_platform.clickhouse_embedded.compression import response_compressor

# An error within the first MiB still gets its own status.
COLLECT_BYTES = 1024 * 1024
_IN_MEMORY_BYTES = 16 * COLLECT_BYTES


class Result:
    """The bytes of one response's body: ``begin``, then ``more`` until it returns None."""

    def __init__(
        self, start: Callable[[], Iterator[bytes]], blocks: bool, encoding: str | None, whole_first: bool
    ) -> None:
        """``whole_first``: collect the whole result, on disk when it is large, before the first byte is sent."""
        self._start = start
        self._compressor = response_compressor(blocks, encoding)
        self._whole_first = whole_first
        self._chunks: Iterator[bytes] = iter(())
        self._file: IO[bytes] | None = None
        self.length: int | None = None  # bytes of the body, if known at the beginning
        self.is_empty = True  # while the engine has sent nothing; an empty body is not compressed

    def begin(self) -> bytes:
        """Run the query and return the first MiB of the body. If ``length`` is then set, that is the whole body."""
        self._chunks = self._start()
        if self._whole_first:
            self._spool()
            return self.more() or b""
        parts: list[bytes] = []
        size = 0
        for chunk in self._chunks:
            parts.append(chunk)
            size += len(chunk)
            if size >= COLLECT_BYTES:
                return self._packed(b"".join(parts))
        body = self._packed(b"".join(parts)) + self._tail()
        self.length = len(body)
        self._compressor = response_compressor(False, None)
        return body

    def more(self) -> bytes | None:
        """The next bytes; None at the end."""
        if self._file is not None:
            return self._file.read(COLLECT_BYTES) or None
        chunk = next(self._chunks, None)
        return None if chunk is None else self._packed(chunk)

    def end(self, message: bytes = b"") -> bytes:
        """The last bytes of a body without length; ``message`` (an error) is the last of its content."""
        if message:
            self.is_empty = False
        return self._compressor.compress(message) + self._tail()

    def close(self) -> None:
        """Close the spool file."""
        if self._file is not None:
            self._file.close()

    def _spool(self) -> None:
        file = self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - outlives this call
        for chunk in self._chunks:
            file.write(self._packed(chunk))
        file.write(self._tail())
        self.length = file.tell()
        file.seek(0)

    def _packed(self, data: bytes) -> bytes:
        self.is_empty = self.is_empty and not data
        return self._compressor.compress(data) if data else b""

    def _tail(self) -> bytes:
        return b"" if self.is_empty else self._compressor.flush()
