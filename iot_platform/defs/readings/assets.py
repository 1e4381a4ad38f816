"""L1: every reading as it arrived."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import datetime as dt
from collections.abc import Mapping, Sequence

import dagster as dg
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.defs import table_entries
from iot_platform.defs.decoration import decoration
from iot_platform.defs.partitions import daily, days_of_run, in_runs_of_many_days
from iot_platform.defs.platform_asset import platform_asset
from iot_platform.defs.query_log import queries_of_run
from iot_platform.defs.readings.windows import day_window
from iot_platform.defs.resources import ClickHouse
from iot_platform.defs.table_entries import Entries
from iot_platform.defs.times import from_clickhouse, utc_now
from iot_platform.layers.catalog import RAW_TABLE, READINGS_KWH_SQL, partition_id

# Dagster's plain types, not dg.Config: the fields of dg.Config accept {"env": NAME}, which would reveal any secret.
ARRIVAL_WINDOW = {
    name: dg.Field(dg.Noneable(str), is_required=False, description="ISO time. Unset: all days of the run, up to now")
    for name in ("start", "end")
}


@platform_asset(
    RAW_TABLE,
    group="l1_raw",
    layer="l1",
    kinds={"clickhouse", "python", "bronze"},
    made_by=[RAW_TABLE],
    late_h=2,
    stale_h=6,
    partitions_def=daily,
    backfill_policy=in_runs_of_many_days,
    config_schema=ARRIVAL_WINDOW,
)
def l1_power_raw(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
    """Every reading as it arrived, including wrong ones. Append-only: all other layers are derived from it.

    A partition holds the readings whose interval began on that UTC day.

    **Materializing a day** ingests the simulated readings that have arrived until now and are not stored yet; a second
    run adds nothing. With the simulator switched off (`IOT_SIMULATOR_ENABLED=false`) it ingests nothing. In both cases
    it records what is stored.

    **If it fails:** nothing is lost. Each batch is written once or not at all, so materialize the day again. `lag_s` is
    the age of the newest reading: if it grows, no readings arrive any more.
    """
    days = days_of_run(context)
    with clickhouse.session(context.run, RAW_TABLE) as client:
        if clickhouse.settings().simulator_enabled:
            context.add_output_metadata(_ingest(context, client, clickhouse, days))
        else:
            context.log.info("The simulator is switched off: nothing is ingested. What is stored is recorded.")
        arrived = _arrived(client, days)
        for day in days:
            context.add_asset_metadata(arrived.get(partition_id(day), _NOTHING), partition_key=day.isoformat())
        for day in days[-table_entries.DAYS_WITH_PREVIEW :]:
            with decoration(context, f"preview of {RAW_TABLE} on {day}"):
                rows = table_entries.preview(client, RAW_TABLE, f"_partition_id = '{partition_id(day)}'")
                context.add_asset_metadata({"preview": rows}, partition_key=day.isoformat())
        with decoration(context, f"Rows and columns of {RAW_TABLE}"):
            context.add_asset_metadata(table_entries.rows_and_columns(client, RAW_TABLE))
        with decoration(context, "The list of the run's queries"):
            context.add_asset_metadata(queries_of_run(context.run, clickhouse.settings()))


def _ingest(
    context: dg.AssetExecutionContext,
    client: Client,
    clickhouse: ClickHouse,
    days: Sequence[dt.date],
) -> Entries:
    # Imported here: it imports pyarrow and pandas.
    from iot_platform.simulator.ingestion import ingest_simulated_readings

    start, end = day_window(days[0], days[-1], utc_now())
    window: Mapping[str, str | None] = context.op_execution_context.op_config
    if (first := window.get("start")) and (last := window.get("end")):
        start, end = dt.datetime.fromisoformat(first), dt.datetime.fromisoformat(last)
    added = ingest_simulated_readings(client, clickhouse.settings(), start, end)
    context.log.info(f"Arrivals of {start:%F %T} .. {end:%F %T} UTC: {added.rows:,} new readings.")
    return {
        "added_readings": added.rows,
        "added_kWh": round(added.kWh, 3),
        "added_batches": added.batches,
        "added_by_kind": dg.MetadataValue.json(added.labels),
        "window": f"{start.isoformat()} .. {end.isoformat()}",
    }


_NOTHING: Entries = {"dagster/partition_row_count": 0, "kWh": 0.0}


def _arrived(client: Client, days: Sequence[dt.date]) -> dict[str, Entries]:
    """What L1 holds of each day. Impossible times are in a separate partition and belong to no day."""
    rows = client.query(
        f"SELECT _partition_id, count(), {READINGS_KWH_SQL}, uniqExact(device_id), min(timestamp), max(timestamp), "
        f"min(ingested_at), max(ingested_at) FROM {quoted(RAW_TABLE)} "
        "WHERE _partition_id IN {partitions:Array(String)} GROUP BY _partition_id",
        parameters={"partitions": [partition_id(day) for day in days]},
    ).result_rows
    now = utc_now()
    return {
        partition: {
            "dagster/partition_row_count": count,
            "kWh": round(float(kWh), 3),
            "devices": devices,
            "first_reading": dg.MetadataValue.timestamp(from_clickhouse(first)),
            "last_reading": dg.MetadataValue.timestamp(from_clickhouse(last)),
            "first_arrival": dg.MetadataValue.timestamp(from_clickhouse(first_arrival)),
            "last_arrival": dg.MetadataValue.timestamp(from_clickhouse(last_arrival)),
            "lag_s": round((now - from_clickhouse(last)).total_seconds()),
        }
        for partition, count, kWh, devices, first, last, first_arrival, last_arrival in rows
    }
