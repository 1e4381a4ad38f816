"""A home of the version before: readings, metadata, ledger and proofs, made with its .sql files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from iot_platform.clickhouse.client import connect
from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.clickhouse.migrations import create_database
from iot_platform.settings import Settings
from iot_platform_tests.layers.old_schema import hard_readings, old_database, prove_old, write

SOURCE = "old stream"


def make_old_home(home: Path, batches: int = 3) -> None:
    """Make the home; its server is stopped at the end. ``SOURCE`` has written ``batches``, one position each."""
    settings = Settings(home=home, clickhouse_url=None, clickhouse_port=0)
    with running_server(settings) as endpoint, tempfile.TemporaryDirectory() as sql:
        create_database(endpoint, settings)
        client = connect(endpoint, settings)
        try:
            old_database(client, Path(sql))
            for number in range(batches):
                write(client, SOURCE, number, hard_readings(number))
            assert all(proof.is_equal for proof in prove_old(client))
        finally:
            client.close()
