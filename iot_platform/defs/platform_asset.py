"""What all assets have in common: owner, code version, links to code, table and guide."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from iot_platform.defs import table_metadata as tables
from iot_platform.defs.resources import POOL
from iot_platform.settings import PACKAGE_DIR, Settings

GUIDE = "operators-guide.md"


def platform_asset(
    name: str,
    *,
    group: str,
    layer: str,
    kinds: set[str],
    made_by: Sequence[str],
    late_h: int,
    stale_h: int,
    **options: Any,
) -> Callable[[Callable[..., None]], dg.AssetsDefinition]:
    """``dg.asset`` for a table of the platform. ``made_by``: the tables and views in sql/ that define it.

    Its freshness policy warns after ``late_h`` hours without a materialization, and fails after ``stale_h`` hours.
    ``options``: further arguments of ``dg.asset``.
    """
    settings = Settings()
    decorator: Callable[[Callable[..., None]], dg.AssetsDefinition] = dg.asset(
        name=name,
        group_name=group,
        kinds=kinds,
        owners=[settings.owner],
        tags={"layer": layer},
        code_version=tables.code_version(*made_by),
        pool=POOL,
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=dt.timedelta(hours=stale_h), warn_window=dt.timedelta(hours=late_h)
        ),
        metadata={
            "dagster/table_name": tables.table_name(name),
            "dagster/code_references": _sql_files(made_by),
            "guide": _guide(name),
        },
        **options,
    )
    return decorator


def _sql_files(made_by: Sequence[str]) -> dg.CodeReferencesMetadataValue:
    """The migrations that create or change the tables and views. (Dagster adds the Python file.)"""
    directory = Settings().sql_dir
    files = [
        file
        for file, statements in tables.statements_by_file(directory).items()
        if any(tables.subject(statement) in made_by for statement in statements)
    ]
    return dg.CodeReferencesMetadataValue(
        code_references=[
            dg.LocalFileCodeReference(file_path=str(directory / file), line_number=1, label=f"sql/{file}")
            for file in files
        ]
    )


def _guide(name: str) -> dg.MetadataValue:
    """The section of the operator's guide about the asset: under IOT_DOCS_URL, else the file of the checkout."""
    url = Settings().docs_url
    if url:
        return dg.MetadataValue.url(f"{url.rstrip('/')}/{GUIDE}#{name}")
    return dg.MetadataValue.path(str(Path(PACKAGE_DIR.parent, "docs", GUIDE)))
