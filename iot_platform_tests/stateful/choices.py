"""Random actions from a seed. The pools are small, so that what happens meets what happened before."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Callable

from iot_platform.layers.catalog import (
    BY_BUILDING_TYPE,
    DERIVED_LAYERS,
    L2,
    L3,
    LAYERS_BY_NAME,
    MARTS,
    QUARANTINE,
    partition_month,
)
from iot_platform_tests.stateful import changes
from iot_platform_tests.stateful.actions import Action, FailedWrite, Resend, RetryOpen, Stream, Torn, Unload, Write
from iot_platform_tests.stateful.metadata import HOUR_S, ZONES, DeviceRow
from iot_platform_tests.stateful.model import DAY_S, YEAR_2000, Truth
from iot_platform_tests.stateful.world import Row


def _unix(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(dt.datetime(year, month, day, hour, tzinfo=dt.UTC).timestamp())


JANUARY = _unix(2026, 1, 5)
DAYS = [JANUARY + n * DAY_S for n in range(4)]
LATE_DAYS = [_unix(2021, 6, 30), _unix(2020, 2, 29), YEAR_2000]
IMPOSSIBLE = [0, YEAR_2000 - 1, _unix(1985, 5, 5), 2**32 - 1]
# Seconds after the arrival, around the limits that can be set.
AHEAD = [-7200, -60, 0 + 1, 300, 590, 615, 1790, 1815, 20_000, 22_000, DAY_S - 30, DAY_S + 30, 3 * DAY_S]
IN_A_DAY = [0, 1800, 9 * HOUR_S - 1, 9 * HOUR_S, 9 * HOUR_S + 900, 15 * HOUR_S, DAY_S - 1]
DEVICES = [1, 2, 3, 4, 5, 6, 2**32 - 1]
VALUES = [
    0.0,
    -0.0,
    0.1,
    0.2,
    2.5,
    4.999,
    5.0,
    9.99,
    10.0,
    49.5,
    50.0,
    99.999999,
    100.0,
    150.0,
    999.0,
    1e6,
    999999999.5,
]
WRONG_VALUES = [-1.0, -1e-12, math.nan, math.inf, -math.inf, 1e9, 1e300]
LIMITS = [1e-9, 5.0, 10.0, 50.0, 100.0, 100.0000001, 1000.0, 1e9]
TYPES = ["office", "shop", "hospital", "unknown"]
VALID_FROM = [0, YEAR_2000, _unix(2021, 6, 30, 9), JANUARY + 9 * HOUR_S, JANUARY + DAY_S, _unix(2026, 1, 7, 15)]
VALID_FROM += [_unix(2026, 1, 8, 23), _unix(2040, 1, 1)]
NOW = [JANUARY + 8 * HOUR_S + 60, JANUARY + DAY_S, _unix(2026, 1, 7, 9) + 1800]
NOW += [_unix(2026, 1, 8, 15), _unix(2026, 3, 1)]
OLDEST = [YEAR_2000, YEAR_2000 + 1800, _unix(2020, 2, 29, 9), _unix(2021, 7, 1), JANUARY + DAY_S + 1800]
FUTURES_S = [0, 300, 600, 1800, 21_600, DAY_S]

# Tables, and what may be done to them: {day} is a partition, {device} a device.
_DAMAGES = [
    "DELETE FROM {table} WHERE device_id = {device}",
    "DELETE FROM {table} WHERE _partition_id = '{day}' AND device_id % 2 = 0",
    "ALTER TABLE {table} DELETE WHERE _partition_id = '{day}' AND device_id >= {device}",
    "ALTER TABLE {table} DROP PARTITION ID '{day}'",
    "INSERT INTO {table} SELECT * FROM {table} WHERE _partition_id = '{day}' SETTINGS insert_deduplicate = 0",
    "INSERT INTO {table} SELECT * FROM {table} WHERE device_id = {device} LIMIT 1 SETTINGS insert_deduplicate = 0",
    "OPTIMIZE TABLE {table} FINAL",
    "TRUNCATE TABLE {table}",
]
_VALUE = "ALTER TABLE {table} UPDATE power_usage_kWh = 3 WHERE device_id = {device} AND _partition_id = '{day}'"
_ARRIVAL = "ALTER TABLE {table} UPDATE ingested_at = ingested_at + INTERVAL 1 SECOND WHERE _partition_id = '{day}'"
_UPDATES = {
    L2.name: [_VALUE, _ARRIVAL],
    QUARANTINE.name: [_VALUE, "ALTER TABLE {table} UPDATE reject_reason = 'negative' WHERE device_id = {device}"],
    L3.name: [_VALUE, _ARRIVAL, "ALTER TABLE {table} UPDATE version = version + 1 WHERE device_id = {device}"],
    **{
        mart.name: ["ALTER TABLE {table} UPDATE total_kWh = total_kWh + 1 WHERE readings % 5 = {device} % 5"]
        for mart in MARTS
    },
}


class Choices:
    """Draws actions; what is drawn depends on the seed and on the readings before, not on any clock."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._kinds: dict[Callable[[], Action], int] = {
            self.write: 44,
            self.stream: 3,
            self.failed_write: 5,
            self.retry_open: 5,
            self.resend: 4,
            self.torn: 4,
            self.unload: 4,
            self.refresh: 10,
            self.limit: 8,
            self.time_limit: 4,
            self.half_change: 2,
            self.damage: 8,
            self.prove_open: 3,
            self.prove_some: 5,
            self.prove_all: 1,
            self.restart: 1,
            self.kill_during: 1,
        }

    def draw(self, truth: Truth) -> Action:
        """The next action."""
        self._truth = truth
        [kind] = self._random.choices(list(self._kinds), list(self._kinds.values()))
        return kind()

    def write(self) -> Write:
        source = f"source {self._random.randrange(4)}"
        rows = self._rows(self._random.choice([1, 1, 3, 8, 20]))
        if self._random.random() < 0.8:
            return Write(source, rows)
        # Accepted at a given moment: the limits into the future are met to the second.
        exact = tuple((self._random.choice([600, 601, 0, 1800, DAY_S, DAY_S + 1, -1]), *row[1:]) for row in rows)
        moment = self._random.choice(DAYS) + self._random.choice(IN_A_DAY)
        return Write(source, tuple(row if row[0] else (moment, *row[1:]) for row in exact), moment)

    def failed_write(self) -> FailedWrite:
        return FailedWrite(Write(f"source {self._random.randrange(4)}", self._rows(5)), self._random.random() < 0.5)

    def retry_open(self) -> RetryOpen:
        return RetryOpen(self._random.randrange(1000))

    def resend(self) -> Resend:
        return Resend(self._random.randrange(1_000_000))

    def unload(self) -> Unload:
        return Unload(self._random.randrange(1_000_000), self._random.random() < 0.3)

    def torn(self) -> Torn:
        return Torn(self._rows(self._random.choice([1, 6])))

    def stream(self) -> Stream:
        frames = tuple(self._rows(self._random.choice([1, 4, 7])) for _ in range(self._random.choice([1, 3])))
        [how] = self._random.choices(["plain", "died", "away"], [5, 4, 1])
        return Stream(f"stream-{self._random.randrange(2)}", frames, how)

    def refresh(self) -> changes.Refresh:
        rows: dict[tuple[int, int | None], DeviceRow] = {}
        for device in self._random.choices(DEVICES[:-1], k=self._random.choice([1, 1, 2, 6])):
            start = self._random.choice(VALID_FROM) if self._random.random() < 0.4 else None
            row = DeviceRow(
                device,
                self._random.choice(["c1", "c2", "Ü & 'q'"]),
                self._random.choice(TYPES),
                *self._random.choice(sorted(ZONES)),
                start,
            )
            rows[device, start or 0] = row  # since ever and 1970 are the same
        return changes.Refresh(tuple(rows.values()), self._random.choice(NOW), self._random.random() < 0.35)

    def limit(self) -> changes.SetLimit:
        value = self._random.choice(LIMITS) if self._random.random() < 0.65 else None
        start = self._random.choice(VALID_FROM) if self._random.random() < 0.6 else 0
        match self._random.randrange(4):
            case 0:
                return changes.SetLimit("default", "", value, start)
            case 1:
                return changes.SetLimit("device", str(self._random.choice(DEVICES)), value, start)
            case _:
                return changes.SetLimit("building_type", self._random.choice(TYPES), value, start)

    def time_limit(self) -> changes.SetTimeLimit:
        if self._random.random() < 0.5:
            # Mostly late days stay: otherwise there would be nothing to compare.
            return changes.SetTimeLimit("oldest_timestamp", self._random.choice([None, None, *OLDEST]))
        return changes.SetTimeLimit("max_future", self._random.choice([None, *FUTURES_S]))

    def half_change(self) -> changes.HalfChange:
        others = [self.write, self.torn, self.prove_open, self.prove_some, self.restart, self.change]
        kinds = self._random.choices(others, [5, 2, 3, 3, 1, 2], k=self._random.choice([0, 1, 3]))
        return changes.HalfChange(self.change(), tuple(kind() for kind in kinds), self.refresh())

    def change(self) -> changes.Change:
        """A change of metadata or limits alone: what it must open shows best while every day is closed."""
        return self._random.choice([self.refresh, self.limit, self.time_limit])()

    def damage(self) -> changes.Statement:
        layer = self._random.choice(DERIVED_LAYERS)
        texts = _DAMAGES[: None if self._random.random() < 0.2 else -1] + _UPDATES[layer.name]
        day = dt.datetime.fromtimestamp(self._random.choice([*DAYS, *LATE_DAYS]), dt.UTC)
        text = self._random.choice(texts)
        if layer is BY_BUILDING_TYPE:
            # It has no devices; hours do as well.
            text = text.replace("device_id", "toHour(ts_hour)")
        if layer.is_monthly:
            text = text.replace("_partition_id = '{day}'", "toYYYYMMDD(ts_hour) = {day}")
        partition = partition_month(f"{day:%Y%m%d}") if "PARTITION ID" in text and layer.is_monthly else f"{day:%Y%m%d}"
        return changes.Statement(
            text.format(table=layer.table, day=partition, device=self._random.choice(DEVICES[:-1]))
        )

    def prove_open(self) -> changes.ProveOpen:
        names = [name for name in LAYERS_BY_NAME if self._random.random() < 0.7]
        return changes.ProveOpen(tuple(names)) if names else changes.ProveOpen()

    def prove_some(self) -> changes.ProveSome:
        day = None if self._random.random() < 0.2 else self._random.randrange(1000)
        return changes.ProveSome(self._random.choice(list(LAYERS_BY_NAME)), day, self._random.random() < 0.8)

    def prove_all(self) -> changes.ProveAll:
        return changes.ProveAll()

    def restart(self) -> changes.Restart:
        return changes.Restart(self._random.random() < 0.5)

    def kill_during(self) -> changes.KillDuring:
        inner = self._random.choice(
            [self.write, self.write, self.unload, self.refresh, self.prove_open, self.prove_all]
        )()
        return changes.KillDuring(inner, self._random.randrange(0, 250))

    def _rows(self, count: int) -> tuple[Row, ...]:
        rows = [self._row() for _ in range(count)]
        if self._random.random() < 0.3:  # the same in one batch, and corrected in it
            when, device, _ = rows[0]
            rows += [rows[0], (when, device, self._random.choice(VALUES))]
        return tuple(rows)

    def _row(self) -> Row:
        readings, chance = self._truth.readings, self._random.random()
        if readings and chance < 0.3:
            known = self._random.choice(readings)
            again = known.kWh if chance < 0.15 else self._random.choice(VALUES)
            return known.timestamp, known.device, again
        device = self._random.choice(DEVICES) if self._random.random() < 0.98 else 0
        value = self._random.choice(VALUES) if self._random.random() < 0.8 else self._random.random() * 120
        if self._random.random() < 0.06:
            value = self._random.choice(WRONG_VALUES)
        if chance < 0.36:
            return self._random.choice(AHEAD), device, value
        if chance < 0.38:
            return self._random.choice(IMPOSSIBLE), device, value
        day = self._random.choice(LATE_DAYS if chance < 0.5 else DAYS)
        return day + self._random.choice(IN_A_DAY), device, value
