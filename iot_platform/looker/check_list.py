"""The checks of the LookML: Dagster runs each as an asset check, ``iot-platform lookml check --run`` all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.looker import checks
from iot_platform.looker.project import DASHBOARD, EXPLORE, Project


@dataclass(frozen=True)
class Check:
    """A check. ``subject``: kind and name of what it checks. ``description``: what must hold.

    ``remediation``: what to do when ``find`` finds anything.
    """

    name: str
    subject: tuple[str, str]
    find: Callable[[Client, Project], list[checks.Finding]]
    description: str
    remediation: str


CHECKS = (
    Check(
        "columns_agree",
        ("view", EXPLORE),
        checks.find_column_problems,
        "Each column of the marts has a field, and each field's columns exist.",
        "Add the missing field to looker/views, or correct the field that it names.",
    ),
    Check(
        "every_field_and_tile_runs",
        ("explore", EXPLORE),
        checks.find_failing_queries,
        "Every field and every tile compiles and runs on ClickHouse.",
        "Correct the LookML that it names (looker/), or the migration that removed a column.",
    ),
    Check(
        "no_tile_is_cut",
        ("dashboard", DASHBOARD),
        checks.find_cut_tiles,
        "No tile has more rows than its limit.",
        "The tile shows only a part of its rows. Group by coarser times or places in the dashboard's LookML; Looker "
        "allows 5,000 rows at most.",
    ),
    Check(
        "totals_agree",
        ("explore", EXPLORE),
        checks.find_differing_totals,
        "Energy and readings are the same under every grouping, whichever mart the query reads.",
        "A mart differs from the others: materialize the L4 marts of the affected days (`iot-platform prove`).",
    ),
)
