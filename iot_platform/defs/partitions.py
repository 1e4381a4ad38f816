"""One Dagster partition = one ClickHouse partition = one UTC day."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from iot_platform.settings import Settings

# end_offset: the current day is a partition, too.
daily = dg.DailyPartitionsDefinition(start_date=Settings().first_day.isoformat(), timezone="UTC", end_offset=1)

# A backfill is split into runs of this many days. With one run per day, each would take seconds to start. One run for
# all days fails as a whole, and before it starts, Dagster writes an event per asset and day: minutes for some years.
DAYS_PER_RUN = 100
in_runs_of_many_days = dg.BackfillPolicy.multi_run(DAYS_PER_RUN)


def day_of(partition_key: str) -> dt.date:
    """The UTC day of a Dagster partition key, e.g. ``2026-01-03``."""
    return dt.date.fromisoformat(partition_key)


def days_of_run(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[dt.date]:
    """The days that a run covers, oldest first; none when it was started without partitions."""
    # From the tags: the context of a check does not have the partitions of its run.
    tags = context.run.tags
    if key := tags.get("dagster/partition"):
        return [day_of(key)]
    first, last = tags.get("dagster/asset_partition_range_start"), tags.get("dagster/asset_partition_range_end")
    if not first or not last:
        return []
    return [day_of(key) for key in daily.get_partition_keys_in_range(dg.PartitionKeyRange(first, last))]
