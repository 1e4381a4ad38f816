"""The queries of the checks: sql/checks/NAME.sql."""

from __future__ import annotations

from iot_platform.settings import Settings

# Lines of offenders that a check shows. Its SQL, which it shows as well, finds all of them.
SAMPLE_LINES = 20


def read_query(check: str) -> str:
    """The text of a check's query."""
    return (Settings().sql_dir / "checks" / f"{check}.sql").read_text(encoding="utf-8").strip()


def as_subquery(sql: str, *, select: str = "*", where: str = "1") -> str:
    """``select`` from those rows of a check's query that match ``where``, in the query's own order."""
    # The order of a subquery is lost outside of it.
    body, order = sql.rsplit("\nORDER BY ", maxsplit=1)
    return f"SELECT {select} FROM (\n{body}\n) WHERE {where}\nORDER BY {order}"
