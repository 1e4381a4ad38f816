"""The tags in which Dagster stores the days of a run."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

PARTITION = "dagster/partition"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
PARTITION_TAGS = (PARTITION, RANGE_START, RANGE_END)

# Long periods are split into runs of this many days. With one run per day, each would take seconds to start. One run
# for all days fails as a whole, and before it starts, Dagster writes an event per asset and day: minutes for years.
DAYS_PER_RUN = 100


def range_tags(first: dt.date, last: dt.date) -> dict[str, str]:
    """The tags of a run of the days ``first`` .. ``last``."""
    return {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}


def partition_range(tags: Mapping[str, str]) -> tuple[str, str] | None:
    """The first and the last partition key of a run with these tags; None when it was started without partitions."""
    key = tags.get(PARTITION)
    first, last = (key, key) if key else (tags.get(RANGE_START), tags.get(RANGE_END))
    return (first, last) if first and last else None
