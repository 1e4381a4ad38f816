"""Late readings of any age are accepted and their day becomes unverified; the limits of time are settings."""

from __future__ import annotations

import datetime as dt

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import DERIVED_LAYERS, L2, QUARANTINE
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_partitions
from iot_platform.layers.summary import summarize
from iot_platform.limits import limit_changes
from iot_platform.limits.time_limits import (
    TimeLimit,
    remove_time_limit,
    set_max_future,
    set_oldest_timestamp,
    time_limits,
)

MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)
TODAY = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
LATE = TODAY - 5 * 365 * DAY
BUILT_IN = [TimeLimit("oldest_timestamp", 946684800, False), TimeLimit("max_future", 600, False)]


def send(client: Client, *times: dt.datetime, kWh: float = 1.0) -> None:
    rows = [(time, 1, kWh) for time in times]
    client.insert("l1_power_raw", rows, column_names=["timestamp", "device_id", "power_usage_kWh"])


def partition(time: dt.datetime) -> str:
    return f"{time:%Y%m%d}"


def refused(client: Client) -> dict[dt.datetime, str]:
    rows = client.query("SELECT timestamp, reject_reason FROM power_quarantine").result_rows
    return {time.replace(tzinfo=dt.UTC): reason for time, reason in rows}


def accepted(client: Client) -> set[dt.datetime]:
    return {row[0].replace(tzinfo=dt.UTC) for row in client.query("SELECT timestamp FROM l2_power_cleaned").result_rows}


def prove(client: Client) -> None:
    assert all(proof.is_equal for proof in prove_all(client))
    assert [unverified_partitions(client, layer) for layer in DERIVED_LAYERS] == [[]] * len(DERIVED_LAYERS)
    assert summarize(client).conserved


def test_a_reading_five_years_late_invalidates_only_its_day(schema: Client) -> None:
    send(schema, TODAY - DAY, TODAY - 2 * DAY, LATE - DAY)
    prove(schema)
    send(schema, LATE)
    assert unverified_partitions(schema, L2) == [partition(LATE)]
    assert LATE in accepted(schema)
    prove(schema)
    send(schema, LATE, kWh=2.0)  # of a day that was proved: a correction
    assert unverified_partitions(schema, L2) == [partition(LATE)]
    prove(schema)
    query = "SELECT total_kWh, readings FROM l4_power_agg_hourly WHERE ts_hour = toStartOfHour({late:DateTime('UTC')})"
    assert schema.query(query, parameters={"late": LATE}).result_rows == [(2.0, 1)]


def test_the_oldest_timestamp_is_a_setting(schema: Client) -> None:
    ages = [LATE - DAY, LATE, LATE + DAY, TODAY - DAY]
    send(schema, *ages, dt.datetime(1999, 12, 31, 23, 59, 59, tzinfo=dt.UTC))
    prove(schema)
    assert time_limits(schema) == BUILT_IN

    assert set_oldest_timestamp(schema, LATE + MINUTE).keys() == {partition(LATE - DAY), partition(LATE)}
    assert time_limits(schema)[0] == TimeLimit("oldest_timestamp", int((LATE + MINUTE).timestamp()), True)
    assert (
        unverified_partitions(schema, L2)
        == unverified_partitions(schema, QUARANTINE)
        == [partition(t) for t in ages[:2]]
    )
    prove(schema)
    assert accepted(schema) == set(ages[2:])
    assert [refused(schema)[time] for time in ages[:2]] == ["too_old", "too_old"]

    # No reading is between the old limit and this one.
    assert set_oldest_timestamp(schema, LATE + 2 * MINUTE) == {}
    assert unverified_partitions(schema, L2) == []
    send(schema, LATE + MINUTE)
    assert refused(schema)[LATE + MINUTE] == "too_old"

    assert remove_time_limit(schema, "oldest_timestamp").keys() == {partition(LATE - DAY), partition(LATE)}
    prove(schema)
    assert accepted(schema) == {*ages, LATE + MINUTE}
    assert list(refused(schema).values()) == ["too_old"]


def test_the_future_is_a_setting(schema: Client) -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    near, soon, far = now + 12 * MINUTE, now + 40 * MINUTE, now + 2 * DAY
    send(schema, now, near, soon, far)
    prove(schema)
    assert accepted(schema) == {now}
    assert refused(schema) == dict.fromkeys([near, soon, far], "in_the_future")

    assert set_max_future(schema, 30 * MINUTE).keys() == {partition(near)}
    assert unverified_partitions(schema, L2) == [partition(near)]
    prove(schema)
    assert accepted(schema) == {now, near}
    send(schema, near + MINUTE, soon + MINUTE)
    assert near + MINUTE in accepted(schema)
    assert refused(schema)[soon + MINUTE] == "in_the_future"

    # One day is the maximum: L1 has no partitions for readings from further in the future.
    set_max_future(schema, DAY)
    prove(schema)
    assert accepted(schema) == {now, near, near + MINUTE, soon, soon + MINUTE}
    assert refused(schema) == {far: "in_the_future"}
    remove_time_limit(schema, "max_future")
    prove(schema)
    assert accepted(schema) == {now}


def test_readings_with_another_fault_invalidate_no_day(schema: Client) -> None:
    send(schema, LATE, dt.datetime.now(dt.UTC) + 15 * MINUTE, kWh=-1.0)
    prove(schema)
    assert set_oldest_timestamp(schema, LATE + MINUTE) == {}
    assert set_max_future(schema, 30 * MINUTE) == {}
    prove(schema)


def test_impossible_times_get_the_current_reason_but_no_day(schema: Client) -> None:
    # It was in the future when it arrived; now that time is in the past and too old.
    row = (dt.datetime(2010, 1, 1, tzinfo=dt.UTC), 1, 1.0, dt.datetime(2005, 1, 1, tzinfo=dt.UTC))
    schema.insert("l1_power_raw", [row], column_names=["timestamp", "device_id", "power_usage_kWh", "ingested_at"])
    prove(schema)
    assert set_oldest_timestamp(schema, LATE).keys() == {"0"}
    assert (unverified_partitions(schema, L2), unverified_partitions(schema, QUARANTINE)) == ([], ["0"])
    prove(schema)
    assert refused(schema) == {row[0]: "too_old"}


def test_a_reading_that_arrives_during_the_change_is_checked_again(
    schema: Client, monkeypatch: pytest.MonkeyPatch
) -> None:

    def slow(client: Client) -> None:
        # It arrives, and its day is proved, while the old limit still applies.
        send(client, LATE)
        prove(client)
        reload_dictionaries(client)

    monkeypatch.setattr(limit_changes, "reload_dictionaries", slow)
    assert set_oldest_timestamp(schema, LATE + MINUTE).keys() == {partition(LATE)}
    assert unverified_partitions(schema, L2) == [partition(LATE)]
    prove(schema)
    assert refused(schema) == {LATE: "too_old"}


def test_a_change_that_was_killed_invalidates_its_days(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    send(schema, LATE)
    prove(schema)
    with monkeypatch.context() as patch:
        patch.setattr(limit_changes, "reload_dictionaries", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            set_oldest_timestamp(schema, LATE + MINUTE)
    assert unverified_partitions(schema, L2) == [partition(LATE)]
    prove(schema)  # with the dictionary, which still has the old limit
    # The next change of any limit completes it.
    assert set_max_future(schema, 30 * MINUTE) == {}
    assert unverified_partitions(schema, L2) == [partition(LATE)]
    prove(schema)
    assert refused(schema) == {LATE: "too_old"}


def test_a_limit_stored_by_hand_invalidates_every_day(schema: Client) -> None:
    send(schema, LATE, TODAY - DAY)
    prove(schema)
    schema.command("INSERT INTO time_limits (name, value_s) VALUES ('max_future', 1800)")
    assert unverified_partitions(schema, L2) == [partition(LATE), partition(TODAY - DAY)]


@pytest.mark.parametrize("oldest", [dt.datetime(1999, 12, 31, 23, 59, 59, tzinfo=dt.UTC), TODAY + DAY])
def test_an_oldest_timestamp_before_the_first_partition_is_refused(schema: Client, oldest: dt.datetime) -> None:
    with pytest.raises(PlatformError, match="from 2000-01-01 to now"):
        set_oldest_timestamp(schema, oldest)
    assert time_limits(schema) == BUILT_IN


@pytest.mark.parametrize("future", [-MINUTE, DAY + MINUTE])
def test_a_future_beyond_a_day_is_refused(schema: Client, future: dt.timedelta) -> None:
    with pytest.raises(PlatformError, match="0 to 1440 minutes"):
        set_max_future(schema, future)
    assert time_limits(schema) == BUILT_IN


def test_removing_a_limit_that_was_not_set(schema: Client) -> None:
    with pytest.raises(PlatformError, match="max_future was not set"):
        remove_time_limit(schema, "max_future")


@pytest.mark.parametrize("row", [("oldest_timestamp", 946684799), ("max_future", 86401)])
def test_the_table_itself_refuses_limits_that_partitions_do_not_cover(schema: Client, row: tuple[str, int]) -> None:
    with pytest.raises(DatabaseError, match="Constraint"):
        schema.insert("time_limits", [row], column_names=["name", "value_s"])
