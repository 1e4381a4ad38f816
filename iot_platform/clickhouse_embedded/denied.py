"""The error for statements and settings that clients may not use."""

from __future__ import annotations

from iot_platform.clickhouse_embedded.errors import ACCESS_DENIED, ClickHouseError


def denied(what: str) -> ClickHouseError:
    """The error for something that is refused."""
    return ClickHouseError(
        ACCESS_DENIED,
        f"{what} is refused: clients of the embedded server may not reach files, other hosts or programs, "
        "nor stop or configure the server",
    )
