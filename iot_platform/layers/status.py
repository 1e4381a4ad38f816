"""Which days are unverified: the versions of their partitions against those of their last proofs.

The versions come from system.parts. Those of the two monthly marts come from their data, which a process reads once for
each content; see layers/day_versions.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.layers.catalog import IMPOSSIBLE_TIMES, Layer
from iot_platform.layers.invalidations import NEVER, last_manual_changes
from iot_platform.layers.invalidations import TABLE as INVALIDATIONS
from iot_platform.layers.partitions import table_states


def unverified_partitions(client: Client, layer: Layer) -> list[str]:
    """Partitions of a layer (or of its source) without a valid proof, oldest first; see ``unverified_by_layer``."""
    return unverified_by_layer(client, [layer])[layer]


def unverified_by_layer(client: Client, layers: Sequence[Layer]) -> dict[Layer, list[str]]:
    """Partitions of each layer (or of its source) without a valid proof, oldest first.

    A proof is valid while the partitions of source and layer have the versions that were compared, and no change of
    metadata or limits has invalidated it. It covers one step of the chain only: it may be valid although the source
    layer is unverified, until that layer is rebuilt.
    """
    # The versions come first: a proof that is stored meanwhile may be for newer ones, so its day looks unverified.
    _, tables = table_states(client, [table for layer in layers for table in (layer.source, layer.table)])
    changes = last_manual_changes(client, {table for layer in layers for table in layer.lookup_tables})
    verified = _verified_versions(client, layers, changes)
    return {
        layer: sorted(
            (
                name
                for name in tables[layer.source].versions.keys() | tables[layer.table].versions.keys()
                if verified.get((layer.name, name))
                != (tables[layer.source].version(name), tables[layer.table].version(name))
                and (name != IMPOSSIBLE_TIMES or layer.has_impossible_times)
            ),
            key=int,
        )
        for layer in layers
    }


def _verified_versions(
    client: Client, layers: Sequence[Layer], changes: Mapping[str, dt.datetime]
) -> dict[tuple[str, str], tuple[str, str]]:
    """Versions of source and layer that the newest proof of each partition found equal, unless invalidated since."""
    rows = client.query(
        f"""
        SELECT proofs.layer, proofs.partition_id, proofs.versions.1, proofs.versions.2, proofs.at
        FROM
        (
            SELECT layer, partition_id, argMax((source_version, own_version, is_equal), proved_at) AS versions,
                max(proved_at) AS at
            FROM partition_proofs
            WHERE layer IN {{layers:Array(String)}}
            GROUP BY layer, partition_id
        ) AS proofs
        LEFT JOIN
        (
            SELECT layer, partition_id, max(requested_at) AS at FROM {quoted(INVALIDATIONS)}
            WHERE layer IN {{layers:Array(String)}}
            GROUP BY layer, partition_id
        ) AS invalidations ON invalidations.layer = proofs.layer AND invalidations.partition_id = proofs.partition_id
        WHERE proofs.versions.3 AND proofs.at > invalidations.at
        """,
        parameters={"layers": [layer.name for layer in layers]},
    ).result_rows
    changed_at = {layer.name: max((changes[table] for table in layer.lookup_tables), default=NEVER) for layer in layers}
    return {
        (str(layer), str(name)): (str(source), str(own))
        for layer, name, source, own, at in rows
        if at.replace(tzinfo=dt.UTC) > changed_at[str(layer)]
    }
