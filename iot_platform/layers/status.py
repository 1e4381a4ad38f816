"""Which days are unverified: read from ClickHouse's own records (part versions), without reading any data."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.layers.catalog import IMPOSSIBLE_TIMES, Layer
from iot_platform.layers.invalidations import TABLE as INVALIDATIONS
from iot_platform.layers.partitions import partition_versions


def unverified_partitions(client: Client, layer: Layer) -> list[str]:
    """Partitions of a layer (or of its source) without a valid proof, oldest first.

    A proof is valid while the partitions of source and layer have the versions that were compared, and no change of
    metadata or limits has invalidated it. It covers one step of the chain only: it may be valid although the source
    layer is unverified, until that layer is rebuilt.
    """
    source = partition_versions(client, layer.source)
    own = partition_versions(client, layer.table)
    verified = _verified_versions(client, layer)
    return sorted(
        (
            name
            for name in source.keys() | own.keys()
            if verified.get(name) != (str(source.get(name, "")), str(own.get(name, "")))
            and (name != IMPOSSIBLE_TIMES or layer.has_impossible_times)
        ),
        key=int,
    )


def _verified_versions(client: Client, layer: Layer) -> dict[str, tuple[str, str]]:
    """Versions of source and layer that the newest proof of each partition found equal, unless invalidated since."""
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
            SELECT partition_id, max(requested_at) AS at FROM {quoted(INVALIDATIONS)}
            WHERE layer = {{layer:String}}
            GROUP BY partition_id
        ) AS invalidations ON invalidations.partition_id = proofs.partition_id
        WHERE proofs.versions.3 AND proofs.at > invalidations.at AND proofs.at > {{changed_at:DateTime64(6, 'UTC')}}
        """,
        parameters={"layer": layer.name, "changed_at": _last_manual_change(client, layer.lookup_tables)},
    ).result_rows
    return {str(name): (str(source), str(own)) for name, source, own in rows}


def _last_manual_change(client: Client, tables: tuple[str, ...]) -> str:
    """When a row was last inserted by hand into one of the tables; 1970: never. It invalidates all older proofs.

    The platform stores its own changes in proof_requests, with the days that they invalidate.
    """
    latest = ["1970-01-01 00:00:00.000000"]
    for table in tables:
        row = client.query(
            f"SELECT toString(max(recorded_at)) FROM {quoted(table)} "
            f"WHERE recorded_at NOT IN (SELECT changed_at FROM {quoted(INVALIDATIONS)})"
        ).result_rows[0]
        latest.append(str(row[0]))
    return max(latest)
