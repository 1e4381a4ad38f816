"""Accept readings from a source that cannot send them again, and deliver them batch by batch, in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from iot_platform.clickhouse.migrations import migrated_session
from iot_platform.errors import PlatformError
from iot_platform.readings.outbox import Outbox
from iot_platform.readings.writer import Batch, Writer
from iot_platform.settings import Settings

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class StreamWriter:
    """Accepts readings into the outbox of a named stream; a thread delivers them through the batch writer.

    A batch is sealed when it has settings.batch_rows, batch_bytes, or its first reading has waited for batch_age_s.

    Each reading is in L1 exactly once per time that it was accepted, whatever is killed: the outbox makes a stream
    repeatable, and the batch writer delivers what is repeatable once. While ClickHouse is away, readings are
    accepted until the outbox is full. Use it as a context manager from one thread.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._outbox = Outbox(settings.root / "outbox" / name, settings.outbox_bytes)
        self.source = f"stream:{name}:{self._outbox.stream_id}"
        self._description = f"stream {name}"
        self._changed = threading.Condition()
        self._closing = False
        self._failure: str | None = None
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
        """How many positions of the stream were accepted so far, in this process and those before it."""
        return self._outbox.position

    @property
    def failure(self) -> str | None:
        """Why the last delivery failed; None: it did not."""
        return self._failure

    def accept(self, readings: pa.Table, positions: int | None = None) -> int:
        """Accept readings (READING_SCHEMA and further columns of L1); returns the position after them.

        ``positions``: how many positions of the source they cover; default: one each. Once this returns they survive
        any crash. Raises OutboxFullError when there is no room: none of them was accepted then.
        """
        with self._changed:
            if self._outbox.open_rows + readings.num_rows > self._settings.batch_rows:
                self._outbox.seal()
            position = self._outbox.append(readings, readings.num_rows if positions is None else positions)
            if self._is_due():
                self._changed.notify_all()
            return position

    def flush(self, timeout_s: float) -> bool:
        """Have everything that was accepted delivered; False when it was not within the time."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._outbox.seal()
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._outbox.sealed(), max(0.0, deadline - time.monotonic()))

    def close(self, timeout_s: float = 60.0) -> bool:
        """Deliver what can be delivered in the time, and end; what is left goes out when the stream is opened again."""
        is_empty = self.flush(timeout_s)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        self._outbox.close()
        return is_empty

    def _deliver(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closing:
            try:
                with migrated_session(self._settings) as client:
                    self._deliver_through(client, self._succeeded)
                return
            except (PlatformError, ClickHouseError, OSError) as error:
                # Nothing is lost: the batch is still in the outbox. ``failure`` and the log say why it waits.
                self._failure = f"{type(error).__name__}: {error}"
                log.warning("%s: delivery failed, next attempt in %.1f s: %s", self.source, pause_s, error)
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                pause_s = _FIRST_PAUSE_S

    def _succeeded(self) -> None:
        self._failure = None

    def _deliver_through(self, client: Client, succeeded: Callable[[], None]) -> None:
        """Deliver batches until the stream is closed; raises the first error."""
        writer = Writer(client, self.source, self._description)
        with writer.exclusive():
            while True:
                with self._changed:
                    self._changed.wait_for(self._has_work, self._wait_s())
                    if self._is_due():
                        self._outbox.seal()
                    batches = self._outbox.sealed()
                    if self._closing and not batches:
                        return
                for batch in batches:
                    writer.write(
                        Batch(batch.position_from, batch.position_to, batch.read(), arrived_at=batch.arrived_at)
                    )
                    succeeded()
                    with self._changed:
                        self._outbox.remove(batch)
                        self._changed.notify_all()
                    if self._closing:
                        return

    def _has_work(self) -> bool:
        return self._closing or self._is_due() or bool(self._outbox.sealed())

    def _is_due(self) -> bool:
        settings, outbox = self._settings, self._outbox
        is_full = outbox.open_rows >= settings.batch_rows or outbox.open_bytes >= settings.batch_bytes
        return is_full or outbox.open_age_s >= settings.batch_age_s

    def _wait_s(self) -> float:
        """Until the open file is due; an empty one is looked at again as often."""
        return max(0.01, self._settings.batch_age_s - self._outbox.open_age_s)
