"""The content of a file, unpacked if it is compressed. The first bytes, not the name, determine the compression."""

from __future__ import annotations

import lzma
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import IOBase, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from iot_platform.errors import SourceError

# A text may begin with BZh, but not with the digit and the mark of a block, or of the end, after it.
COMPRESSIONS = {
    rb"\x1f\x8b": "gzip",
    rb"\x28\xb5\x2f\xfd": "zstd",
    rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)": "bz2",
    rb"\xfd7zXZ\x00": "xz",
}
START_BYTES = 64 << 10
END_BYTES = 256
CHUNK_BYTES = 1 << 20
LONGEST_LINE_BYTES = 4 << 20
# The most that is unpacked to a temporary file: a file of a few MB could fill the disk.
MOST_UNPACKED_BYTES = 16 << 30


@dataclass(frozen=True)
class Stream:
    """An open file, unpacked; ``position``: how many of the ``size_bytes`` on disk were read."""

    path: Path
    file: BinaryIO
    position: Callable[[], int]
    size_bytes: int

    def progress(self) -> float:
        """Share of the file that has been read, from 0 to 1."""
        return min(1.0, self.position() / max(1, self.size_bytes))

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class Content:
    """The content of a file. ``shown``: its path for messages. ``compression``: "" if there is none."""

    def __init__(self, path: Path, shown: Path) -> None:
        self.path = path
        self.shown = shown
        self._size_bytes = path.stat().st_size
        with path.open("rb") as raw:
            start = raw.read(START_BYTES)
        self.compression = next((name for magic, name in COMPRESSIONS.items() if re.match(magic, start)), "")
        self.start = self._unpacked_start() if self.compression else start

    @property
    def end(self) -> bytes:
        """The last bytes; b"" if they are not known without unpacking all of it."""
        if not self.compression:
            with self.path.open("rb") as raw:
                raw.seek(max(0, self._size_bytes - END_BYTES))
                return raw.read(END_BYTES)
        return self.start[-END_BYTES:] if len(self.start) < START_BYTES else b""

    def stream(self) -> Stream:
        """The content, to be read from its start to its end."""
        raw = self.path.open("rb")
        try:
            file = _unpacked(raw, self.compression) if self.compression else raw
        except BaseException:
            raw.close()
            raise
        return Stream(self.shown, file, raw.tell, self._size_bytes)

    def seekable(self) -> BinaryIO:
        """The content for random access; if it is compressed, in a temporary file.

        Raises SourceError if it is damaged.
        """
        stream = self.stream()
        if not self.compression:
            return stream.file
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the row source
        try:
            copy_bounded(stream.file, cast(BinaryIO, file), MOST_UNPACKED_BYTES, self.shown)
            file.seek(0)
        except OSError as error:
            file.close()
            raise SourceError(f"{self.shown}: cannot be unpacked: {error}.") from error
        except BaseException:
            file.close()
            raise
        finally:
            stream.close()
        return cast(BinaryIO, file)

    def _unpacked_start(self) -> bytes:
        # A separate file handle, because Arrow's stream closes the one that it is given.
        try:
            with self.path.open("rb") as raw:
                return _unpacked(raw, self.compression).read(START_BYTES)
        except OSError as error:
            raise SourceError(f"{self.shown}: cannot be unpacked: {error}.") from error


def copy_bounded(source: BinaryIO, target: BinaryIO, most_bytes: int, shown: Path) -> int:
    """Copy a file; returns its size. Raises SourceError when it has more than ``most_bytes``."""
    size = 0
    while piece := source.read(min(CHUNK_BYTES, most_bytes - size + 1)):
        size += len(piece)
        if size > most_bytes:
            raise SourceError(f"{shown}: unpacked, it has more than {most_bytes / 1e9:,.1f} GB. Unpack it yourself.")
        target.write(piece)
    return size


def numbered_lines(stream: Stream) -> Iterator[tuple[int, bytes]]:
    """The lines of a text with their numbers, without line ends and a byte order mark.

    Raises SourceError when a line is too long, or the file is damaged.
    """
    number, kept = 0, b""
    while True:
        try:
            piece = stream.file.read(CHUNK_BYTES)
        except OSError as error:
            raise SourceError(f"{stream.path}, after line {number}: cannot be unpacked: {error}.") from error
        lines = (kept + piece).split(b"\n")
        kept = lines.pop() if piece else b""
        if len(kept) > LONGEST_LINE_BYTES:
            raise SourceError(f"{stream.path}: line {number + len(lines) + 1} is longer than 4 MB.")
        for line in lines:
            number += 1
            yield number, line.rstrip(b"\r").removeprefix(b"\xef\xbb\xbf") if number == 1 else line.rstrip(b"\r")
        if not piece:
            return


class _Xz(RawIOBase):
    """An .xz file whose damage is an OSError, as that of the other compressions."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._file = lzma.LZMAFile(raw)  # noqa: SIM115 - closed below

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except (lzma.LZMAError, EOFError) as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._raw.close()
        super().close()


def _unpacked(raw: BinaryIO, compression: str) -> BinaryIO:
    if compression == "xz":
        return cast(BinaryIO, _Xz(raw))
    return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(cast(IOBase, raw), mode="r"), cast(Any, compression)))
