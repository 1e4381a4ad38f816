"""The LookML project as assets behind the marts. They are Looker's: Dagster shows and checks them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_looker import DagsterLookerLkmlTranslator, build_looker_asset_specs

from iot_platform.layers.catalog import DERIVED_LAYERS
from iot_platform.looker.project import Project, load_project
from iot_platform.settings import Settings

DASHBOARD = dg.AssetKey(["looker", "dashboard", "power_overview"])
EXPLORE = dg.AssetKey(["looker", "explore", "power_usage"])
VIEW = dg.AssetKey(["looker", "view", "power_usage"])

# Tables of ClickHouse that a view reads, by the asset that they belong to.
_ASSETS = {layer.table: layer.name for layer in DERIVED_LAYERS} | {"device_current_versions": "device_metadata"}

_PREVIEW = """

**Preview:** `iot-platform dashboard` shows it without Looker. **When a check of it is red:** `iot-platform lookml
check` says the same on the command line; the files are in `looker/`.
"""

Structure = tuple[Path, Any, Mapping[str, Any]]


class Translator(DagsterLookerLkmlTranslator):
    """Names and describes the assets; the tables of a view, which Liquid picks, are told by our compiler."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._settings = Settings()

    def get_asset_spec(self, lookml_structure: Structure) -> dg.AssetSpec:
        """The asset of a dashboard, an explore or a view."""
        path, kind, raw = lookml_structure
        # A tile of a dashboard stands for its explore.
        name = str(raw.get(kind) or raw["name"])
        key = dg.AssetKey(["looker", kind, name])
        return dg.AssetSpec(
            key,
            deps=self._deps(kind, name),
            group_name="looker",
            kinds={"looker", kind},
            owners=[self._settings.owner],
            tags={"layer": "looker"},
            description=self._description(kind, name),
            metadata=self._metadata(path, kind, name),
        )

    def _deps(self, kind: str, name: str) -> list[dg.AssetKey]:
        if kind == "view":
            return sorted(dg.AssetKey(_ASSETS[table]) for table in self._project.views[name].tables())
        if kind == "explore":
            return [dg.AssetKey(["looker", "view", self._project.explores[name].view.name])]
        tiles = self._project.dashboards[name].tiles
        return [
            dg.AssetKey(["looker", "explore", explore]) for explore in sorted({tile.query.explore for tile in tiles})
        ]

    def _description(self, kind: str, name: str) -> str:
        if kind == "dashboard":
            dashboard = self._project.dashboards[name]
            tiles = "\n".join(f"- {tile.title}" for tile in dashboard.tiles)
            return f"{dashboard.title}: the dashboard in Looker. Its tiles:\n\n{tiles}{_PREVIEW}"
        if kind == "explore":
            return f"{self._project.explores[name].description}{_PREVIEW}"
        view = self._project.views[name]
        tables = ", ".join(f"`{table}`" for table in sorted(view.tables()))
        return f"{view.label}: the fields of LookML over {tables}; docs/field-dictionary.md lists them.{_PREVIEW}"

    def _metadata(self, path: Path, kind: str, name: str) -> Mapping[str, Any]:
        file = f"looker/{path.relative_to(self._project.directory)}"
        code = dg.LocalFileCodeReference(file_path=str(path), line_number=1, label=file)
        metadata: dict[str, Any] = {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[code])}
        if kind == "dashboard":
            metadata["preview"] = dg.MetadataValue.url(f"{self._settings.dashboard_url.rstrip('/')}/")
        return metadata


def looker_assets() -> list[dg.AssetSpec]:
    """The specs of all dashboards, explores and views. Raises LookmlError when the project is not understood."""
    project = load_project()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        specs = build_looker_asset_specs(project_dir=project.directory, dagster_looker_translator=Translator(project))
    return list(specs)
