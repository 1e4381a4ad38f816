"""The LookML project is read strictly: unsupported parameters and unknown names are refused."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from iot_platform.errors import FilterError, LookmlError
from iot_platform.looker import checks, liquid
from iot_platform.looker.compiler import compile_query
from iot_platform.looker.dashboard_file import read_dashboards
from iot_platform.looker.dictionary import field_dictionary
from iot_platform.looker.project import load_project
from iot_platform.looker.query import MAX_LIMIT, Query
from iot_platform.settings import Settings

PROJECT = load_project()
VIEW, METERS = "views/power_usage.view.lkml", "views/device_metadata.view.lkml"
MODEL, DASHBOARD = "models/iot_platform.model.lkml", "dashboards/power_overview.dashboard.lookml"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project that a test may damage."""
    return Path(shutil.copytree(Settings().looker_dir, tmp_path / "looker"))


def change(project: Path, file: str, old: str, new: str) -> None:
    path = project / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


MUTATIONS = [
    # Unsupported parameters are refused, never ignored.
    (VIEW, "hour_of_day, day", "hour_of_dya, day", "dimension_group time: timeframe hour_of_dya is not supported"),
    (VIEW, "type: max", "type: median", "measure peak_kwh: type median is not supported"),
    (VIEW, "type: yesno", "type: tier", "dimension local_day_is_complete: type tier is not supported"),
    (VIEW, "hidden: yes", "hidden: perhaps", "measure exact_kwh: hidden must be yes or no, not perhaps"),
    (VIEW, "hidden: yes", "requires: yes", "measure exact_kwh: measure has requires, which is not supported"),
    (VIEW, 'label: "Power usage"', "suggestions: yes", "view has suggestions, which is not supported"),
    (VIEW, "datatype: datetime", "datatype: date", "datatype must be datetime, not date"),
    (VIEW, "convert_tz: no", "convert_tz: yes", "convert_tz must be no, not yes"),
    (VIEW, "    convert_tz: no\n", "", "convert_tz must be no, not None"),
    (VIEW, "type: number", "type: number type: string", 'cannot be read as LookML: Key "type" already exists'),
    (VIEW, "view: power_usage {", "view: power_usage {{", "cannot be read as LookML"),
    (VIEW, "{% endif %} ;;", ";;", "a Liquid {% if %} has no {% endif %}"),
    (VIEW, "{% else %}", "{% unless x %}", "Liquid tag {% unless x %} is not supported"),
    (VIEW, "time_zone._in_query", "time_zone._is_filtered", "Liquid condition 'power_usage.time_zone._is_filtered "),
    (VIEW, "_in_query or power_usage.place", "_in_query and power_usage.place", "only `or` or only `and`"),
    (VIEW, "${TABLE}.time_zone", "{{ zone }}", "Liquid and constants are not supported in sql"),
    (
        MODEL,
        'label: "IoT',
        'fiscal_month_offset: 3 label: "IoT',
        "model has fiscal_month_offset, which is not supported",
    ),
    (MODEL, "explore: device_metadata {", "explore: device_metadata { join: x {} ", "explore has joins"),
    (MODEL, "week_start_day: monday", "week_start_day: sunday", "week_start_day must be monday"),
    (MODEL, 'max_cache_age: "5 minutes"', "interval_trigger: x", "datagroup has interval_trigger"),
    (DASHBOARD, "stacking: normal", "trellis: row", "tile usage_over_time: trellis is not supported"),
    (DASHBOARD, "crossfilter_enabled", "crossfilters", "crossfilters is not supported"),
    (DASHBOARD, "type: looker_bar", "type: looker_funnel", "type is looker_funnel; supported: looker_area"),
    (DASHBOARD, "type: tag_list", "type: slider", "filter building_type: type is slider"),
    (DASHBOARD, "limit: 500\n", "limit: 500\n    limit: 600\n", "limit is given twice"),
    # Names must refer to something that exists.
    (VIEW, "toFloat64(${exact_kwh})", "toFloat64(${exact})", "measure total_kwh: ${exact} is not a field of view"),
    (VIEW, "sql: ${TABLE}.max_kWh", "sql: max_kWh", "max_kWh in 'max(max_kWh)' must be ${TABLE}.max_kWh"),
    (VIEW, "sql: ${TABLE}.max_kWh", "sql: ${TABLE}.max_kWh +", "is not an SQL expression"),
    (VIEW, "sql: ${TABLE}.max_kWh", "sql: (SELECT 1)", "has a subquery"),
    (VIEW, "sql: ${TABLE}.max_kWh", "sql: ${total_kwh}", "${total_kwh} is a measure of type number"),
    (VIEW, "toFloat64(${exact_kwh})", "${average_kwh_per_hour}", "refers to itself through"),
    (VIEW, "measure: peak_kwh", "measure: total_kwh", "two fields are named total_kwh"),
    (VIEW, "measure: peak_kwh", "measure: max_kWh", "the name 'max_kWh' must begin with a-z"),
    (VIEW, "dimension: metadata_known", "dimension: has_metadata", "has the name of the column has_metadata"),
    (VIEW, "customer_id, devices", "customer_id, meters", "drill_fields names meters, which is not a field"),
    (VIEW, "power_usage.time_zone._in_query", "power_usage.zone._in_query", "power_usage.zone, which is not a field"),
    (VIEW, "@{database}.l4_power_agg", "iot.l4_power_agg", "sql_table_name is 'iot.l4_power_agg_hourly_store'"),
    (
        METERS,
        "device_current_versions",
        "device_metadata FINAL",
        "sql_table_name is '@{database}.device_metadata FINAL'",
    ),
    (MODEL, "persist_with: new_hour", "persist_with: hourly", "persist_with is hourly, which is not a datagroup"),
    (MODEL, "explore: device_metadata", "explore: meters", "explore meters: there is no view meters"),
    (MODEL, "@{connection}", "@{warehouse}", "@{warehouse} is not a constant"),
    (MODEL, '"/dashboards/*', '"/boards/*', "include '/boards/*.dashboard.lookml' matches no file"),
    (
        MODEL,
        'include: "/dashboards/*.dashboard.lookml"',
        "",
        "power_overview.dashboard.lookml is not included",
    ),
    (DASHBOARD, "power_usage.peak_kwh", "power_usage.peak", "tile peak: power_usage.peak is not a field"),
    (DASHBOARD, "model: iot_platform", "model: iot", "model is iot; supported: iot_platform"),
    (DASHBOARD, "      period: power", "      span: power", "tile total: listens to span, which is not a filter"),
    (DASHBOARD, "name: meters", "name: total", "a name is given twice"),
    (DASHBOARD, "    limit: 10\n", "", "tile top_devices: limit is missing"),
    (DASHBOARD, "limit: 5000", "limit: 50000", "limit must be 1 to 5000"),
    (DASHBOARD, "width: 6", "width: 30", "must lie within 24 columns"),
    (DASHBOARD, "'Yes'", "yes", "filters of power_usage.local_day_is_complete must be a string"),
    (DASHBOARD, "power_usage.time_hour: 24", "power_usage.meter_id: 24", "and also listens to device for it"),
]


@pytest.mark.parametrize(("file", "old", "new", "message"), MUTATIONS)
def test_what_is_unsupported_or_unknown_is_refused(copy: Path, file: str, old: str, new: str, message: str) -> None:
    change(copy, file, old, new)
    with pytest.raises(LookmlError) as error:
        load_project(copy)
    assert message in str(error.value)
    assert file in str(error.value)


def nodes(value: object) -> Iterator[tuple[Any, Any]]:
    """Every node of a YAML document: its container, and its key or index there."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from nodes(value[key])


@pytest.mark.parametrize("other", [None, 7, True, "x", ["x"], {"x": "y"}, 2026.5], ids=repr)
def test_a_dashboard_of_another_shape_is_refused_and_never_a_crash(other: object, tmp_path: Path) -> None:
    text = (Settings().looker_dir / DASHBOARD).read_text(encoding="utf-8")
    file = tmp_path / "x.dashboard.lookml"
    known = {field for explore in PROJECT.explores.values() for field in explore.view.fields}

    def check(explore: str, field: str, where: str) -> None:
        if explore not in PROJECT.explores or field not in known:
            raise LookmlError(f"{where}: {field}")

    document = yaml.safe_load(text)
    # One filter and one tile, to be quick.
    (tile,) = (each for each in document[0]["elements"] if each["name"] == "map")
    tile["listen"] = {"period": "power_usage.time_date"}
    document[0].update(filters=document[0]["filters"][:1], elements=[tile])
    refused = 0
    for container, key in list(nodes(document)):
        container[key], kept = other, container[key]
        file.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML, and quick to write
        try:
            read_dashboards(file, DASHBOARD, "iot_platform", check)
        except LookmlError:
            refused += 1
        container[key] = kept
    assert refused > 20


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            Query("usage", ("power_usage.total_kwh",)),
            "There is no explore 'usage'. Known: power_usage, device_metadata",
        ),
        (Query("power_usage", ("power_usage.kwh",)), "'power_usage.kwh' is not a field of explore power_usage"),
        (Query("power_usage", ()), "A query needs at least one field"),
        (Query("power_usage", ("power_usage.devices", "power_usage.devices")), "each field once"),
        (Query("power_usage", ("power_usage.devices",), limit=MAX_LIMIT + 1), "must be from 1 to 5,000, not 5,001"),
        (Query("power_usage", ("power_usage.devices",), {"power_usage.x": "1"}), "'power_usage.x' is not a field"),
        (Query("power_usage", ("power_usage.devices",), sorts=("power_usage.place",)), "must be one of the fields"),
        (Query("power_usage", ("power_usage.devices",), sorts=("power_usage.devices up",)), "with asc or desc"),
        (Query("power_usage", ("power_usage.devices",), pivots=("power_usage.devices",)), "must be a dimension"),
        (Query("power_usage", ("power_usage.place",), pivots=("power_usage.place",)), "needs a measure"),
    ],
)
def test_a_query_with_unknown_names_is_refused(query: Query, message: str) -> None:
    with pytest.raises(LookmlError) as error:
        compile_query(PROJECT, query, "iot")
    assert message in str(error.value)


@pytest.mark.parametrize("hour", range(24))
def test_a_filter_that_does_not_fit_names_its_field_at_any_time_of_the_day(hour: int) -> None:
    now = dt.datetime(2026, 11, 24, hour, 59, 7, tzinfo=dt.UTC)
    query = Query("power_usage", ("power_usage.total_kwh",), {"power_usage.time_date": "24 hours"})
    with pytest.raises(FilterError, match="power_usage.time_date: The time filter '24 hours' is finer than the day"):
        compile_query(PROJECT, query, "iot", now)
    query = Query("power_usage", ("power_usage.total_kwh",), {"power_usage.time_hour": "60 minutes"})
    with pytest.raises(FilterError, match="'60 minutes' is finer than the hour"):
        compile_query(PROJECT, query, "iot", now)


def test_everything_in_the_project_compiles() -> None:
    compiled = list(checks.compile_all(PROJECT, "iot"))
    assert len(compiled) == len(list(checks.queries(PROJECT))) > 60
    assert not [result for _, _, result in compiled if isinstance(result, checks.Finding)]


@pytest.mark.parametrize("option", [each for f in PROJECT.dashboards["power_overview"].filters for each in f.options])
def test_every_offered_period_compiles(option: str) -> None:
    for tile in PROJECT.dashboards["power_overview"].tiles:
        compile_query(PROJECT, tile.query_with({"period": option}), "iot")


@pytest.mark.parametrize(
    ("fields", "table"),
    [
        (("total_kwh",), "l4_power_by_building_type_hourly"),
        (("time_hour", "local_time_date", "building_type", "total_kwh"), "l4_power_by_building_type_hourly"),
        (("devices",), "l4_power_by_device_daily"),
        (("time_month", "customer_id", "average_kwh_per_reading"), "l4_power_by_device_daily"),
        (("time_hour", "customer_id", "total_kwh"), "l4_power_agg_hourly_store"),
        (("device_id", "average_kwh_per_hour"), "l4_power_agg_hourly_store"),
        (("time_zone", "total_kwh"), "l4_power_by_building_type_hourly"),
        (("local_time_hour_of_day", "average_kwh_per_local_hour"), "l4_power_by_building_type_hourly"),
        (("device_id", "average_kwh_per_local_hour"), "l4_power_agg_hourly_store"),
        (("customer_id", "time_zone", "total_kwh"), "l4_power_agg_hourly_store"),
    ],
)
def test_the_smallest_table_with_all_fields_is_read(fields: tuple[str, ...], table: str) -> None:
    names = tuple(f"power_usage.{field}" for field in fields)
    assert compile_query(PROJECT, Query("power_usage", names), "iot").table == table
    filtered = Query("power_usage", ("power_usage.total_kwh",), dict.fromkeys(names[:-1], "1"))
    filters = {name: _fitting(name) for name in filtered.filters}
    if names[-1] == "power_usage.total_kwh":
        assert compile_query(PROJECT, Query("power_usage", ("power_usage.total_kwh",), filters), "iot").table == table


def _fitting(name: str) -> str:
    return "2026/01/05" if "time_date" in name or "time_hour" in name or "time_month" in name else "x"


def test_names_of_a_result_are_unique_and_say_what_they_are() -> None:
    query = Query(
        "power_usage",
        ("power_usage.place", "power_usage.building_type", "power_usage.total_kwh"),
        pivots=("power_usage.building_type",),
    )
    columns = compile_query(PROJECT, query, "iot").columns
    assert [(each.name, each.part, each.kind, each.is_pivot, each.is_measure) for each in columns] == [
        ("power_usage.place_latitude", "latitude", "location", False, False),
        ("power_usage.place_longitude", "longitude", "location", False, False),
        ("power_usage.building_type", "", "string", True, False),
        ("power_usage.total_kwh", "", "number", False, True),
    ]
    assert columns[3].value_format == '#,##0.0" kWh"'


def test_liquid_picks_the_first_branch_that_holds() -> None:
    template = liquid.parse(
        "{% if v.a._in_query and v.b._in_query %}1{% elsif v.a._in_query %}2{%- else -%}3{% endif %}", "x"
    )
    found = [template.render(frozenset(names)) for names in ({"v.a", "v.b"}, {"v.a"}, {"v.b"}, set())]
    assert found == ["1", "2", "3", "3"]
    assert template.fields() == {"v.a", "v.b"} and template.texts() == {"1", "2", "3"}


def test_the_field_dictionary_is_up_to_date() -> None:
    file = Settings().looker_dir.parent / "docs/field-dictionary.md"
    assert file.read_text(encoding="utf-8") == field_dictionary(PROJECT), "iot-platform lookml dictionary"


def test_each_field_is_one_row_of_the_field_dictionary() -> None:
    lines = field_dictionary(PROJECT).splitlines()
    fields = [field for explore in PROJECT.explores.values() for field in explore.view.fields.values()]
    assert [line.split("`")[1] for line in lines if line.startswith("| `") and line.endswith(" |")] == [
        field.name
        for explore in PROJECT.explores.values()
        for is_measure in (False, True)
        for field in explore.view.fields.values()
        if field.is_measure == is_measure
    ]
    assert len([line for line in lines if line.startswith("|")]) == len(fields) + 2 * 2 * len(PROJECT.explores)
