"""Readings for the tests of checks, and what a check says."""

from __future__ import annotations

from typing import Any

import dagster as dg
from clickhouse_connect.driver.client import Client

DAY, NEXT_DAY = "2026-01-02", "2026-01-03"
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def entries(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def insert(client: Client, table: str, *rows: str) -> None:
    client.command(f"INSERT INTO {table} (timestamp, device_id, power_usage_kWh) VALUES {', '.join(rows)}")


def sent(*times: str, device: int = 1) -> list[str]:
    return [f"('{time}', {device}, 1)" for time in times]


def hours_of(day: str) -> list[str]:
    return [f"{day} {hour:02d}:00:00" for hour in range(24)]
