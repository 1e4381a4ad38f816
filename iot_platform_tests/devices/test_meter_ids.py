"""The rule for the ids of meters: what an id stands for depends on its own text and on what is registered."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_platform.clickhouse.migrations import migrate
from iot_platform.devices.meter_ids import (
    FIRST_ASSIGNED_ID,
    LeadingZeros,
    MeterIds,
    names_of,
    normalized,
    plain_numbers,
    refuse_scientific,
)
from iot_platform.errors import PlatformError, SourceError
from iot_platform.settings import Settings
from iot_platform_tests.clickhouse.test_migrations import OtherSql


@pytest.fixture
def other(tmp_path: Path) -> OtherSql:
    shutil.copytree(Settings().sql_dir, tmp_path / "sql")
    return OtherSql(directory=tmp_path / "sql")


def column(ids: Sequence[str | None]) -> pa.StringArray:
    return pa.array(ids, pa.string())


def numbers(client: Client, *ids: str | None) -> list[int | None]:
    return MeterIds(client).device_ids(column(ids)).to_pylist()


def ignore_leading_zeros(client: Client) -> None:
    client.command("INSERT INTO meter_id_rules (name, value, set_at) VALUES ('leading_zeros', 'ignored', 1)")


@pytest.mark.parametrize(
    ("text", "kept", "ignored"),
    [
        ("1", 1, 1),
        (" 999999999\t", 999_999_999, 999_999_999),
        ("101.0", 101, 101),
        ("101.000", 101, 101),
        ("0", 0, 0),
        ("007", None, 7),
        ("000", None, 0),
        ("0001005.0", None, 1005),
        ("1000000000", None, None),
        ("0001000000000", None, None),
        ("1200060000001.0", None, None),
        ("-1", None, None),
        ("+1", None, None),
        ("101.5", None, None),
        ("101.", None, None),
        ("12E5", None, None),
        ("0x10", None, None),
        ("\u0663", None, None),
        ("A-1", None, None),
    ],
)
def test_which_ids_are_numbers(text: str, kept: int | None, ignored: int | None) -> None:
    ids = normalized(column([text]))
    rules: tuple[LeadingZeros, LeadingZeros] = ("kept", "ignored")
    assert [plain_numbers(ids, rule).to_pylist()[0] for rule in rules] == [kept, ignored]


@pytest.mark.parametrize("text", ["1.20006E+12", "1.23E+09", "1,20006E+12", "1.2e5", "1E+12", "12e+5", "-1.2E-05"])
def test_scientific_notation_is_refused(text: str) -> None:
    with pytest.raises(SourceError) as error:
        refuse_scientific(column(["1", text, text]), "f.csv, line {}".format)
    assert f"f.csv, line 1: the meter id {text!r}" in str(error.value)
    assert "Export it again with the ids as text" in str(error.value)


def test_names_that_look_a_little_like_numbers_are_not_refused() -> None:
    refuse_scientific(column(["12E5", "1E3", "E+12", "1.2", "0x1E+2", "1.2E+", "A1.2E+5", None]), str)


def test_names_are_numbered_once(schema: Client) -> None:
    first = numbers(schema, "A-1", "5", None, "A-2", " A-1 ", "005")
    assert first == [FIRST_ASSIGNED_ID, 5, None, FIRST_ASSIGNED_ID + 1, FIRST_ASSIGNED_ID, FIRST_ASSIGNED_ID + 2]
    assert numbers(schema, "A-3", "005", "A-1", "5") == [FIRST_ASSIGNED_ID + 3, FIRST_ASSIGNED_ID + 2, first[0], 5]


def test_two_processes_give_a_name_the_same_number(schema: Client) -> None:
    ours, theirs = MeterIds(schema), MeterIds(schema)
    assert ours.device_ids(column(["A"])).to_pylist() == [FIRST_ASSIGNED_ID]
    assert theirs.device_ids(column(["B", "A"])).to_pylist() == [FIRST_ASSIGNED_ID + 1, FIRST_ASSIGNED_ID]
    assert ours.device_ids(column(["B", "C"])).to_pylist() == [FIRST_ASSIGNED_ID + 1, FIRST_ASSIGNED_ID + 2]


def test_a_database_keeps_what_it_has_registered(schema: Client) -> None:
    rows = [["12345", 1_000_000_047], ["101.0", 1_000_000_048], ["007", 1_000_000_049]]
    schema.insert("meter_ids", rows, column_names=["external_id", "device_id"])
    ignore_leading_zeros(schema)
    found = numbers(schema, "12345", "101.0", "101", "007", "07", "12345.0", "12346")
    assert found == [1_000_000_047, 1_000_000_048, 101, 1_000_000_049, 7, 1_000_000_047, 12346]
    plain = MeterIds(schema).plain_device_ids(column(["12345", "007", "7", "b"])).to_pylist()
    assert plain == [1_000_000_047, 1_000_000_049, 7, None]


def test_expected_numbers_are_not_stored(schema: Client) -> None:
    meter_ids = MeterIds(schema)
    expected = meter_ids.expected(column(["A", "3", "B"])).to_pylist()
    assert schema.query("SELECT count() FROM meter_ids").result_rows == [(0,)]
    assert meter_ids.device_ids(column(["A", "3", "B"])).to_pylist() == expected
    assert len(meter_ids.stored()) == 2


def test_ignored_leading_zeros_are_told(schema: Client) -> None:
    ignore_leading_zeros(schema)
    meter_ids = MeterIds(schema)
    assert meter_ids.device_ids(column(["0001005", "1005", "0", "7"])).to_pylist() == [1005, 1005, 0, 7]
    (note,) = meter_ids.notes()
    assert "Leading zeros of 1 meter ids were ignored (such as '0001005')" in note
    assert meter_ids.notes() == []
    # The documented way to change it.
    schema.command("INSERT INTO meter_id_rules (name, value) VALUES ('leading_zeros', 'kept')")
    assert numbers(schema, "0001005", "1005") == [FIRST_ASSIGNED_ID, 1005]
    assert MeterIds(schema).is_older_than_the_rule


def test_an_unknown_rule_is_refused(schema: Client) -> None:
    schema.command("INSERT INTO meter_id_rules (name, value) VALUES ('leading_zeros', 'maybe')")
    with pytest.raises(PlatformError, match="leading_zeros is 'maybe'"):
        numbers(schema, "1")


@pytest.mark.parametrize(("table", "rule"), [("l1_power_raw", "ignored"), ("device_metadata", "ignored"), ("", "kept")])
def test_older_databases_ignore_leading_zeros(client: Client, other: OtherSql, table: str, rule: str) -> None:
    (migration,) = other.directory.glob("099_*.sql")
    text = migration.read_text(encoding="utf-8")
    migration.unlink()
    migrate(client, other)
    if table:
        client.command(f"INSERT INTO {table} (device_id) VALUES (7)")
    migration.write_text(text, encoding="utf-8")
    migrate(client, other)
    assert MeterIds(client).leading_zeros == rule
    assert migrate(client, Settings()) == []


def test_views_show_the_ids_of_meters(schema: Client) -> None:
    device_ids = numbers(schema, "A-1", "007", "7")
    schema.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES "
        + ", ".join(f"('2026-01-05 00:00:00', {device_id}, 1)" for device_id in device_ids)
    )
    views = ("l3_power_joined", "l4_power_agg_hourly", "l4_power_agg_hourly_store", "l4_power_by_device_daily")
    for view in views:
        rows = schema.query(f"SELECT meter_id, device_id FROM {view} ORDER BY 1").result_rows
        assert rows == [("007", device_ids[1]), ("7", 7), ("A-1", device_ids[0])], view
        last = schema.query(f"SELECT * FROM {view} LIMIT 0").column_names[-1]
        assert last == "meter_id"
    assert names_of(schema, [7, FIRST_ASSIGNED_ID, 8]) == {7: "7", FIRST_ASSIGNED_ID: "A-1", 8: "8"}
    assert names_of(schema, []) == {}


some_id = st.one_of(
    st.integers(0, 10**13).map(str),
    st.text("01A.-", min_size=1, max_size=4),
    st.text(min_size=1, max_size=6).filter(lambda text: text.strip() and "\x00" not in text),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deliveries=st.lists(st.lists(some_id, min_size=1, max_size=8), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_the_number_of_an_id_does_not_depend_on_the_others(
    schema: Client, deliveries: list[list[str]], seed: int
) -> None:
    """An id has one number, in whatever order and with whatever others it comes, and different ids never share one."""
    found: dict[str, int] = {}
    chance = random.Random(seed)
    for ids in [*deliveries, *deliveries]:
        chance.shuffle(ids)
        texts = normalized(column(ids)).to_pylist()
        for text, number in zip(texts, numbers(schema, *ids), strict=True):
            assert number is not None and found.setdefault(str(text), number) == number
            alone = numbers(schema, text)
            assert alone == [number]
            is_plain = str(text).isascii() and str(text).isdigit() and str(int(str(text))) == text
            assert (number == int(str(text))) if is_plain and int(str(text)) < 10**9 else number >= FIRST_ASSIGNED_ID
    assert len(set(found.values())) == len(found)
