"""What all looks at Dagster's storage share."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from iot_platform.alerts.problem import one_line
from iot_platform.defs.dagster_internals import AssetGraph, SerializableErrorInfo
from iot_platform.settings import Settings

PARTITION = "dagster/partition"
# In "package.module.Error: text", what stands before the error's name.
MODULE = re.compile(r"^(?:\w+\.)+(?=\w+: )")
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class Site:
    """Where to look, what belongs to this code location, and the settings of the platform."""

    instance: dg.DagsterInstance
    repository: dg.RepositoryDefinition
    settings: Settings

    @property
    def graph(self) -> AssetGraph:
        """The assets and checks of this code location."""
        return self.repository.asset_graph

    def owners(self, assets: Iterable[dg.AssetKey]) -> str:
        """The owners of some assets, without those that are not in this code location."""
        known = sorted(key for key in set(assets) if self.graph.has(key))
        return ", ".join(dict.fromkeys(owner for key in known for owner in self.graph.get(key).owners))

    def link(self, path: str) -> str:
        """A page of the Dagster UI."""
        return f"{self.settings.dagster_url.rstrip('/')}/{path}"

    def run_link(self, run_id: str) -> str:
        """The page of a run."""
        return self.link(f"runs/{run_id}")

    def asset_link(self, key: dg.AssetKey, view: str = "overview") -> str:
        """A page of an asset."""
        return self.link(f"assets/{'/'.join(key.path)}?view={view}")


def cause_of(error: SerializableErrorInfo | None, otherwise: str) -> str:
    """The first error in a chain that is not one of Dagster's wrappers, in one line."""
    while error is not None and error.cause is not None and _is_wrapper(error):
        error = error.cause
    if error is None:
        return one_line(otherwise)
    return one_line(MODULE.sub("", error.message))


def utc(timestamp: float) -> dt.datetime:
    """A time as Dagster stores it."""
    return dt.datetime.fromtimestamp(timestamp, dt.UTC)


def days_of_tags(tags: Mapping[str, str]) -> frozenset[str]:
    """The partition keys that a run with these tags covers; none when it was started without partitions.

    Of any run in the storage, so keys that are no days, or no days of this platform any more, are no error.
    """
    if key := tags.get(PARTITION):
        return frozenset({key})
    first, last = tags.get(RANGE_START), tags.get(RANGE_END)
    if not first or not last:
        return frozenset()
    try:
        start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    except ValueError:
        return frozenset({first, last})
    return frozenset((start + dt.timedelta(days=day)).isoformat() for day in range((end - start).days + 1))


def covered(days: frozenset[str], by: Iterable[frozenset[str]]) -> bool:
    """Whether all of ``days`` are among others; no days are all days."""
    others = list(by)
    return frozenset() in others or bool(days) and days <= frozenset().union(*others)


def span(days: Iterable[str]) -> str:
    """Days for people: one, or the first and the last of several."""
    found = sorted(days)
    if len(found) < 2:
        return "".join(found)
    return f"{found[0]} .. {found[-1]} ({len(found)} days)"


def _is_wrapper(error: SerializableErrorInfo) -> bool:
    return bool(error.cls_name) and (error.cls_name == "RetryRequested" or str(error.cls_name).startswith("Dagster"))
