"""The assets of the LookML project: exactly what Dagster shows of dashboards, explores and views."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from iot_platform.definitions import defs
from iot_platform.defs.looker.assets import looker_assets
from iot_platform.settings import Settings

# Key -> its file in looker/, what it depends on, how its description begins.
SPECS = {
    "looker/dashboard/power_overview": (
        "dashboards/power_overview.dashboard.lookml",
        ["looker/explore/power_usage"],
        "Power overview: the dashboard in Looker. Its tiles:\n\n- Energy\n- Meters\n",
    ),
    "looker/explore/power_usage": (
        "models/iot_platform.model.lkml",
        ["looker/view/power_usage"],
        "Energy used, by hour, meter, customer, building type and place.",
    ),
    "looker/explore/device_metadata": (
        "models/iot_platform.model.lkml",
        ["looker/view/device_metadata"],
        "The current meters: owner and place.",
    ),
    "looker/view/power_usage": (
        "views/power_usage.view.lkml",
        ["l4_power_agg_hourly", "l4_power_by_building_type_hourly", "l4_power_by_device_daily"],
        "Power usage: the fields of LookML over `l4_power_agg_hourly_store`, `l4_power_by_building_type_hourly`, "
        "`l4_power_by_device_daily`; docs/field-dictionary.md lists them.",
    ),
    "looker/view/device_metadata": (
        "views/device_metadata.view.lkml",
        ["device_metadata"],
        "Meters: the fields of LookML over `device_current_versions`; docs/field-dictionary.md lists them.",
    ),
}
CHECKS = {
    "looker/dashboard/power_overview": {"no_tile_is_cut"},
    "looker/explore/power_usage": {"every_field_and_tile_runs", "totals_agree"},
    "looker/view/power_usage": {"columns_agree"},
}


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in looker_assets()}


def test_every_dashboard_explore_and_view_is_an_asset() -> None:
    assert specs().keys() == SPECS.keys()


@pytest.mark.parametrize("name", SPECS)
def test_an_asset_has_its_file_its_sources_and_its_tags(name: str) -> None:
    file, deps, description = SPECS[name]
    spec, (_, kind, _) = specs()[name], name.split("/")
    assert [dep.asset_key.to_user_string() for dep in spec.deps] == deps
    assert spec.description and spec.description.startswith(description)
    assert (spec.group_name, spec.owners) == ("looker", ["team:data-platform"])
    assert spec.kinds == {"looker", kind}
    assert spec.tags == {"dagster/kind/looker": "", f"dagster/kind/{kind}": "", "layer": "looker"}
    metadata = dict(spec.metadata)
    [reference] = metadata.pop("dagster/code_references").code_references
    path = Settings().looker_dir / file
    assert reference == dg.LocalFileCodeReference(file_path=str(path), line_number=1, label=f"looker/{file}")
    assert Path(reference.file_path).is_file()
    preview = {"preview": dg.MetadataValue.url("http://127.0.0.1:3001/")} if kind == "dashboard" else {}
    assert metadata == preview


@pytest.mark.parametrize("name", SPECS)
def test_dagster_shows_an_asset_but_never_runs_it(name: str) -> None:
    node = defs.resolve_asset_graph().get(dg.AssetKey(name.split("/")))
    assert node.is_external and not node.is_materializable
    assert {key.name for key in node.check_keys} == CHECKS.get(name, set())
