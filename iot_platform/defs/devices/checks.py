"""The checks of the metadata: the source is read regularly, and the stored versions follow the contract."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

from collections.abc import Mapping
from typing import TYPE_CHECKING

import dagster as dg

from iot_platform.defs import table_entries
from iot_platform.defs.check_queries import SAMPLE_LINES, as_subquery, read_query
from iot_platform.defs.decoration import decoration
from iot_platform.defs.resources import POOL, ClickHouse
from iot_platform.layers.catalog import DEVICES
from iot_platform.security.escaping import escape_line, markdown_code_block
from iot_platform.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN

# The whole CRM is read only at night, so the last full read may be a day older than the last read.
FULL_READ_EVERY_H = 24
# Only the beginning of a long problem is shown; metadata_refreshes has all of it.
PROBLEM_LENGTH = 2_000

FRESH_REMEDIATION = """
The last good metadata stays in use. Readings of new devices have no metadata until the source can be read again.
`last_problem` says what is wrong: the source cannot be reached, it refuses the token, or a row breaks the contract.
Remove the cause and materialize `device_metadata`. If there was no attempt at all, check that
`refresh_metadata_schedule` and `compare_metadata_schedule` are switched on. `metadata_refreshes` lists every attempt.
"""
CONTRACT_REMEDIATION = """
Correct these rows in the metadata source (with their `valid_from`) and materialize `device_metadata`, which restates
their days. Values that the platform would not have accepted from a source (an empty customer, a latitude of 95) were
written into the table directly: find out by whom.
"""


def _fresh_description() -> str:
    settings = Settings()
    return (
        "The metadata source was read successfully a short time ago, and completely at most a day before that. "
        f"**Warns** after {settings.metadata_warn_h:g} hours, **fails** after {settings.metadata_error_h:g} hours. "
        f"Blocks nothing.\n\n{FRESH_REMEDIATION.strip()}"
    )


@dg.asset_check(asset=DEVICES, pool=POOL, description=_fresh_description())
def metadata_source_is_fresh(context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse) -> dg.AssetCheckResult:
    """The age of the metadata, from the record of refresh attempts. It also grows while the source is unreachable."""
    settings = clickhouse.settings()
    sql = read_query("metadata_source_is_fresh")
    with clickhouse.session(context.run, "metadata_source_is_fresh") as client:
        row = next(client.query(sql, parameters={"source": settings.devices_source}).named_results())
    read_h, full_h, first_h = row["hours_since_read"], row["hours_since_full_read"], row["hours_since_first_attempt"]
    never_read = read_h is None or full_h is None
    age_h = (first_h or 0.0) if never_read else max(read_h, full_h - FULL_READ_EVERY_H)
    passed = not never_read and age_h <= settings.metadata_warn_h
    entries: dict[str, dg.MetadataValue | float | int | str] = {
        "source": settings.devices_source,
        **{name: round(value, 2) for name, value in row.items() if isinstance(value, float)},
        "failures_since": row["failures_since"],
        "warns_after_hours": settings.metadata_warn_h,
        "fails_after_hours": settings.metadata_error_h,
        "sql": _shown(sql.replace("{source:String}", f"'{settings.devices_source}'")),
    }
    if not passed:
        entries["last_problem"] = escape_line(row["last_problem"], PROBLEM_LENGTH) or "no attempt has failed"
        entries["what_to_do"] = dg.MetadataValue.md(FRESH_REMEDIATION.strip())
    return dg.AssetCheckResult(
        passed=passed,
        severity=ERROR if age_h > settings.metadata_error_h else WARN,
        description=_age(settings.devices_source, read_h, full_h, row["failures_since"]),
        metadata=entries,
    )


def _age(source: str, read_h: float | None, full_h: float | None, failures: int) -> str:
    if read_h is None or full_h is None:
        return f"The {source} source was never read successfully; {failures} attempts failed."
    return (
        f"The {source} source was last read {read_h:.1f} hours ago, and completely {full_h:.1f} hours ago; "
        f"{failures} attempts have failed since."
    )


@dg.asset_check(
    asset=DEVICES,
    pool=POOL,
    description="Each stored version has a device, a customer, a building type, valid coordinates and a whole hour, "
    "and there is one version per device and valid_from. **Fails** at the first offender. **Warns** about coordinates "
    f"0/0, which usually mean that they are missing. Blocks nothing.\n\n{CONTRACT_REMEDIATION.strip()}",
)
def metadata_contract_holds(context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse) -> dg.AssetCheckResult:
    """The stored versions follow the pandera contract."""
    # Imported here: it imports pandas and pandera.
    from iot_platform.devices.meter_ids import names_of
    from iot_platform.devices.stored_contract import IMPLAUSIBLE, breaches

    sql = read_query("metadata_contract_holds")
    with clickhouse.session(context.run, "metadata_contract_holds") as client:
        versions = client.query_df(sql)
        found = breaches(versions)
        names = names_of(client, map(int, found.head(SAMPLE_LINES)["device_id"]))
    entries: dict[str, dg.MetadataValue | int] = {"versions": len(versions), "breaches": len(found), "sql": _shown(sql)}
    with decoration(context, "The table of breaches"):
        entries |= _breach_entries(sql, found, names)
    only_implausible = len(found) and (found["problem"] == IMPLAUSIBLE).all()
    return dg.AssetCheckResult(
        passed=not len(found),
        severity=WARN if only_implausible else ERROR,
        description=f"{len(found):,} breaches of the contract in {len(versions):,} stored versions.",
        metadata=entries,
    )


def _breach_entries(sql: str, found: "pd.DataFrame", names: Mapping[int, str]) -> dict[str, dg.MetadataValue]:
    """The first breaches, the SQL that shows them, and what to do; empty when there are none.

    ``names``: the meter ids of their devices.
    """
    if found.empty:
        return {}
    sample = found.head(SAMPLE_LINES)
    named = sample.assign(device_id=[names[int(device)] for device in sample["device_id"]])
    named = named.rename(columns={"device_id": "meter_id"})
    lines = [[*row] for row in named.itertuples(index=False)]
    devices = ", ".join(map(str, sorted(set(sample["device_id"]))))
    return {
        "offenders": dg.MetadataValue.md(table_entries.markdown_table([*named.columns], lines)),
        "sql": _shown(as_subquery(sql, where=f"device_id IN ({devices})")),
        "what_to_do": dg.MetadataValue.md(CONTRACT_REMEDIATION.strip()),
    }


def _shown(sql: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(markdown_code_block(sql, "sql"))


metadata_checks = [metadata_source_is_fresh, metadata_contract_holds]
