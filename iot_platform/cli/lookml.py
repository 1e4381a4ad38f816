"""``iot-platform lookml``: check the LookML, show its SQL, write the field dictionary."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from iot_platform.cli.output import echo_json, say, show_table
from iot_platform.clickhouse.session import migrated_session
from iot_platform.errors import LookmlError
from iot_platform.looker import checks
from iot_platform.looker.check_list import CHECKS
from iot_platform.looker.compiler import compile_query
from iot_platform.looker.dictionary import field_dictionary
from iot_platform.looker.project import Project, load_project
from iot_platform.looker.query import Query
from iot_platform.settings import Settings


@click.group()
def lookml() -> None:
    """Check the LookML project, show its SQL, or write its field dictionary."""


@lookml.command()
@click.option(
    "--clickhouse/--no-clickhouse",
    default=True,
    help="Also check on ClickHouse: EXPLAIN, compare columns.",
)
@click.option("--run", is_flag=True, help="Run each query instead of EXPLAIN, and check row limits and totals.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one line of JSON.")
def check(clickhouse: bool, run: bool, as_json: bool) -> None:
    """Check that each field and each tile compiles to SQL that ClickHouse accepts.

    Exit code 0: no findings; 1: at least one.
    """
    project = load_project()
    if clickhouse or run:
        findings = _findings_on_clickhouse(project, run)
    else:
        compiled = checks.compile_all(project, Settings().clickhouse_database)
        findings = [result for _, _, result in compiled if isinstance(result, checks.Finding)]
    counted = len(list(checks.queries(project)))
    if as_json:
        echo_json({"checked": counted, "findings": [asdict(finding) for finding in findings]})
    elif findings:
        show_table(("name", "problem", "where"), [(each.name, each.what, each.where) for each in findings])
    else:
        say(f"{counted} fields and tiles checked: no findings.")
    if findings:
        sys.exit(1)


@lookml.command()
@click.argument("tile", required=False)
@click.option("--field", "fields", multiple=True, metavar="VIEW.FIELD", help="Query these fields instead of a tile.")
@click.option(
    "--filter",
    "filters",
    type=(str, str),
    multiple=True,
    metavar="NAME EXPRESSION",
    help="A field, or with a tile a dashboard filter, and a filter expression.",
)
def sql(tile: str | None, fields: tuple[str, ...], filters: tuple[tuple[str, str], ...]) -> None:
    """Show the SQL of a TILE, or of a query of some fields."""
    project = load_project()
    if (tile is None) == (not fields):
        raise click.UsageError("Give either a TILE or --field VIEW.FIELD.")
    query = (
        _tile_query(project, tile, dict(filters)) if tile else Query(fields[0].partition(".")[0], fields, dict(filters))
    )
    say(compile_query(project, query, Settings().clickhouse_database).pretty)


@lookml.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="docs/field-dictionary.md",
    show_default=True,
    help="File to write.",
)
def dictionary(output: Path) -> None:
    """Write the field dictionary."""
    output.write_text(field_dictionary(load_project()), encoding="utf-8")
    say(f"Wrote {output}.")


def _findings_on_clickhouse(project: Project, run: bool) -> list[checks.Finding]:
    with migrated_session(Settings()) as client:
        if run:
            return [finding for each in CHECKS for finding in each.find(client, project)]
        findings = checks.find_column_problems(client, project)
        return findings + checks.find_failing_queries(client, project, explain=True)


def _tile_query(project: Project, name: str, filters: Mapping[str, str]) -> Query:
    for dashboard in project.dashboards.values():
        for tile in dashboard.tiles:
            if tile.name == name:
                by_name = {each: value for each, value in filters.items() if "." not in each}
                unknown = by_name.keys() - dashboard.defaults().keys()
                if unknown:
                    raise LookmlError(f"{dashboard.name} has no filter {', '.join(sorted(unknown))}.")
                fields = {each: value for each, value in filters.items() if "." in each}
                return tile.query_with({**dashboard.defaults(), **by_name}).filtered(fields)
    names = [tile.name for dashboard in project.dashboards.values() for tile in dashboard.tiles]
    raise LookmlError(f"There is no tile {name!r}. Known: {', '.join(names)}.")
