"""Accept readings from a source that cannot send them again, and deliver them in batches in the background."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from types import TracebackType

import pyarrow as pa

from iot_platform.errors import OutboxFullError, PlatformError
from iot_platform.readings.group_writer import SourceBatch
from iot_platform.readings.ledger import STREAM
from iot_platform.readings.outbox import Outbox, SealedBatch
from iot_platform.readings.prepared_batch import Batch
from iot_platform.readings.shared_writer import SharedWriter
from iot_platform.security.private_files import state_directory
from iot_platform.settings import Settings

log = logging.getLogger(__name__)

# How long ``close`` waits for a running insert after its timeout. An interrupted insert is compared with L1 when the
# stream is opened again.
LAST_ATTEMPT_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class StreamWriter:
    """Accepts readings into the outbox of a named stream; a thread delivers them through a writer.

    A batch is sealed when it has settings.batch_rows or batch_bytes, or when its first reading has waited batch_age_s.

    Each accepted reading is written to L1 exactly once, even if processes are killed: the outbox can send the same
    batch again, and the writer writes each batch once. While ClickHouse is unreachable, readings are accepted
    until the outbox is full. Use it as a context manager, from one thread.

    ``writer``: the writer that the streams of this process share, so that their batches go into common inserts; None:
    one of its own.
    """

    def __init__(self, settings: Settings, name: str, writer: SharedWriter | None = None) -> None:
        self._settings = settings
        self._outbox = Outbox(state_directory(settings.root, "outbox") / name, settings.outbox_bytes)
        self.source = f"{STREAM}{name}:{self._outbox.stream_id}"
        self._description = f"stream {name}"
        self._owns_writer = writer is None
        self._writer = SharedWriter(settings) if writer is None else writer
        self._changed = threading.Condition()
        self._closing = False
        self._is_flushing = False
        self._was_delivered: bool | None = None
        self._failure: str | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._thread = threading.Thread(target=self._deliver, name=f"deliver {name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> StreamWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def position(self) -> int:
        """Number of positions of the stream accepted so far, by this process and earlier ones."""
        return self._outbox.position

    @property
    def failure(self) -> str | None:
        """Why the last delivery failed; None: it succeeded."""
        return self._failure

    def accept(self, readings: pa.Table, positions: int | None = None) -> int:
        """Accept readings (READING_SCHEMA and further columns of L1); returns the position after them.

        ``positions``: how many positions of the source they cover; default: one each. When this returns, they survive
        any crash. Raises OutboxFullError when the outbox is full: then none of them were accepted.
        """
        with self._changed:
            if self._outbox.unsealed_rows + readings.num_rows > self._settings.batch_rows:
                self._outbox.seal()
            position = self._outbox.append(readings, readings.num_rows if positions is None else positions)
            if self._is_due():
                self._changed.notify_all()
            return position

    def flush(self, timeout_s: float) -> bool:
        """Wait until all accepted readings are delivered; False when the time is not enough."""
        with self._changed:
            self._is_flushing = True
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self._outbox.is_empty, timeout_s)
            finally:
                self._is_flushing = False

    def close(self, timeout_s: float = 60.0) -> bool:
        """Deliver as much as possible within the time, and end. The rest is delivered when the stream is opened again.

        Returns whether all was delivered; a second call only returns the same result.
        """
        if self._was_delivered is None:
            deadline = time.monotonic() + timeout_s
            self._was_delivered = self.flush(timeout_s)
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            self._thread.join(max(LAST_ATTEMPT_S, deadline - time.monotonic()))
            if self._owns_writer:
                self._writer.close(LAST_ATTEMPT_S)
            else:
                self._writer.release(self.source)
            self._outbox.close()
        return self._was_delivered

    def _deliver(self) -> None:
        while True:
            try:
                with self._changed:
                    self._changed.wait_for(self._has_work, self._wait_s())
                    batches = self._batches()
                    if self._closing and not batches:
                        return
                self._deliver_batches(batches)
            except Exception as error:  # noqa: BLE001 - the thread must not end while readings are accepted
                # Nothing is lost: the batch is still in the outbox. ``failure`` and the log contain the reason.
                self._failure = f"{type(error).__name__}: {error}"
                log.warning("%s: delivery failed, next attempt in %.1f s: %s", self.source, self._pause_s, error)
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, self._pause_s)
                self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
            if self._closing:
                return

    def _deliver_batches(self, batches: list[SealedBatch]) -> None:
        """Deliver batches, as many at once as fit into one insert; raises the first error after the others are done."""
        errors: list[Exception] = []
        for batch, delivery in self._submit(batches):
            try:
                delivery.result()
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)
                continue
            with self._changed:
                self._outbox.remove(batch)
                self._changed.notify_all()
            self._failure, self._pause_s = None, _FIRST_PAUSE_S
        if errors:
            raise errors[0]

    def _submit(self, batches: list[SealedBatch]) -> list[tuple[SealedBatch, Future[int]]]:
        submitted: list[tuple[SealedBatch, Future[int]]] = []
        rows = 0
        for batch in batches:
            try:
                readings = batch.read()
            except PlatformError:
                # Damaged. Deliver those before it first.
                if submitted:
                    break
                raise
            rows += readings.num_rows
            if submitted and rows > self._settings.batch_rows:
                break
            item = Batch(batch.position_from, batch.position_to, readings, arrived_at=batch.arrived_at)
            submitted.append((batch, self._writer.submit(SourceBatch(self.source, item, self._description))))
        return submitted

    def _batches(self) -> list[SealedBatch]:
        """The batches to deliver. On a full disk sealing may fail: then deliver the sealed ones, which frees space."""
        try:
            if self._is_due():
                self._outbox.seal()
        except OutboxFullError:
            if not self._outbox.sealed():
                raise
        return self._outbox.sealed()

    def _has_work(self) -> bool:
        return self._closing or self._is_due() or bool(self._outbox.sealed())

    def _is_due(self) -> bool:
        settings, outbox = self._settings, self._outbox
        is_full = outbox.unsealed_rows >= settings.batch_rows or outbox.unsealed_bytes >= settings.batch_bytes
        age_s = outbox.unsealed_age_s
        return is_full or age_s >= settings.batch_age_s or (self._is_flushing and age_s > 0)

    def _wait_s(self) -> float:
        """Seconds until the unsealed file is due; an empty file is checked as often."""
        return max(0.01, self._settings.batch_age_s - self._outbox.unsealed_age_s)
