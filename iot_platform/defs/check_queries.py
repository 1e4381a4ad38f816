"""The queries of the checks: sql/checks/NAME.sql."""

from __future__ import annotations

from iot_platform.settings import Settings

# Lines of offenders that a check shows. Its SQL, which it shows as well, finds all of them.
SAMPLE_LINES = 20


def read_query(check: str) -> str:
    """The text of a check's query."""
    return (Settings().sql_dir / "checks" / f"{check}.sql").read_text(encoding="utf-8").strip()
