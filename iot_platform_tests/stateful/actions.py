"""What can happen to readings. Each action prints as the text that makes it again."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform.clickhouse.blocks import insert_block
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.layers.partitions import partition_rows
from iot_platform.readings.arrival_times import with_arrival_times
from iot_platform.readings.loads import find_load
from iot_platform.readings.outbox import Outbox
from iot_platform.readings.stream_writer import StreamWriter
from iot_platform.readings.unload import Selection, contents, unload
from iot_platform_tests.stateful.world import Row, Sent, World, arrivals, readings_table

REFUSED = 60  # a code that is not tried again
DELIVERY_TIMEOUT_S = 180.0
# A time so small is one after the arrival: a reading from the future, or of a moment ago.
LATEST_OFFSET_S = 400_000


class Action:
    """Something that happens to the platform and, where it is meant to last, to the truth."""

    def run(self, world: World) -> None:
        """Do it once."""
        raise NotImplementedError

    def repeatable(self, world: World) -> Callable[[], None]:
        """The action as a step that may be repeated when it fails."""
        return partial(self.run, world)


@dataclass(frozen=True)
class Write(Action):
    """A batch through Writer. Rows: timestamp (or seconds after the arrival, see ``resolved``), device, kWh."""

    source: str
    rows: tuple[Row, ...]
    arrived_at: int | None = None

    def run(self, world: World) -> None:
        self.repeatable(world)()

    def repeatable(self, world: World) -> Callable[[], None]:
        sent = self.batch(world)
        return partial(_write_new, world, sent)

    def batch(self, world: World) -> Sent:
        """The batch, which stays the same however often it is sent."""
        arrived_at = None if self.arrived_at is None else dt.datetime.fromtimestamp(self.arrived_at, dt.UTC)
        return world.next_batch(self.source, resolved(self.rows, self.arrived_at), arrived_at)


def _write_new(world: World, sent: Sent) -> None:
    world.write(sent)
    world.sent.append(sent)


@dataclass(frozen=True)
class FailedWrite(Action):
    """A batch whose insert fails before or ``after`` the server has done it; it stays open in the ledger."""

    write: Write
    after: bool

    def run(self, world: World) -> None:
        sent, real = self.write.batch(world), world.client.raw_insert

        def insert(table: str, *args: Any, **options: Any) -> Any:
            # The lease is written first, in the same way.
            if table != RAW_TABLE:
                return real(table, *args, **options)
            if self.after:
                real(table, *args, **options)
            raise DatabaseError("refused by the test", code=REFUSED)

        with patch.object(world.client, "raw_insert", insert):
            try:
                world.write(sent)
            except DatabaseError as error:
                if error.code != REFUSED:
                    raise
        world.use_up(sent)
        world.open_batches.append(sent)
        if self.after:
            world.note_arrival(sent)


@dataclass(frozen=True)
class RetryOpen(Action):
    """The next run of a source sends a batch again whose outcome is not known."""

    choice: int

    def run(self, world: World) -> None:
        if world.open_batches:
            index = self.choice % len(world.open_batches)
            _write_new(world, world.open_batches[index])
            del world.open_batches[index]


@dataclass(frozen=True)
class Unload(Action):
    """A batch, or all that a source has sent, is taken out of every layer. It may be sent again, by RetryOpen."""

    choice: int
    is_whole: bool

    def repeatable(self, world: World) -> Callable[[], None]:
        sent = [*world.sent, *world.open_batches]
        if not sent:
            return lambda: None
        chosen = sent[self.choice % len(sent)]
        selection = Selection(chosen.source)
        if not self.is_whole:
            selection = Selection(chosen.source, chosen.position, chosen.position + len(chosen.rows))
        return partial(_unload, world, selection)

    def run(self, world: World) -> None:
        self.repeatable(world)()


def _unload(world: World, selection: Selection) -> None:
    try:
        load = find_load(world.client, selection.source)
        contents(world.client, selection)
    except PlatformError as error:
        # Done before the server was killed, or the server never knew the batch.
        if not re.search("No load|nothing to unload", str(error)):
            raise
    else:
        unload(world.client, load, selection)
    kept = []
    for sent in [*world.sent, *world.open_batches]:
        ends_at = sent.position + len(sent.rows)
        is_chosen = selection.position_from <= sent.position and ends_at <= selection.position_to
        if sent.source == selection.source and is_chosen and sent.arrived_us is not None:
            world.truth.withdraw(sent.rows, sent.arrived_us)
            sent.arrived_us = None
        kept.append(sent)
    world.sent = [sent for sent in kept if sent.arrived_us is not None]
    world.open_batches = [sent for sent in kept if sent.arrived_us is None]


@dataclass(frozen=True)
class Resend(Action):
    """A batch that is in L1 is sent again, as after a crash before its record in the ledger."""

    choice: int

    def run(self, world: World) -> None:
        if not world.sent:
            return
        sent = world.sent[self.choice % len(world.sent)]
        world.client.command(
            "INSERT INTO ingestion_ledger SELECT * REPLACE ('sending' AS state, now64(6) AS recorded_at) "
            "FROM ingestion_ledger FINAL WHERE source = {source:String} AND position_from = {position:Int64}",
            parameters={"source": sent.source, "position": sent.position},
        )
        world.write(sent)


@dataclass(frozen=True)
class Torn(Action):
    """A batch that reached L1 and none of the views: the server died between them."""

    rows: tuple[Row, ...]

    def run(self, world: World) -> None:
        rows, now = resolved(self.rows), dt.datetime.now(dt.UTC)
        client = world.client
        client.command(f"CREATE TABLE torn AS {RAW_TABLE}")
        insert_block(client, "torn", with_arrival_times(readings_table(rows), now))
        for name in partition_rows(client, "torn"):
            client.command(f"ALTER TABLE {RAW_TABLE} ATTACH PARTITION ID '{name}' FROM torn")
        client.command("DROP TABLE torn SYNC")
        world.truth.accept(rows, round(now.timestamp() * 1e6))


@dataclass(frozen=True)
class Stream(Action):
    """Frames through a StreamWriter. ``how``: plainly, by a process that died, or while the server is away."""

    name: str
    frames: tuple[tuple[Row, ...], ...]
    how: str

    def run(self, world: World) -> None:
        frames = [resolved(frame) for frame in self.frames]
        accepted = world.streams.setdefault(self.name, [])
        settings = world.remote_settings()
        if self.how == "died":
            outbox = Outbox(settings.root / "outbox" / self.name, settings.outbox_bytes)
            outbox.append(readings_table(frames[0]), len(frames[0]))
            outbox.close()
            accepted += frames.pop(0)
        if self.how == "away":
            world.stop(hard=False)
        stream = StreamWriter(settings, self.name)
        for frame in frames:
            stream.accept(readings_table(frame))
            accepted += frame
        if self.how == "away":
            world.start()
            world.connect()
        if not stream.close(DELIVERY_TIMEOUT_S):
            raise AssertionError(f"Stream {self.name} was not delivered: {stream.failure}")
        for start, stop, arrived_us in list(arrivals(world.client, stream.source)):
            if start >= world.delivered.get(self.name, 0):
                world.truth.accept(accepted[start:stop], arrived_us)
                world.delivered[self.name] = stop
        assert world.delivered.get(self.name, 0) == len(accepted), "The ledger has not all of the stream."


def resolved(rows: tuple[Row, ...], arrived_at: int | None = None) -> list[Row]:
    """The rows with times instead of offsets: what is near 0 counts from the arrival (None: now)."""
    now = int(time.time()) if arrived_at is None else arrived_at
    return [
        (when + now if -LATEST_OFFSET_S < when < LATEST_OFFSET_S and when != 0 else when, device, kWh)
        for when, device, kWh in rows
    ]
