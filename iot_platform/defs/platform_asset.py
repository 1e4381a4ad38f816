"""What all assets have in common: owner, code version, links to code, table and guide."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from iot_platform.clickhouse.statements import read_migrations
from iot_platform.defs.resources import POOL
from iot_platform.settings import PACKAGE_DIR, Settings

GUIDE = "operators-guide.md"

_CREATE = re.compile(r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:MATERIALIZED\s+)?\w+\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)", re.I)
_ALTER = re.compile(r"ALTER\s+TABLE\s+(\w+)", re.I)


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
        code_version=code_version(*made_by),
        pool=POOL,
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=dt.timedelta(hours=stale_h), warn_window=dt.timedelta(hours=late_h)
        ),
        metadata={
            "dagster/table_name": f"{settings.clickhouse_database}.{name}",
            "dagster/code_references": _sql_files(made_by),
            "guide": _guide(name),
        },
        **options,
    )
    return decorator


def code_version(*names: str) -> str:
    """A short hash of the statements in sql/ that create or change tables and views."""
    texts = _definitions(Settings().sql_dir)
    return hashlib.sha256("\n".join(texts[name] for name in names).encode()).hexdigest()[:12]


@cache
def _statements_by_file(directory: Path) -> dict[str, list[str]]:
    """The statements of each migration in sql/, by file name."""
    return {migration.name: migration.statements() for migration in read_migrations(directory)}


@cache
def _definitions(directory: Path) -> dict[str, str]:
    """The statements that define each table and view: its last CREATE and the ALTERs after it."""
    found: dict[str, str] = {}
    for statements in _statements_by_file(directory).values():
        for statement in statements:
            name = _subject(statement)
            if _CREATE.match(statement):
                found[name] = statement
            elif name:
                found[name] = f"{found.get(name, '')};\n{statement}"
    return found


def _subject(statement: str) -> str:
    """The table or view that a statement in sql/ creates or changes; empty: none."""
    match = _CREATE.match(statement) or _ALTER.match(statement)
    return match[1] if match else ""


def _sql_files(made_by: Sequence[str]) -> dg.CodeReferencesMetadataValue:
    """The migrations that create or change the tables and views. (Dagster adds the Python file.)"""
    directory = Settings().sql_dir
    files = [
        file
        for file, statements in _statements_by_file(directory).items()
        if any(_subject(statement) in made_by for statement in statements)
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
