"""What can happen to metadata, limits, layers and the server."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

import pandas as pd
from clickhouse_connect.driver.exceptions import ClickHouseError

from iot_platform.devices import refresh
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import IMPOSSIBLE_TIMES, LAYERS_BY_NAME
from iot_platform.layers.partitions import partitions
from iot_platform.layers.proof import prove_all, prove_partitions
from iot_platform.limits import limit_changes
from iot_platform.limits.power_limits import Scope, remove_limit, set_limit
from iot_platform.limits.time_limits import TimeLimitName, remove_time_limit, set_max_future, set_oldest_timestamp
from iot_platform_tests.stateful.actions import Action
from iot_platform_tests.stateful.metadata import DeviceRow
from iot_platform_tests.stateful.model import Truth
from iot_platform_tests.stateful.world import World

COLUMNS = ["device_id", "customer_id", "building_type", "latitude", "longitude", "valid_from"]


class Change(Action):
    """A change of metadata or limits: ``make`` it on the platform, ``tell`` the truth."""

    def run(self, world: World) -> None:
        self.make(world)
        self.tell(world.truth)

    def make(self, world: World) -> None:
        raise NotImplementedError

    def tell(self, truth: Truth) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Refresh(Change):
    """A refresh of the metadata at the time ``now``."""

    rows: tuple[DeviceRow, ...]
    now: int
    complete: bool = False

    def make(self, world: World) -> None:
        rows = [(row.device, *row.attributes, _time(row.valid_from)) for row in self.rows]
        frame = pd.DataFrame(rows, columns=COLUMNS)
        refresh.refresh_devices(
            world.client, frame, _known_time(self.now), device_ids="numeric", complete=self.complete, max_closed_share=1
        )

    def tell(self, truth: Truth) -> None:
        truth.metadata.refresh(self.rows, self.now, complete=self.complete)


@dataclass(frozen=True)
class SetLimit(Change):
    """A limit of energy for readings from ``start`` on; None removes it."""

    scope: Scope
    key: str
    max_kWh: float | None
    start: int = 0

    def make(self, world: World) -> None:
        start = _known_time(self.start)
        if self.max_kWh is not None:
            set_limit(world.client, self.scope, self.key, self.max_kWh, valid_from=start)
        elif world.truth.limits.has(self.scope, self.key, self.start):
            remove_limit(world.client, self.scope, self.key, valid_from=start)

    def tell(self, truth: Truth) -> None:
        if self.max_kWh is not None or truth.limits.has(self.scope, self.key, self.start):
            truth.limits.put(self.scope, self.key, self.start, self.max_kWh)


@dataclass(frozen=True)
class SetTimeLimit(Change):
    """The oldest timestamp, or the seconds into the future; None removes it."""

    name: TimeLimitName
    value_s: int | None

    def make(self, world: World) -> None:
        if self.value_s is None:
            if self.name in world.truth.limits.time_s:
                remove_time_limit(world.client, self.name)
        elif self.name == "oldest_timestamp":
            set_oldest_timestamp(world.client, _known_time(self.value_s))
        else:
            set_max_future(world.client, dt.timedelta(seconds=self.value_s))

    def tell(self, truth: Truth) -> None:
        if self.value_s is None:
            truth.limits.time_s.pop(self.name, None)
        else:
            truth.limits.time_s[self.name] = self.value_s


@dataclass(frozen=True)
class HalfChange(Action):
    """A change that dies once it is stored, before the views see it; other things happen, then ``mend`` is made."""

    change: Change
    meanwhile: tuple[Action, ...]
    mend: Change

    def run(self, world: World) -> None:
        died = PlatformError("died in the test")
        with (
            patch.object(refresh, "reload_dictionaries", side_effect=died),
            patch.object(limit_changes, "reload_dictionaries", side_effect=died),
        ):
            try:
                self.change.make(world)
            except PlatformError as error:
                if error is not died:
                    raise
        self.change.tell(world.truth)
        for action in self.meanwhile:
            action.run(world)
        self.mend.run(world)


@dataclass(frozen=True)
class Statement(Action):
    """Damage of a derived layer by hand, or a merge, which is none."""

    sql: str

    def run(self, world: World) -> None:
        world.client.command(self.sql, settings={"mutations_sync": 1, "lightweight_deletes_sync": 1})


@dataclass(frozen=True)
class ProveOpen(Action):
    """A proof of all open days, of these layers alone when some are named."""

    layers: tuple[str, ...] = tuple(LAYERS_BY_NAME)

    def run(self, world: World) -> None:
        for _ in prove_all(world.client, layers=[LAYERS_BY_NAME[name] for name in self.layers], only_unverified=True):
            pass


@dataclass(frozen=True)
class ProveSome(Action):
    """A proof of one layer and some day, or of all days of it; a dry run when not ``repair``."""

    layer: str
    day: int | None
    repair: bool = True

    def run(self, world: World) -> None:
        layer = LAYERS_BY_NAME[self.layer]
        names = [name for name in partitions(world.client) if name != IMPOSSIBLE_TIMES or layer.has_impossible_times]
        if names and self.day is not None:
            names = [names[self.day % len(names)]]
        prove_partitions(world.client, layer, names, repair=self.repair)


@dataclass(frozen=True)
class ProveAll(Action):
    """A full proof."""

    def run(self, world: World) -> None:
        for _ in prove_all(world.client):
            pass


@dataclass(frozen=True)
class Restart(Action):
    """The server ends and starts again; ``hard``: it is killed."""

    hard: bool

    def run(self, world: World) -> None:
        world.stop(hard=self.hard)
        world.start()
        world.connect()


@dataclass(frozen=True)
class KillDuring(Action):
    """The server is killed while something runs; that is repeated until it has worked."""

    inner: Action
    after_ms: int

    def run(self, world: World) -> None:
        step = self.inner.repeatable(world)
        failures: list[Exception] = []
        thread = threading.Thread(target=partial(_note_failure, step, failures))
        thread.start()
        time.sleep(self.after_ms / 1000)
        world.stop(hard=True)
        world.start()
        thread.join()
        world.connect()
        if failures:
            step()


def _note_failure(step: Callable[[], None], failures: list[Exception]) -> None:
    try:
        step()
    except (ClickHouseError, PlatformError) as error:
        failures.append(error)


def _known_time(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def _time(seconds: int | None) -> pd.Timestamp | None:
    return None if seconds is None else pd.Timestamp(seconds, unit="s", tz="UTC")
