"""A reading is judged by the limits of its time, and by the building type that its device had then."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from clickhouse_connect.driver.client import Client
from hypothesis import strategies as st

from iot_platform.cli.limits import limits as command
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.devices.refresh import RefreshResult, refresh_devices
from iot_platform.devices.restatement import restate
from iot_platform.layers.catalog import L2, QUARANTINE
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_partitions
from iot_platform.limits.limit_history import limits_of_device, logged_limits, logged_types
from iot_platform.limits.power_limits import ALWAYS, limits, remove_limit, set_limit
from iot_platform_tests.databases import Blueprint, client_of, fresh_database
from iot_platform_tests.stateful.metadata import DeviceRow, Metadata
from iot_platform_tests.stateful.model import Limits

COLUMNS = ["device_id", "customer_id", "building_type", "latitude", "longitude", "valid_from"]
NOW = dt.datetime(2026, 1, 10, 12, 40, tzinfo=dt.UTC)
Version = tuple[int, str] | tuple[int, str, str]


def day(number: int) -> dt.datetime:
    return dt.datetime(2026, 1, number, tzinfo=dt.UTC)


def refresh(client: Client, *versions: Version, complete: bool = False, now: dt.datetime = NOW) -> RefreshResult:
    rows = [(version[0], "c", version[1], 51.5, -0.1, *(version[2:] or (None,))) for version in versions]
    return refresh_devices(client, pd.DataFrame(rows, columns=COLUMNS), now, complete=complete, max_closed_share=1)


def insert(client: Client, *readings: tuple[dt.datetime, int, float]) -> None:
    client.insert("l1_power_raw", readings, column_names=["timestamp", "device_id", "power_usage_kWh"])


def accepted(client: Client) -> list[tuple[int, float]]:
    """Day of the month and energy of the readings in L2, which must be verified."""
    assert unverified_partitions(client, L2) == []
    query = "SELECT toDayOfMonth(timestamp), power_usage_kWh FROM l2_power_cleaned ORDER BY timestamp, device_id"
    return [(int(number), float(kWh)) for number, kWh in client.query(query).result_rows]


def test_a_closed_meter_keeps_the_limit_of_its_past(schema: Client) -> None:
    set_limit(schema, "building_type", "kiosk", 5)
    refresh(schema, (1, "kiosk"), (2, "flat"))
    insert(schema, (day(2), 1, 50.0), (day(2), 2, 50.0), (day(11), 1, 50.0))
    list(prove_all(schema))
    assert accepted(schema) == [(2, 50.0)]
    result = refresh(schema, (2, "flat"), complete=True)
    # Only the reading from after its removal is judged otherwise.
    assert result.touched[L2] == result.touched[QUARANTINE] == {"20260111"}
    restate(schema, result)
    assert accepted(schema) == [(2, 50.0), (11, 50.0)]
    assert all(proof.is_equal for proof in prove_all(schema, repair=False))


def test_a_type_of_the_future_judges_nothing_before_it(schema: Client) -> None:
    set_limit(schema, "building_type", "hospital", 500)
    set_limit(schema, "building_type", "kiosk", 5)
    refresh(schema, (1, "hospital"), (1, "kiosk", "2030-01-01T00:00Z"), (2, "kiosk"), (2, "flat", "2026-01-05T00:00Z"))
    insert(schema, (day(2), 1, 100.0), (day(2), 1, 3.0), (day(3), 2, 10.0), (day(5), 2, 10.0), (day(6), 2, 99.0))
    list(prove_all(schema))
    assert accepted(schema) == [(2, 100.0), (5, 10.0), (6, 99.0)]


def test_a_limit_holds_from_a_time_on(schema: Client) -> None:
    insert(schema, *((day(number), device, 60.0) for number in range(1, 6) for device in (1, 2)))
    list(prove_all(schema))
    assert set_limit(schema, "default", "", 50, valid_from=day(4), dry_run=True) == {"20260104": 2, "20260105": 2}
    assert unverified_partitions(schema, L2) == [] and limits(schema) == []
    assert set_limit(schema, "default", "", 50, valid_from=day(4)) == {"20260104": 2, "20260105": 2}
    assert set_limit(schema, "device", "2", 70, valid_from=day(5)) == {"20260105": 1}
    list(prove_all(schema, only_unverified=True))
    assert [number for number, _ in accepted(schema)] == [1, 1, 2, 2, 3, 3, 5]
    # From an earlier time on it replaces what was set for later.
    assert set_limit(schema, "default", "", 65, valid_from=day(2)) == {"20260104": 2, "20260105": 1}
    assert [(limit.max_kWh, limit.valid_from) for limit in limits(schema)] == [(65, day(2)), (70, day(5))]
    set_limit(schema, "default", "", 40, valid_from=day(3))
    [first, second, _] = limits(schema)
    assert (first.valid_to, second.valid_to) == (day(3), None)
    assert remove_limit(schema, "default", valid_from=day(4)) == {"20260104": 2, "20260105": 1}
    list(prove_all(schema, only_unverified=True))
    assert [number for number, _ in accepted(schema)] == [1, 1, 2, 2, 4, 4, 5, 5]
    assert all(proof.is_equal for proof in prove_all(schema, repair=False))
    # Every row is kept, also those that a merge would replace.
    set_limit(schema, "default", "", 41, valid_from=day(3))
    schema.command("OPTIMIZE TABLE power_limits FINAL")
    logged = [(row.value, row.valid_from, row.is_removed) for row in logged_limits(schema) if row.scope == "default"]
    set_, removed = False, True
    assert logged == [
        (50, day(4), set_),
        (65, day(2), set_),
        (40, day(3), set_),
        (40, day(4), removed),
        (41, day(3), set_),
    ]


TIMES = [0, *(int(day(number).timestamp()) for number in (2, 4, 6))]
TYPES = ["a", "b"]
CHANGE = st.one_of(
    st.tuples(st.just("default"), st.just(""), st.sampled_from([None, 3.0, 30.0]), st.sampled_from(TIMES)),
    st.tuples(
        st.just("building_type"),
        st.sampled_from([*TYPES, "unknown"]),
        st.sampled_from([None, 2.0, 20.0]),
        st.sampled_from(TIMES),
    ),
    st.tuples(st.just("device"), st.sampled_from("123"), st.sampled_from([None, 1.0, 10.0]), st.sampled_from(TIMES)),
    st.tuples(st.just("type"), st.sampled_from("12"), st.sampled_from(TYPES), st.sampled_from(TIMES)),
    st.tuples(st.just("close"), st.just(""), st.none(), st.sampled_from(TIMES)),
)


READINGS = [
    (day(number) + dt.timedelta(minutes=minute), device, kWh)
    for number in (1, 3, 5, 7)
    for device in (1, 2, 3)
    for minute, kWh in enumerate([0.5, 1.5, 2.5, 5.0, 15.0, 25.0, 50.0, 150.0])
]
Refused = set[tuple[dt.datetime, int, float]]


class Told:
    """Limits and metadata in plain Python."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.metadata = Metadata()

    def refused(self) -> Refused:
        return {
            (time, device, kWh) for time, device, kWh in READINGS if kWh >= self._limit(device, int(time.timestamp()))
        }

    def _limit(self, device: int, at: int) -> float:
        return self.limits.of(device, self.metadata.type_at(device, at), at)

    def change(self, client: Client, kind: str, key: str, value: Any, start: int) -> dict[str, int] | set[str] | None:
        """Change both; returns what the platform says it affects: days, with their readings where they are counted."""
        at = dt.datetime.fromtimestamp(start, dt.UTC)
        if kind in ("type", "close"):
            row = DeviceRow(int(key or 3), "c", value or "b", 51.5, -0.1, start or None if kind == "type" else None)
            now = at + dt.timedelta(minutes=5)
            self.metadata.refresh([row], int(now.timestamp()), complete=kind == "close")
            version = (row.device, row.building_type, *([at.isoformat()] if row.valid_from else []))
            return refresh(client, version, now=now, complete=kind == "close").touched[QUARANTINE]  # type: ignore[arg-type]
        if value is None and not self.limits.has(kind, key, start):
            return None
        self.limits.put(kind, key, start, value)
        if value is None:
            return remove_limit(client, kind, key, valid_from=at)  # type: ignore[arg-type]
        return set_limit(client, kind, key, value, valid_from=at)  # type: ignore[arg-type]


@hypothesis.settings(max_examples=6)
@hypothesis.given(changes=st.lists(CHANGE, min_size=8, max_size=14))
def test_exactly_the_readings_that_a_change_judges_otherwise_are_found(
    server: Endpoint, migrated: Blueprint, changes: list[tuple[str, str, Any, int]]
) -> None:
    query = "SELECT timestamp, device_id, power_usage_kWh FROM l1_power_raw WHERE reject_reason = 'over_limit'"
    with fresh_database(server) as name, client_of(server, name) as client:
        migrated.copy_into(client)
        insert(client, *READINGS)
        told = Told()
        for change in changes:
            before = told.refused()
            found = told.change(client, *change)
            days = Counter(f"{time:%Y%m%d}" for time, _, _ in before ^ told.refused())
            assert found is None or found == (set(days) if isinstance(found, set) else days), change
            rows = client.query(query).result_rows
            assert {(time.replace(tzinfo=dt.UTC), *rest) for time, *rest in rows} == told.refused(), change


@pytest.fixture
def run(server: Endpoint, schema: Client, tmp_path: Path) -> Callable[..., Result]:
    url = f"http://{server.username}:{server.password}@{server.host}:{server.port}"
    env = {"IOT_CLICKHOUSE_URL": url, "IOT_CLICKHOUSE_DATABASE": str(schema.database), "IOT_HOME": str(tmp_path)}

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(command, arguments, env=env, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    return invoke


def test_the_command_says_from_when_on(schema: Client, run: Callable[..., Result]) -> None:
    hour = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0)
    # Before there are readings, a first limit holds always; files of the past may follow.
    told = run("set", "--building-type", "kisok", "5").stdout
    assert "Limit of building_type kisok: 5 kWh, always." in told
    assert "No meter has or had the building type 'kisok'" in told
    refresh(schema, (1, "kiosk"))
    assert "Types, with their meters: 'kiosk' (1)." in run("set", "--building-type", "kisok", "6", "--dry-run").stdout
    insert(schema, (day(2), 1, 50.0), (day(3), 7, 50.0))
    list(prove_all(schema))
    told = json.loads(run("set", "--building-type", "kiosk", "5", "--json").stdout)
    [change] = told["changes"]
    assert change["valid_from"] == hour.isoformat() and change["readings"] == 0 and not told["dry_run"]
    assert "--from always" in change["notes"][0] and unverified_partitions(schema, L2) == []
    told = run("set", "--building-type", "kiosk", "5", "--from", "always", "--dry-run").stdout
    assert "judged otherwise: 1 on 1 days: 2026-01-02.\nNothing was changed." in told
    assert "It replaces what was set for later: 5 kWh from" in told
    assert "affected: 1." in run("set", "--building-type", "kiosk", "5", "--from", "2026-01-02T00:00").stdout
    assert "2026-01-02 00:00 UTC" in run("list").stdout
    run("set", "--max-future-minutes", "20")
    told = run("history", "--device", "1").stdout
    for part in (
        "building_type kisok",
        "5 kWh",
        "max_future",
        "1,200 s",
        "Building types of meter 1",
        "from 2026-01-02",
    ):
        assert part in told
    found = json.loads(run("history", "--json").stdout)["limits"]
    assert [row["scope"] for row in found] == ["building_type"] * 3 + ["max_future"]
    assert [row.building_type for row in logged_types(schema, 1)] == ["kiosk"]
    assert [(row.valid_from, row.max_kWh) for row in limits_of_device(schema, 1)] == [(ALWAYS, 100), (day(2), 5)]
    assert [row.max_kWh for row in limits_of_device(schema, 99)] == [100]
    refused = CliRunner().invoke(command, ["set", "--oldest", "2015-01-01", "--from", "now"])
    assert refused.exit_code == 2 and "without --from" in refused.output
