"""The outbox: readings that were accepted and are not in ClickHouse yet, on the local disk.

One directory a stream. Readings are appended to an open file and are safe when ``append`` returns (fdatasync). ``seal``
makes the open file a batch for good: its range of positions and its arrival time are its name, so that it is sent as
the same batch however often that is tried. A delivered batch is deleted. Files rather than a database: deleting works
on a full disk, and a torn end is cut off.

    FROM-EARLIEST.open     frames, appended; FROM is the position (number) of its first reading, EARLIEST the first
                           arrival time that it may get
    FROM-TO-ARRIVAL.batch  sealed; times in microseconds since 1970
    id                     names the stream; a new directory is a new stream
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO
from uuid import uuid4

import pyarrow as pa

from iot_platform.errors import OutboxFullError, PlatformError
from iot_platform.readings.outbox_format import encode_frame, read_frames
from iot_platform.security.private_files import private_directory


@dataclass(frozen=True)
class SealedBatch:
    """A batch that will never change: its file, its positions, and when it was accepted."""

    path: Path
    position_from: int
    position_to: int
    arrived_at: dt.datetime

    def read(self) -> pa.Table:
        """Its readings. A column that some of them lack (a source has begun to send it) is null there.

        Raises PlatformError when the file is not whole any more.
        """
        found = list(read_frames(self.path))
        whole, readable = self.position_to - self.position_from, sum(positions for _, positions, _ in found)
        if readable != whole:
            raise PlatformError(
                f"Batch {self.path} is damaged: {readable:,} of its {whole:,} positions can be read. Nothing of it was "
                "sent. Restore the file from a copy, or move it away and send these positions as another stream."
            )
        tables = [table for table, _, _ in found]
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


class Outbox:
    """The outbox of one stream, for one process; ``append`` and ``seal`` from one thread at a time.

    Raises PlatformError when another process has it open.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        try:
            private_directory(directory)
            self._lock = self._locked()
            self.stream_id = self._identity()
            self._is_synced = True
            self._sealed_bytes = sum(batch.path.stat().st_size for batch in self.sealed())
            self._recover()
        except OSError as error:
            raise PlatformError(
                f"Outbox {directory} cannot be opened: {error.strerror}. What was accepted before is safe."
            ) from error

    def close(self) -> None:
        """Let others use the directory. What is in it stays."""
        self._file.close()
        self._lock.close()

    @property
    def position(self) -> int:
        """The position after the last accepted one."""
        return self._end

    @property
    def is_empty(self) -> bool:
        """Whether everything that was accepted is delivered."""
        return self._end == self._start and not self.sealed()

    @property
    def open_rows(self) -> int:
        """Readings in the open file."""
        return self._rows

    @property
    def open_bytes(self) -> int:
        """Size of the open file."""
        return self._size

    @property
    def open_age_s(self) -> float:
        """Seconds since the first frame of the open file; 0 when it is empty."""
        return time.monotonic() - self._opened_at if self._end > self._start else 0.0

    def append(self, readings: pa.Table, positions: int) -> int:
        """Accept readings that cover the next ``positions`` positions; returns the position after them.

        They survive any crash from then on. Raises OutboxFullError when the bound or the disk is reached: then nothing
        of them was accepted, and all that was accepted before is safe.
        """
        frame = encode_frame(readings, positions)
        used = self._sealed_bytes + self._size
        if used + len(frame) > self._max_bytes:
            raise OutboxFullError(
                f"Outbox {self._directory} holds {used:,} of {self._max_bytes:,} bytes: nothing more is accepted until "
                "ClickHouse has taken some of it. What was accepted is safe."
            )
        try:
            written = self._file.write(frame)
            if written != len(frame):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(self._file.fileno())
        except OSError as error:
            self._file.close()
            self._reopen(self._size)
            raise OutboxFullError(
                f"Outbox {self._directory}: {error.strerror}; these {readings.num_rows:,} readings were not accepted. "
                "What was accepted before is safe. Free some disk, or wait until ClickHouse has taken some of it."
            ) from error
        if self._end == self._start:
            self._opened_at = time.monotonic()
        self._size += len(frame)
        self._rows += readings.num_rows
        self._end += positions
        return self._end

    def seal(self) -> bool:
        """Make what is open a batch; False when there is nothing. Raises OutboxFullError when no file can be made."""
        if self._end == self._start:
            return False
        arrival_us = max(self._earliest_us, time.time_ns() // 1_000)
        name = f"{self._start:020d}-{self._end:020d}-{arrival_us}.batch"
        # Later batches are newer, whatever the clock does: of two readings of one key the later one wins. Within a
        # batch each repeat of a key counts as one microsecond, see arrivals.py.
        following = self._directory / f"{self._end:020d}-{arrival_us + max(self._rows, 1)}.open"
        try:
            # The next file first: some open file always tells the position, also when all batches are delivered.
            following.touch()
            self._path.rename(self._directory / name)
        except OSError as error:
            following.unlink(missing_ok=True)
            raise OutboxFullError(f"Outbox {self._directory}: {error.strerror}; what was accepted is safe.") from error
        self._is_synced = False
        self._file.close()
        self._sealed_bytes += self._size
        self._open(following)
        return True

    def sealed(self) -> list[SealedBatch]:
        """The batches to deliver, oldest first.

        Raises OSError while it is not sure that a crash of the machine would leave them under these names: delivered
        before that, one could come back as another batch.
        """
        if not self._is_synced:
            self._sync_directory()
            self._is_synced = True
        return [_sealed(path) for path in sorted(self._directory.glob("*.batch"))]

    def remove(self, batch: SealedBatch) -> None:
        """Forget a batch that ClickHouse has."""
        size = batch.path.stat().st_size
        batch.path.unlink()
        self._sealed_bytes -= size
        self._sync_directory()

    def _locked(self) -> TextIO:
        lock = (self._directory / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise PlatformError(
                f"Outbox {self._directory} is in use by another process; end it, or name another stream."
            ) from None
        return lock

    def _identity(self) -> str:
        path = self._directory / "id"
        if not path.exists():
            partial = self._directory / "id.partial"
            partial.write_text(uuid4().hex, encoding="ascii")
            partial.rename(path)
        return path.read_text(encoding="ascii")

    def _recover(self) -> None:
        """Go on after the last process: cut off a torn end, and seal what it had accepted."""
        ends = [batch.position_to for batch in self.sealed()]
        files = sorted(self._directory.glob("*.open"))
        if not files:
            files = [self._directory / f"{max(ends, default=0):020d}-0.open"]
            files[0].touch()
        # Two open files: the process ended between making the next one and sealing; the first one is still open.
        for empty in files[1:]:
            empty.unlink()
        self._open(files[0])
        # A full disk must not keep a stream from delivering what makes room on it: then it is sealed later.
        with contextlib.suppress(OutboxFullError):
            self.seal()
        self._sync_directory()

    def _open(self, path: Path) -> None:
        self._path = path
        self._start, self._earliest_us = (int(number) for number in path.stem.split("-"))
        self._size = self._rows = 0
        self._end = self._start
        self._opened_at = time.monotonic()
        for table, positions, end in read_frames(path):
            self._size, self._rows, self._end = end, self._rows + table.num_rows, self._end + positions
        self._reopen(self._size)

    def _reopen(self, size: int) -> None:
        """The open file without what stands after ``size`` bytes, which was never accepted."""
        os.truncate(self._path, size)
        # Without a buffer: what did not fit on the disk must not be written later.
        self._file: BinaryIO = self._path.open("ab", buffering=0)

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sealed(path: Path) -> SealedBatch:
    start, stop, micros = path.stem.split("-")
    arrived_at = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=int(micros))
    return SealedBatch(path, int(start), int(stop), arrived_at)
