"""Number the versions of device metadata: L3 and L4 keep numbers, and dictionaries tell what they stand for."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import ONE_BLOCK
from iot_platform.clickhouse.lock import server_lock

_LOCK = "metadata_versions"
# With several threads, two rows could get the same number. One block: all new numbers are stored or none.
_SETTINGS = {**ONE_BLOCK, "max_threads": 1, "max_insert_threads": 1, "max_block_size": 2**31}

# The default name has the number 0 and needs no row.
_NAMES = """
INSERT INTO metadata_names (kind, id, name)
SELECT '{kind}', (SELECT max(id) FROM metadata_names WHERE kind = '{kind}') + rowNumberInAllBlocks() + 1, name
FROM
(
    SELECT DISTINCT toString({column}) AS name
    FROM device_metadata_versions
    WHERE name NOT IN ('', '{default}') AND name NOT IN (SELECT name FROM metadata_names WHERE kind = '{kind}') {only}
    ORDER BY name
)
"""
_KINDS = (
    {
        "kind": "time_zone",
        "column": "time_zone",
        "default": "UTC",
        # A misspelt zone gets no number. If a newer ClickHouse knows it, it gets one then.
        "only": "AND name IN (SELECT time_zone FROM system.time_zones)",
    },
    {"kind": "building_type", "column": "building_type", "default": "unknown", "only": ""},
)

# A row of device_metadata needs a number if the newest version of its device and valid_from has other content.
_ATTRIBUTES = "customer_id, toString(building_type), latitude, longitude, toString(time_zone), is_removed"
_VERSIONS = f"""
INSERT INTO device_metadata_versions (version, device_id, valid_from, customer_id, building_type, latitude, longitude,
    time_zone, is_removed, recorded_at)
SELECT (SELECT max(version) FROM device_metadata_versions) + rowNumberInAllBlocks() + 1, *
FROM
(
    SELECT device_id, valid_from, customer_id, building_type, latitude, longitude, time_zone, is_removed, recorded_at
    FROM device_metadata FINAL
    WHERE (device_id, valid_from, {_ATTRIBUTES}) NOT IN
    (
        SELECT device_id, valid_from, {_ATTRIBUTES}
        FROM device_metadata_versions
        ORDER BY version DESC
        LIMIT 1 BY device_id, valid_from
    )
    ORDER BY device_id, valid_from
)
"""


def number_versions(client: Client) -> bool:
    """Give numbers to the versions in ``device_metadata`` that have none; see sql/090_metadata_versions.sql.

    One process does it at a time. A number, once given, is never changed or given again. Returns whether there were
    versions without a number.
    """
    with server_lock(client, _LOCK):
        before = _last_number(client)
        client.command(_VERSIONS, settings=dict(_SETTINGS))
        for kind in _KINDS:
            client.command(_NAMES.format(**kind), settings=dict(_SETTINGS))
        return _last_number(client) > before


def _last_number(client: Client) -> int:
    return int(str(client.command("SELECT max(version) FROM device_metadata_versions")))
