"""Which days no valid proof covers: asked of ClickHouse's own records, without reading any data."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.layers.catalog import IMPOSSIBLE_TIMES, Layer
from iot_platform.layers.invalidations import TABLE as REQUESTS
from iot_platform.layers.partitions import partition_versions


def open_partitions(client: Client, layer: Layer) -> list[str]:
    """Partitions of a layer (or of its source) that must be proved, oldest first.

    A proof holds while the partitions of source and layer have the versions that were compared, and nothing that the
    definition looks up has changed for them since. It speaks of its own step alone: when the layer above is open, it
    may still hold, until that layer is rebuilt.
    """
    source = partition_versions(client, layer.source)
    own = partition_versions(client, layer.table, merges_rows=layer.final)
    holding = _holding(client, layer)
    return sorted(
        (
            name
            for name in source.keys() | own.keys()
            if holding.get(name) != (str(source.get(name, "")), str(own.get(name, "")))
            and (name != IMPOSSIBLE_TIMES or layer.has_impossible_times)
        ),
        key=int,
    )


def _holding(client: Client, layer: Layer) -> dict[str, tuple[str, str]]:
    """Versions of source and layer that the newest proof of each partition found equal, if no request is newer."""
    rows = client.query(
        f"""
        SELECT proofs.partition_id, proofs.versions.1, proofs.versions.2
        FROM
        (
            SELECT partition_id, argMax((source_version, own_version, is_equal), proved_at) AS versions,
                max(proved_at) AS at
            FROM partition_proofs
            WHERE layer = {{layer:String}}
            GROUP BY partition_id
        ) AS proofs
        LEFT JOIN
        (
            SELECT partition_id, max(requested_at) AS at FROM {quoted(REQUESTS)}
            WHERE layer = {{layer:String}}
            GROUP BY partition_id
        ) AS requests ON requests.partition_id = proofs.partition_id
        WHERE proofs.versions.3 AND proofs.at > requests.at AND proofs.at > {{changed_at:DateTime64(6, 'UTC')}}
        """,
        parameters={"layer": layer.name, "changed_at": _changed_past_the_platform(client, layer.inputs)},
    ).result_rows
    return {str(name): (str(source), str(own)) for name, source, own in rows}


def _changed_past_the_platform(client: Client, tables: tuple[str, ...]) -> str:
    """When a row was last written by hand into one of the tables; 1970: never.

    What the platform itself changes it announces in proof_requests, with the days that it touches.
    """
    latest = ["1970-01-01 00:00:00.000000"]
    for table in tables:
        row = client.query(
            f"SELECT toString(max(recorded_at)) FROM {quoted(table)} "
            f"WHERE recorded_at NOT IN (SELECT changed_at FROM {quoted(REQUESTS)})"
        ).result_rows[0]
        latest.append(str(row[0]))
    return max(latest)
