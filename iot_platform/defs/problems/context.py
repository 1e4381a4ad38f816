"""What the searches for problems in Dagster's storage have in common."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from iot_platform.alerts.problem import one_line
from iot_platform.defs.dagster_internals import AssetGraph, SerializableErrorInfo
from iot_platform.services.partition_tags import partition_range
from iot_platform.settings import Settings

# The module in "package.module.Error: text".
MODULE = re.compile(r"^(?:\w+\.)+(?=\w+: )")


@dataclass(frozen=True)
class ProblemContext:
    """Dagster's storage, the definitions of this code location, and the platform's settings."""

    instance: dg.DagsterInstance
    repository: dg.RepositoryDefinition
    settings: Settings

    @property
    def graph(self) -> AssetGraph:
        """The assets and checks of this code location."""
        return self.repository.asset_graph

    def owners(self, assets: Iterable[dg.AssetKey]) -> str:
        """The owners of some assets; assets that are not in this code location have none."""
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
    """The first error in a chain that is not a wrapper of Dagster, in one line."""
    while error is not None and error.cause is not None and _is_wrapper(error):
        error = error.cause
    if error is None:
        return one_line(otherwise)
    return one_line(MODULE.sub("", error.message))


def days_of_tags(tags: Mapping[str, str]) -> frozenset[str]:
    """The partition keys of a run with these tags; empty when it was started without partitions.

    The storage may hold runs of other code, so keys that are not days are no error.
    """
    keys = partition_range(tags)
    if keys is None:
        return frozenset()
    try:
        start, end = map(dt.date.fromisoformat, keys)
    except ValueError:
        return frozenset(keys)
    return frozenset((start + dt.timedelta(days=day)).isoformat() for day in range((end - start).days + 1))


def covered(days: frozenset[str], by: Iterable[frozenset[str]]) -> bool:
    """Whether ``by`` covers all of ``days``. Empty means all days."""
    others = list(by)
    return frozenset() in others or bool(days) and days <= frozenset().union(*others)


def span(days: Iterable[str]) -> str:
    """Days as a text: one day, or the first and the last."""
    found = sorted(days)
    if len(found) < 2:
        return "".join(found)
    return f"{found[0]} .. {found[-1]} ({len(found)} days)"


def _is_wrapper(error: SerializableErrorInfo) -> bool:
    return bool(error.cls_name) and (error.cls_name == "RetryRequested" or str(error.cls_name).startswith("Dagster"))
