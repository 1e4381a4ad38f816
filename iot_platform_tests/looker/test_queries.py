"""Compiled queries on the real engine: limits, filters, strings."""

from __future__ import annotations

import datetime as dt

import pandas as pd
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_platform.looker.compiler import compile_query
from iot_platform.looker.filters import Values, condition
from iot_platform.looker.query import Query
from iot_platform_tests.looker.lookml_readings import DASHBOARD, NOW, PROJECT, YEAR, energy
from iot_platform_tests.looker.string_filters import any_of


def test_a_pivoted_table_is_cut_by_rows(marts: Client) -> None:
    fields = ("power_usage.time_date", "power_usage.building_type", "power_usage.reading_count")
    query = Query("power_usage", fields, pivots=fields[1:2], sorts=("power_usage.time_date desc",), limit=2)
    compiled = compile_query(PROJECT, query, str(marts.database), NOW)
    rows = marts.query(compiled.sql, parameters=dict(compiled.parameters)).result_rows
    assert list(dict.fromkeys(row[0] for row in rows)) == [dt.date(2025, 11, 3), dt.date(2025, 11, 2)]
    assert len(rows) == 2 * 5


def test_filters_on_measures_and_other_fields(marts: Client, readings: pd.DataFrame) -> None:
    query = Query(
        "power_usage",
        ("power_usage.customer_id", "power_usage.metadata_known", "power_usage.total_kwh"),
        {"power_usage.devices": ">1", "power_usage.metadata_known": "yes", "power_usage.time_zone": "-Asia%"},
    )
    compiled = compile_query(PROJECT, query, str(marts.database), NOW)
    rows = marts.query(compiled.sql, parameters=dict(compiled.parameters)).result_rows
    frame = readings[readings["known"] & ~readings["time_zone"].str.startswith("Asia")]
    groups = {customer: group for customer, group in frame.groupby("customer_id") if group["device_id"].nunique() > 1}
    assert {(row[0], row[1]): row[2] for row in rows} == {
        (name, "Yes"): energy(group) for name, group in groups.items()
    }
    kWh = [row[2] for row in rows]
    assert kWh == sorted(kWh, reverse=True)  # as Looker sorts when nothing is said
    place = Query("power_usage", ("power_usage.devices",), {"power_usage.place": "51.507, -0.128"})
    compiled = compile_query(PROJECT, place, str(marts.database), NOW)
    assert marts.query(compiled.sql, parameters=dict(compiled.parameters)).result_rows == [(2,)]


def test_the_sql_shown_to_people_gives_the_same_result(marts: Client) -> None:
    for tile in DASHBOARD.tiles:
        query = tile.query_with({"period": YEAR, "customer": any_of(["it's", "a\\", "acme"])})
        compiled = compile_query(PROJECT, query, str(marts.database), NOW)
        rows = marts.query(compiled.sql, parameters=dict(compiled.parameters)).result_rows
        assert marts.query(compiled.pretty).result_rows == rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(alphabet="aB%_^\\-,\"' \n\t;éN", max_size=4), min_size=1, max_size=8), st.data())
def test_a_string_filter_finds_exactly_its_strings(marts: Client, texts: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(texts), min_size=1))
    values = Values()
    sql = condition("strings", {"": "x"}, any_of(wanted), values, NOW)
    statement = f"SELECT DISTINCT x FROM (SELECT arrayJoin({values.bind(texts, 'Array(String)')}) AS x) WHERE {sql}"
    found = [row[0] for row in marts.query(statement, parameters=values.parameters).result_rows]
    assert sorted(found) == sorted(set(wanted))
    needle = wanted[0]
    if needle:
        values = Values()
        sql = condition("strings", {"": "x"}, f"%{any_of([needle])}%", values, NOW)
        statement = f"SELECT DISTINCT x FROM (SELECT arrayJoin({values.bind(texts, 'Array(String)')}) AS x) WHERE {sql}"
        found = [row[0] for row in marts.query(statement, parameters=values.parameters).result_rows]
        assert sorted(found) == sorted({text for text in texts if needle in text})
