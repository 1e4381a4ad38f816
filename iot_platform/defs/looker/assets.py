"""The LookML project as external assets downstream of the marts: Dagster shows and checks them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from iot_platform.layers.catalog import BY_DEVICE_HOURLY, DEVICES, HOURLY_ROWS
from iot_platform.looker.dashboard import Dashboard
from iot_platform.looker.fields import View
from iot_platform.looker.project import Explore, Project, read_project
from iot_platform.settings import Settings

# View of ClickHouse -> the asset it belongs to. A mart has the name of its asset.
_ASSETS = {HOURLY_ROWS: BY_DEVICE_HOURLY.name, "device_current_versions": DEVICES}

_PREVIEW = """

**Preview:** `iot-platform dashboard` shows it without Looker. **When a check of it fails:** `iot-platform lookml
check` reports the same on the command line; the files are in `looker/`.
"""


def looker_assets() -> list[dg.AssetSpec]:
    """The specs of all dashboards, explores and views. Raises LookmlError when the project is invalid."""
    project = read_project()
    return [
        *(_dashboard(project, each) for each in project.dashboards.values()),
        *(_explore(project, each) for each in project.explores.values()),
        *(_view(project, each) for each in project.views.values()),
    ]


def _dashboard(project: Project, dashboard: Dashboard) -> dg.AssetSpec:
    tiles = "\n".join(f"- {tile.title}" for tile in dashboard.tiles)
    return _spec(
        project,
        "dashboard",
        dashboard.name,
        deps=(looker_key("explore", tile.query.explore) for tile in dashboard.tiles),
        description=f"{dashboard.title}: the dashboard in Looker. Its tiles:\n\n{tiles}",
        file=dashboard.file,
        metadata={"preview": dg.MetadataValue.url(f"{Settings().dashboard_url.rstrip('/')}/")},
    )


def _explore(project: Project, explore: Explore) -> dg.AssetSpec:
    return _spec(
        project,
        "explore",
        explore.name,
        deps=[looker_key("view", explore.view.name)],
        description=explore.description,
        file=explore.file,
    )


def _view(project: Project, view: View) -> dg.AssetSpec:
    """The asset of a view. Liquid picks the table of each query, so it depends on all tables that it may pick."""
    tables = sorted(view.tables())
    listed = ", ".join(f"`{table}`" for table in tables)
    return _spec(
        project,
        "view",
        view.name,
        deps=(dg.AssetKey(_ASSETS.get(table, table)) for table in tables),
        description=f"{view.label}: the fields of LookML over {listed}; docs/field-dictionary.md lists them.",
        file=view.file,
    )


def _spec(
    project: Project,
    kind: str,
    name: str,
    *,
    deps: Iterable[dg.AssetKey],
    description: str,
    file: str,
    metadata: Mapping[str, Any] | None = None,
) -> dg.AssetSpec:
    code = dg.LocalFileCodeReference(file_path=str(project.directory / file), line_number=1, label=f"looker/{file}")
    return dg.AssetSpec(
        looker_key(kind, name),
        deps=sorted(set(deps)),
        group_name="looker",
        kinds={"looker", kind},
        owners=[Settings().owner],
        tags={"layer": "looker"},
        description=f"{description}{_PREVIEW}",
        metadata={
            "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[code]),
            **(metadata or {}),
        },
    )


def looker_key(kind: str, name: str) -> dg.AssetKey:
    """The asset of a dashboard, explore or view."""
    return dg.AssetKey(["looker", kind, name])
