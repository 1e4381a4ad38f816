"""The outbox of a stream: readings on the local disk that were accepted and are not in ClickHouse yet.

Each stream has one directory. ``append`` writes readings to the unsealed file; when it returns, they survive a crash
(fdatasync). ``seal`` turns this file into a batch that never changes: the file's name contains its range of positions
and its arrival time, so every attempt to deliver it sends the same batch. A delivered batch is deleted. The outbox uses
files rather than a database because deleting works on a full disk, and an incomplete end can be cut off.

    FROM-EARLIEST.open     unsealed; FROM: position of its first reading, EARLIEST: the earliest arrival time allowed
    FROM-TO-ARRIVAL.batch  sealed; times are in microseconds since 1970
    id                     the identity of the stream; a new directory is a new stream
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
    """A batch that no longer changes: its file, its range of positions, and its arrival time."""

    path: Path
    position_from: int
    position_to: int
    arrived_at: dt.datetime

    def read(self) -> pa.Table:
        """The readings of the batch. A column that only some of them have is null in the others.

        Raises PlatformError when the file is damaged.
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
    """The outbox of one stream, used by one process. Only one thread at a time may call ``append`` and ``seal``.

    Raises PlatformError when another process uses it.
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
                f"Outbox {directory} cannot be opened: {error.strerror}. All readings accepted before are safe."
            ) from error

    def close(self) -> None:
        """Release the directory for other processes. Its content is kept."""
        self._file.close()
        self._lock.close()

    @property
    def position(self) -> int:
        """The position after the last accepted reading."""
        return self._end

    @property
    def is_empty(self) -> bool:
        """Whether all accepted readings are delivered."""
        return self._end == self._start and not self.sealed()

    @property
    def unsealed_rows(self) -> int:
        """Number of readings in the unsealed file."""
        return self._rows

    @property
    def unsealed_bytes(self) -> int:
        """Size of the unsealed file."""
        return self._size

    @property
    def unsealed_age_s(self) -> float:
        """Seconds since the first readings of the unsealed file; 0 when it is empty."""
        return time.monotonic() - self._opened_at if self._end > self._start else 0.0

    def append(self, readings: pa.Table, positions: int) -> int:
        """Accept readings that cover the next ``positions`` positions; returns the position after them.

        When this returns, they survive any crash. Raises OutboxFullError when the size limit is reached or the disk is
        full: then none of them were accepted, and all readings accepted before are safe.
        """
        frame = encode_frame(readings, positions)
        used = self._sealed_bytes + self._size
        if used + len(frame) > self._max_bytes:
            raise OutboxFullError(
                f"Outbox {self._directory} is full: it contains {used:,} of {self._max_bytes:,} bytes. No readings are "
                "accepted until some are delivered to ClickHouse. All readings accepted before are safe."
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
                f"Outbox {self._directory}: {error.strerror}. These {readings.num_rows:,} readings were not accepted; "
                "all accepted before are safe. Free disk space, or wait until some are delivered to ClickHouse."
            ) from error
        if self._end == self._start:
            self._opened_at = time.monotonic()
        self._size += len(frame)
        self._rows += readings.num_rows
        self._end += positions
        return self._end

    def seal(self) -> bool:
        """Turn the unsealed file into a batch; False when it is empty. Raises OutboxFullError when the disk is full."""
        if self._end == self._start:
            return False
        arrival_us = max(self._earliest_us, time.time_ns() // 1_000)
        name = f"{self._start:020d}-{self._end:020d}-{arrival_us}.batch"
        # Later batches are newer, even if the clock is set back: of two readings of the same meter and time the later
        # one is valid. Within a batch each repetition takes one microsecond, see arrival_times.py.
        following = self._directory / f"{self._end:020d}-{arrival_us + max(self._rows, 1)}.open"
        try:
            # Create the next file first: the name of an unsealed file preserves the position, even when all batches
            # are delivered.
            following.touch()
            self._path.rename(self._directory / name)
        except OSError as error:
            following.unlink(missing_ok=True)
            raise OutboxFullError(
                f"Outbox {self._directory}: {error.strerror}. All readings accepted before are safe."
            ) from error
        self._is_synced = False
        self._file.close()
        self._sealed_bytes += self._size
        self._open(following)
        return True

    def sealed(self) -> list[SealedBatch]:
        """The batches to deliver, oldest first.

        It syncs the directory first and raises OSError if that fails. Otherwise a crash of the machine could undo the
        renaming of a batch that was delivered, and the batch would be delivered again under another name.
        """
        if not self._is_synced:
            self._sync_directory()
            self._is_synced = True
        return [_sealed(path) for path in sorted(self._directory.glob("*.batch"))]

    def remove(self, batch: SealedBatch) -> None:
        """Delete a delivered batch."""
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
                f"Outbox {self._directory} is in use by another process. Stop that process, or use another stream name."
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
        """Continue after an earlier process: cut off an incomplete end, and seal what that process had accepted."""
        ends = [batch.position_to for batch in self.sealed()]
        files = sorted(self._directory.glob("*.open"))
        if not files:
            files = [self._directory / f"{max(ends, default=0):020d}-0.open"]
            files[0].touch()
        # Two unsealed files: the process ended after it had created the next one. Only the first one has content.
        for empty in files[1:]:
            empty.unlink()
        self._open(files[0])
        # On a full disk seal it later: delivering the other batches frees space.
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
        """Open the unsealed file and remove all after ``size`` bytes, which was never accepted."""
        os.truncate(self._path, size)
        # Unbuffered: bytes that did not fit on the disk must not be written later.
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
