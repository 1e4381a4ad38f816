"""Read a LookML project from a directory: manifest, model, views, explores and dashboards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lkml

from iot_platform.errors import LookmlError
from iot_platform.looker.dashboard import Dashboard
from iot_platform.looker.dashboard_file import read_dashboards
from iot_platform.looker.fields import View
from iot_platform.looker.lookml_schema import check_parameters, name_of
from iot_platform.looker.timeframes import WEEK_START_DAY
from iot_platform.looker.views import make_view
from iot_platform.settings import Settings

# The explore of the power usage, which has a view of the same name, and the dashboard over it.
EXPLORE, DASHBOARD = "power_usage", "power_overview"


@dataclass(frozen=True)
class Explore:
    """The fields that one query can use: those of the view with the same name. ``file``: relative to the project."""

    name: str
    label: str
    description: str
    view: View
    file: str


@dataclass(frozen=True)
class Project:
    """A valid project. ``datagroups``: name -> SQL whose result changes when there is new data."""

    directory: Path
    model: str
    datagroups: Mapping[str, str]
    views: Mapping[str, View]
    explores: Mapping[str, Explore]
    dashboards: Mapping[str, Dashboard]


def load_project(path: Path | None = None) -> Project:
    """Read and check a LookML project, the SQL of its fields included; see ``read_project``."""
    # Imported here: it imports an SQL parser, which takes long.
    from iot_platform.looker.sql_expressions import check_expressions

    project = read_project(path)
    for view in project.views.values():
        check_expressions(view)
    return project


def read_project(path: Path | None = None) -> Project:
    """Read a LookML project and check it, except for the syntax of the SQL in its fields.

    ``path``: its directory; default: the one that comes with the platform. Raises LookmlError naming the file, the
    object, and what is unknown or wrong in it.
    """
    directory = path or Settings().looker_dir
    (manifest_file,) = _files(directory, "manifest.lkml")
    (model_file,) = _files(directory, "models/*.model.lkml")
    manifest = _read(manifest_file, "manifest", directory)
    constants = set()
    for constant in manifest.get("constants", []):
        check_parameters("constant", constant, "manifest.lkml")
        constants.add(name_of(constant, "manifest.lkml"))
    where = str(model_file.relative_to(directory))
    model = _read(model_file, "model", directory)
    if model.get("week_start_day") != WEEK_START_DAY:
        raise LookmlError(f"{where}: week_start_day must be {WEEK_START_DAY}.")
    connection = str(model.get("connection", ""))
    if connection.startswith("@{") and connection.endswith("}") and connection[2:-1] not in constants:
        raise LookmlError(f"{where}: {connection} is not a constant of manifest.lkml.")
    included = _included(model, directory, where)
    views = _views([file for file in included if file.name.endswith(".view.lkml")], directory)
    datagroups = _datagroups(model, where)
    if model.get("persist_with") not in datagroups:
        raise LookmlError(f"{where}: persist_with is {model.get('persist_with')}, which is not a datagroup.")
    explores = _explores(model, views, where)
    name = model_file.name.removesuffix(".model.lkml")
    dashboards: dict[str, Dashboard] = {}
    for file in (file for file in included if file.name.endswith(".dashboard.lookml")):
        for dashboard in read_dashboards(file, str(file.relative_to(directory)), name, _field_finder(explores)):
            if dashboard.name in dashboards:
                raise LookmlError(f"{dashboard.where}: another dashboard is named {dashboard.name}.")
            dashboards[dashboard.name] = dashboard
    return Project(
        directory=directory,
        model=name,
        datagroups=datagroups,
        views=views,
        explores=explores,
        dashboards=dashboards,
    )


def _files(directory: Path, pattern: str) -> list[Path]:
    files = sorted(directory.glob(pattern))
    if len(files) != 1:
        raise LookmlError(f"{directory} must have one {pattern}; it has {len(files)}.")
    return files


def _read(file: Path, kind: str, directory: Path) -> dict[str, Any]:
    where = str(file.relative_to(directory))
    try:
        raw: dict[str, Any] = lkml.load(file.read_text(encoding="utf-8"))
    except (SyntaxError, KeyError) as error:  # lkml raises KeyError for a parameter that is given twice
        raise LookmlError(f"{where}: cannot be read as LookML: {error.args[0]}") from error
    if kind != "views":
        check_parameters(kind, raw, where)
    elif raw.keys() != {"views"}:
        raise LookmlError(f"{where}: has {', '.join(sorted(raw)) or 'nothing'}; a view file has only views.")
    return raw


def _included(model: Mapping[str, Any], directory: Path, where: str) -> list[Path]:
    included: set[Path] = set()
    for pattern in model.get("includes", []):
        found = set(directory.glob(pattern.removeprefix("/")))
        if not found:
            raise LookmlError(f"{where}: include {pattern!r} matches no file.")
        included |= found
    present = {file for suffix in ("*.view.lkml", "*.dashboard.lookml") for file in directory.rglob(suffix)}
    for file in sorted(present - included):
        raise LookmlError(f"{where}: {file.relative_to(directory)} is not included.")
    for file in sorted(included - present):
        raise LookmlError(f"{where}: {file.relative_to(directory)} is included, but is neither a view nor a dashboard.")
    return sorted(included)


def _views(files: list[Path], directory: Path) -> dict[str, View]:
    views: dict[str, View] = {}
    for file in files:
        for raw in _read(file, "views", directory)["views"]:
            view = make_view(raw, str(file.relative_to(directory)))
            if view.name in views:
                raise LookmlError(f"{view.where}: another view is named {view.name}.")
            views[view.name] = view
    return views


def _datagroups(model: Mapping[str, Any], where: str) -> dict[str, str]:
    datagroups = {}
    for raw in model.get("datagroups", []):
        check_parameters("datagroup", raw, where)
        datagroups[name_of(raw, where)] = str(raw.get("sql_trigger", "")).strip()
    return datagroups


def _explores(model: Mapping[str, Any], views: Mapping[str, View], where: str) -> dict[str, Explore]:
    explores = {}
    for raw in model.get("explores", []):
        name = name_of(raw, where)
        check_parameters("explore", raw, f"{where}, explore {name}")
        if name not in views:
            raise LookmlError(f"{where}, explore {name}: there is no view {name}.")
        label, description = str(raw.get("label", name)), str(raw.get("description", ""))
        explores[name] = Explore(name, label, description, views[name], where)
    return explores


def _field_finder(explores: Mapping[str, Explore]) -> Callable[[str, str, str], None]:
    def check(explore: str, field: str, where: str) -> None:
        if explore not in explores:
            raise LookmlError(f"{where}: there is no explore {explore}.")
        if field not in explores[explore].view.fields:
            raise LookmlError(f"{where}: {field} is not a field of explore {explore}.")

    return check
