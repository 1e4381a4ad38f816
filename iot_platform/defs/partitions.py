"""One Dagster partition = one ClickHouse partition = one UTC day."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from iot_platform.services.partition_tags import DAYS_PER_RUN, partition_range
from iot_platform.settings import Settings

# end_offset: the current day is a partition, too.
daily = dg.DailyPartitionsDefinition(start_date=Settings().first_day.isoformat(), timezone="UTC", end_offset=1)

in_runs_of_many_days = dg.BackfillPolicy.multi_run(DAYS_PER_RUN)


def days_of_run(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[dt.date]:
    """The days that a run covers, oldest first; none when it was started without partitions."""
    # From the tags: the context of a check does not have the partitions of its run.
    keys = partition_range(context.run.tags)
    if keys is None:
        return []
    return [dt.date.fromisoformat(key) for key in daily.get_partition_keys_in_range(dg.PartitionKeyRange(*keys))]
