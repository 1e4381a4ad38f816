"""What each layer contains, whether it is verified, and whether readings and energy are conserved between layers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.layers.catalog import (
    DERIVED_LAYERS,
    L2,
    L3,
    MARTS,
    QUARANTINE,
    RAW_TABLE,
    READINGS_KWH_SQL,
)
from iot_platform.layers.status import unverified_by_layer


@dataclass(frozen=True)
class LayerSummary:
    """One layer: its rows, the readings that they represent, energy in kWh, days, and unverified days."""

    name: str
    rows: int
    readings: int
    kWh: float
    partitions: int
    unproved: list[str] = field(default_factory=list)

    @property
    def proved(self) -> bool:
        """Whether every day is verified."""
        return not self.unproved


@dataclass(frozen=True)
class Summary:
    """All layers, and whether readings and energy are conserved between them."""

    layers: dict[str, LayerSummary]
    rejected: dict[str, int]
    duplicates: int
    unenriched: int
    kWh_conserved: bool

    @property
    def readings_conserved(self) -> bool:
        """Readings: L1 = L2 + quarantine + duplicates, and L2 = L3 = each mart of L4."""
        raw, cleaned = self.layers[RAW_TABLE].readings, self.layers[L2.name].readings
        return raw == cleaned + self.layers[QUARANTINE.name].readings + self.duplicates and all(
            self.layers[layer.name].readings == cleaned for layer in (L3, *MARTS)
        )

    @property
    def conserved(self) -> bool:
        """Whether readings (L1 to L4) and energy (L2 to L4) are both conserved."""
        return self.readings_conserved and self.kWh_conserved

    @property
    def proved(self) -> bool:
        """Whether every day of every layer is verified."""
        return all(layer.proved for layer in self.layers.values())

    def as_json(self) -> dict[str, Any]:
        """The summary as plain values, for scripts."""
        return {
            "layers": {name: {**asdict(layer), "proved": layer.proved} for name, layer in self.layers.items()},
            "rejected": self.rejected,
            "duplicates": self.duplicates,
            "unenriched": self.unenriched,
            "proved": self.proved,
            "conserved": self.conserved,
        }


def summarize(client: Client) -> Summary:
    """Summarize every layer. To count duplicates it reads all of L1 once, in sort order, which bounds its memory."""
    sums = {
        layer.name: _sums(client, layer.table, layer.readings_sql, layer.kWh_sql, layer.needs_final)
        for layer in DERIVED_LAYERS
    }
    raw = _sums(client, RAW_TABLE, "count()", READINGS_KWH_SQL, final=False)
    unverified = unverified_by_layer(client, DERIVED_LAYERS)
    layers = {RAW_TABLE: LayerSummary(RAW_TABLE, raw[0], raw[1], float(raw[2]), raw[3])}
    for layer in DERIVED_LAYERS:
        rows, readings, kWh, partitions = sums[layer.name]
        layers[layer.name] = LayerSummary(layer.name, rows, readings, float(kWh), partitions, unverified[layer])
    return Summary(
        layers=layers,
        rejected=_counts_by_reason(client),
        duplicates=_count_duplicates(client),
        unenriched=int(client.query(f"SELECT countIf(NOT has_metadata) FROM {quoted(L3.table)}").result_rows[0][0]),
        kWh_conserved=all(sums[layer.name][2] == sums[L2.name][2] for layer in (L3, *MARTS)),
    )


def _sums(client: Client, table: str, readings: str, kWh: str, final: bool) -> tuple[int, int, Decimal, int]:
    row = client.query(
        f"SELECT count(), {readings}, {kWh}, uniqExact(_partition_id) FROM {quoted(table)}{' FINAL' if final else ''}"
    ).result_rows[0]
    return int(row[0]), int(row[1]), Decimal(str(row[2])), int(row[3])


def _counts_by_reason(client: Client) -> dict[str, int]:
    rows = client.query(
        f"SELECT reject_reason, count() AS readings FROM {quoted(QUARANTINE.table)} "
        "GROUP BY reject_reason ORDER BY readings DESC, reject_reason"
    ).result_rows
    return {str(reason): int(count) for reason, count in rows}


def _count_duplicates(client: Client) -> int:
    """Valid readings of L1 beyond the first per (device_id, timestamp)."""
    row = client.query(
        f"SELECT sum(copies - 1) FROM (SELECT count() AS copies FROM {quoted(RAW_TABLE)} "
        "WHERE reject_reason = '' GROUP BY device_id, timestamp)",
        settings={"optimize_aggregation_in_order": 1},
    ).result_rows[0]
    return int(row[0])
