"""Write the readings of the simulated meters into L1: each window of time exactly once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.prepared_batch import Batch, sum_finite
from iot_platform.settings import Settings
from iot_platform.simulator.simulated_readings import Simulator


@dataclass(frozen=True)
class IngestResult:
    """What an ingestion added: readings, the sum of their finite values in kWh, batches, and readings per label."""

    rows: int = 0
    kWh: float = 0.0
    batches: int = 0
    labels: dict[str, int] = field(default_factory=dict)


def ingest_simulated_readings(
    client: Client,
    settings: Settings,
    start: dt.datetime,
    end: dt.datetime,
    progress: Callable[[dt.datetime], None] | None = None,
) -> IngestResult:
    """Write all simulated readings that arrive in [start, end) and are not in L1 yet.

    ``progress`` is called with the time reached so far. The meters exist from settings.first_day on: readings that were
    measured or would arrive before it are not sent. Calls may overlap and be repeated, also by several processes.
    Raises PlatformError when another process keeps the stream locked for too long.
    """
    simulator = Simulator.from_settings(settings)
    installed = dt.datetime.combine(settings.first_day, dt.time(), dt.UTC)
    writer = BatchWriter(client, simulator.source(), "simulated meters")
    step_s = max(1, settings.batch_rows // simulator.devices) * simulator.interval_s
    total = IngestResult()
    with writer.exclusive():
        # The time before the first day is not recorded as sent, so it can be sent later with an earlier first day.
        first = int(max(start, installed).timestamp())
        for position_from, position_to in writer.ranges_to_write(first, int(end.timestamp()), step_s):
            window_end = _instant(position_to)
            arrivals = simulator.arrivals(_instant(position_from), window_end)
            arrivals = arrivals.filter(pc.greater_equal(arrivals["timestamp"], pa.scalar(installed)))
            if writer.write(Batch(position_from, position_to, arrivals)):
                total = _added(total, arrivals)
            if progress:
                progress(window_end)
    return total


def first_simulated_day(client: Client, settings: Settings) -> dt.date | None:
    """The first UTC day of this simulator's readings in L1; None when none were sent yet."""
    rows = client.query(
        "SELECT min(position_from) FROM ingestion_ledger WHERE source = {source:String} HAVING count() > 0",
        parameters={"source": Simulator.from_settings(settings).source()},
    ).result_rows
    return _instant(int(rows[0][0])).date() if rows else None


def _instant(epoch_s: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch_s, dt.UTC)


def _added(total: IngestResult, arrivals: pa.Table) -> IngestResult:
    labels = dict(total.labels)
    counts = arrivals.group_by("label").aggregate([([], "count_all")]).to_pydict()
    for label, count in zip(counts["label"], counts["count_all"], strict=True):
        labels[label] = labels.get(label, 0) + count
    kWh = sum_finite(arrivals["power_usage_kWh"])
    return IngestResult(total.rows + arrivals.num_rows, total.kWh + kWh, total.batches + 1, labels)
