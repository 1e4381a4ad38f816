"""The code location: it loads without a connection, and its assets, jobs and checks are described."""

import datetime as dt
import re
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from iot_platform.definitions import defs
from iot_platform.defs import table_entries
from iot_platform.defs.layers.chart import usage_chart
from iot_platform.defs.layers.rules import RULES
from iot_platform.defs.platform_asset import code_version
from iot_platform.defs.readings.windows import MAX_WINDOW, Window, day_of_window, day_window, next_window
from iot_platform.services.partition_tags import DAYS_PER_RUN
from iot_platform.settings import Settings

ROOT = Path(__file__).parents[2]
LINEAGE = {
    "l1_power_raw": set(),
    "l2_power_cleaned": {"l1_power_raw"},
    "power_quarantine": {"l1_power_raw"},
    "device_metadata": set(),
    "l3_power_joined": {"l2_power_cleaned", "device_metadata"},
    "l4_power_agg_hourly": {"l3_power_joined"},
    "l4_power_by_building_type_hourly": {"l4_power_agg_hourly"},
    "l4_power_by_device_daily": {"l4_power_agg_hourly"},
}

GROUPS = {
    "l1_power_raw": "l1_raw",
    "l2_power_cleaned": "l2_cleaned",
    "power_quarantine": "l2_cleaned",
    "device_metadata": "metadata",
    "l3_power_joined": "l3_joined",
    "l4_power_agg_hourly": "l4_marts",
    "l4_power_by_building_type_hourly": "l4_marts",
    "l4_power_by_device_daily": "l4_marts",
}


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


LOOKER_LINEAGE = {
    "looker/view/power_usage": {
        "l4_power_agg_hourly",
        "l4_power_by_building_type_hourly",
        "l4_power_by_device_daily",
    },
    "looker/view/device_metadata": {"device_metadata"},
    "looker/explore/power_usage": {"looker/view/power_usage"},
    "looker/explore/device_metadata": {"looker/view/device_metadata"},
    "looker/dashboard/power_overview": {"looker/explore/power_usage"},
}


def test_lineage() -> None:
    parents = {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in specs().items()}
    assert parents == LINEAGE | LOOKER_LINEAGE, "A new asset belongs in LINEAGE and GROUPS of this file."


@pytest.mark.parametrize("name", LOOKER_LINEAGE)
def test_looker_assets_describe_themselves_and_link_to_their_files(name: str) -> None:
    spec = specs()[name]
    assert spec.group_name == "looker" and "looker" in spec.kinds and spec.owners == ["team:data-platform"]
    assert spec.description and "iot-platform lookml" in spec.description
    [reference] = spec.metadata["dagster/code_references"].code_references
    assert Path(reference.file_path).is_file()
    assert ("preview" in spec.metadata) == name.startswith("looker/dashboard")


@pytest.mark.parametrize("name", LINEAGE)
def test_each_asset_has_an_owner_a_description_and_a_remedy(name: str) -> None:
    spec = specs()[name]
    assert spec.description and "If it fails" in spec.description and "Materializing" in spec.description
    assert spec.owners == ["team:data-platform"]
    assert "clickhouse" in spec.kinds
    assert spec.group_name == GROUPS[name]
    assert isinstance(spec.freshness_policy, dg.FreshnessPolicy)
    references = spec.metadata["dagster/code_references"].code_references
    files = [Path(reference.file_path) for reference in references]
    assert {file.suffix for file in files} == {".sql", ".py"} and all(file.is_file() for file in files)
    assert spec.tags["layer"]
    assert spec.code_version
    assert spec.metadata["dagster/table_name"] == f"iot.{name}"
    if name == "device_metadata":
        assert spec.partitions_def is None
    else:
        assert isinstance(spec.partitions_def, dg.DailyPartitionsDefinition)


def test_private_modules_of_dagster_are_imported_in_one_place() -> None:
    files = (ROOT / "iot_platform" / "defs").rglob("*.py")
    private = {file.name for file in files if re.search(r"(from|import) dagster(\._|_shared)", file.read_text())}
    assert private == {"dagster_internals.py"}


def test_partitions_are_utc_days_up_to_today() -> None:
    partitions = specs()["l1_power_raw"].partitions_def
    assert isinstance(partitions, dg.DailyPartitionsDefinition)
    now = dt.datetime(2026, 3, 4, 0, 0, 1, tzinfo=dt.UTC)
    keys = partitions.get_partition_keys(current_time=now)
    assert (keys[0], keys[-1], len(keys)) == ("2026-01-01", "2026-03-04", 63)


def test_backfills_are_split_into_runs() -> None:
    policies = {
        spec.key.to_user_string(): node.backfill_policy
        for spec in specs().values()
        if spec.partitions_def
        for node in [defs.resolve_asset_graph().get(spec.key)]
    }
    assert policies.keys() == LINEAGE.keys() - {"device_metadata"}
    assert {policy.max_partitions_per_run for policy in policies.values() if policy} == {DAYS_PER_RUN}


def test_which_checks_block_the_next_layer() -> None:
    graph = defs.resolve_asset_graph()
    blocking = {key.name: graph.get(key).blocking for key in graph.asset_check_keys}
    expected = {
        "every_reading_is_within_limits",
        "no_reading_is_null_or_nan",
        "every_reading_has_metadata",
        "l4_equals_l3",
    }
    found = {name for name, blocks in blocking.items() if blocks}
    assert found == expected, "A new blocking check belongs in the list of this test."
    assert {rule.name for rule in RULES} <= blocking.keys()


def test_jobs_cover_the_usual_selections() -> None:
    layers = set(LINEAGE) - {"l1_power_raw", "device_metadata"}
    selections = {
        "ingestion_job": {"l1_power_raw"},
        "prove_job": layers,
        "all_layers_job": layers | {"l1_power_raw"},
        "refresh_metadata_job": {"device_metadata"},
    }
    for name, selected in selections.items():
        keys = defs.resolve_job_def(name).asset_layer.selected_asset_keys
        assert {key.to_user_string() for key in keys} == selected


@pytest.mark.parametrize(("enabled", "status"), [("true", "RUNNING"), ("false", "STOPPED")])
def test_one_setting_switches_the_automation_on(enabled: str, status: str) -> None:
    script = (
        "from iot_platform.definitions import defs;"
        "others = ('alerts_sensor', 'day_status_sensor');"
        "print({x.default_status.value for x in [*defs.sensors, *defs.schedules] if x.name not in others})"
    )
    # Nothing answers on this port: loading must not try.
    environment = {"IOT_AUTOMATION_ENABLED": enabled, "IOT_CLICKHOUSE_URL": "http://nobody:x@127.0.0.1:9", "PATH": ""}
    found = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", script],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == f"{{'{status}'}}"
    assert "Warning" not in found.stderr


@pytest.mark.parametrize(("url", "status"), [("https://hooks.example/services/x", "RUNNING"), ("", "STOPPED")])
def test_a_configured_channel_switches_the_alerts_on(url: str, status: str) -> None:
    script = "from iot_platform.defs.alerts.sensor import alerts_sensor; print(alerts_sensor.default_status.value)"
    environment = {"IOT_ALERT_WEBHOOK_URL": url, "PATH": ""}
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == status


def test_workspace_names_the_code_location() -> None:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert workspace["load_from"][0]["python_module"] == {
        "module_name": "iot_platform.definitions",
        "location_name": "iot_platform",
    }


def test_code_version_follows_the_text_of_the_definition() -> None:
    assert code_version("l2_power_cleaned") != code_version("l2_power_cleaned", "mv_l1_to_l2")
    with pytest.raises(KeyError):
        code_version("no_such_table")


def test_code_version_follows_later_migrations_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "sql", tmp_path / "1")
    shutil.copytree(ROOT / "sql", tmp_path / "2")
    shutil.copy(ROOT / "docs" / "examples" / "900_voltage.sql", tmp_path / "2")
    names = ["l1_power_raw", "l2_power_cleaned", "mv_l1_to_l2", "mv_l3_to_l4_hourly", "l4_power_agg_hourly"]
    versions = []
    for directory in (ROOT / "sql", tmp_path / "1", tmp_path / "2"):
        monkeypatch.setattr(Settings, "sql_dir", directory)
        versions.append({name: code_version(name) for name in [*names, "device_metadata"]})
    assert versions[0] == versions[1]
    assert {name for name, version in versions[2].items() if version != versions[0][name]} == set(names)


def test_markdown_table() -> None:
    time = dt.datetime(2026, 1, 2, 3, 4, 5)
    table = table_entries.markdown_table(["a", "b"], [[1, "x|y"], [2.5, None], [float("nan"), time]])
    assert table.splitlines() == [
        "| a | b |",
        "|---:|---|",
        "| 1 | x&#124;y |",
        "| 2.5 | NULL |",
        "| nan | 2026-01-02 03:04:05 |",
    ]


def test_chart_adds_up_the_small_building_types() -> None:
    curves = {f"type_{number}": [float(number)] * 24 for number in range(9)}
    text = usage_chart(dt.date(2026, 1, 3), curves).value
    assert text and text.startswith("![Energy per hour on 2026-01-03](data:image/png;base64,")
    assert len(text) < 100_000


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]


def test_the_arrival_at_midnight_belongs_to_the_day_before() -> None:
    assert day_of_window(utc(2026, 1, 2, 0, 0, 0)) == dt.date(2026, 1, 1)
    assert day_of_window(utc(2026, 1, 2, 0, 0, 1)) == dt.date(2026, 1, 2)
    start, end = day_window(dt.date(2026, 1, 1), dt.date(2026, 1, 2), utc(2026, 2, 1))
    assert (start, end) == (utc(2026, 1, 1), utc(2026, 1, 3, 0, 0, 1))
    assert day_window(dt.date(2026, 1, 1), dt.date(2026, 1, 1), utc(2026, 1, 1, 5))[1] == utc(2026, 1, 1, 5)


def test_windows_follow_each_other_stop_at_midnight_and_are_bounded() -> None:
    start, now = utc(2026, 1, 1, 22, 0, 1), utc(2026, 1, 9)
    windows: list[Window] = []
    while window := next_window(start, now, 60):
        windows.append(window)
        start = window[1]
    assert windows[0] == (utc(2026, 1, 1, 22, 0, 1), utc(2026, 1, 2, 0, 0, 1))
    assert len(windows) == 8 and start == utc(2026, 1, 8, 23, 59, 1)
    for (_, end), (begin, _) in zip(windows, windows[1:], strict=False):
        assert end == begin
    assert all(end - begin <= MAX_WINDOW for begin, end in windows)
    assert all(day_of_window(begin) == day_of_window(end - dt.timedelta(seconds=1)) for begin, end in windows)


def test_a_window_ends_with_the_newest_reading_and_there_is_none_without() -> None:
    start = utc(2026, 1, 1, 12, 0, 1)
    assert next_window(start, utc(2026, 1, 1, 12, 0, 59), 60) is None
    assert next_window(start, utc(2026, 1, 1, 12, 1, 30), 60) == (start, utc(2026, 1, 1, 12, 1, 1))
    assert next_window(start, utc(2026, 1, 1, 11), 60) is None


def test_a_window_waits_until_it_is_long_enough() -> None:
    start = utc(2026, 1, 1, 23, 58, 1)
    assert next_window(start, utc(2026, 1, 2, 0, 2, 59), 60, 300) is None
    # What has arrived until now counts, also where midnight cuts the window.
    assert next_window(start, utc(2026, 1, 2, 0, 3, 1), 60, 300) == (start, utc(2026, 1, 2, 0, 0, 1))
