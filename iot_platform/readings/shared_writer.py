"""One writer for all sources of a process: a thread that writes together whatever waits.

Streams use it, each with an outbox of its own. A receiver of HTTP, MQTT or Kafka messages does the same: it submits
its batches, and acknowledges a message when the batch's future is done.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from types import TracebackType

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.session import migrated_session
from iot_platform.errors import PlatformError
from iot_platform.readings.group_commit import is_lost
from iot_platform.readings.group_writer import GroupWriter, SourceBatch
from iot_platform.settings import Settings

_Waiting = tuple[SourceBatch, "Future[int]"]


class SharedWriter:
    """Accepts batches from any thread, and writes those that wait with one insert, settings.batch_rows rows at most.

    It does not wait for company: a batch is sent at once when nothing is being sent, and what arrives during an insert
    is the next group. It connects with the first batch, and again after an error. Use it as a context manager.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._released: set[str] = set()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="shared writer", daemon=True)
        self._thread.start()

    def __enter__(self) -> SharedWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, item: SourceBatch) -> Future[int]:
        """Queue a batch. The result of the future is its number of readings, 0 if it was committed before.

        Or its error: then the batch is not acknowledged, and the caller may submit it again. Batches of a source are
        written in the order in which they are submitted, but one that fails does not hold up the next.
        """
        future: Future[int] = Future()
        with self._changed:
            if self._closing:
                future.set_exception(PlatformError(f"{item.source}: the writer is closed. Nothing was written."))
            else:
                self._waiting.append((item, future))
                self._changed.notify()
        return future

    def release(self, source: str) -> None:
        """The source ends: after its waiting batches, leave it to other processes."""
        with self._changed:
            self._released.add(source)
            self._changed.notify()

    def close(self, timeout_s: float = 60.0) -> None:
        """Write what waits, and end. What is not written after ``timeout_s`` fails."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        with self._changed:
            while self._waiting:
                item, future = self._waiting.popleft()
                future.set_exception(PlatformError(f"{item.source}: not written in time."))

    def _run(self) -> None:
        while self._wait_for_work():
            try:
                with migrated_session(self._settings) as client:
                    self._write_through(client)
            except Exception as error:  # noqa: BLE001 - the thread must not end; who submitted a batch gets the error
                self._fail(error)

    def _write_through(self, client: Client) -> None:
        """Write until the end; returns early after an error of a batch, for a new connection and new leases."""
        with GroupWriter(client) as writer:
            while self._wait_for_work():
                group, released = self._next_group()
                futures = [future for _, future in group]
                try:
                    results = writer.write([item for item, _ in group])
                except BaseException as error:
                    for future in futures:
                        future.set_exception(error)
                    raise
                for future, result in zip(futures, results, strict=True):
                    if isinstance(result, int):
                        future.set_result(result)
                    else:
                        future.set_exception(result)
                for source in released:
                    writer.release(source)
                if any(not isinstance(result, int) and is_lost(result) for result in results):
                    return

    def _wait_for_work(self) -> bool:
        """Wait for a batch; False when there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting or self._released)
            return bool(self._waiting or self._released)

    def _next_group(self) -> tuple[list[_Waiting], set[str]]:
        """The batches that are written together, and the sources that end with them."""
        with self._changed:
            group: list[_Waiting] = []
            rows = 0
            while self._waiting:
                rows += self._waiting[0][0].batch.readings.num_rows
                if group and rows > self._settings.batch_rows:
                    break
                group.append(self._waiting.popleft())
            kept = {item.source for item, _ in self._waiting}
            released = self._released - kept
            self._released &= kept
            return group, released

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._released.clear()
            while self._waiting:
                self._waiting.popleft()[1].set_exception(error)
