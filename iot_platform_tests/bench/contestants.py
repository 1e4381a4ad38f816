"""The designs that are compared: each has its own database on one server and gets the same batches by the same code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.client import connect, quoted
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.migrations import create_database, migrate
from iot_platform.clickhouse.statements import split_statements
from iot_platform.layers.catalog import BY_DEVICE_HOURLY, CHAIN_TABLES
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.readings.arrival_times import in_key_order
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.prepared_batch import Batch
from iot_platform.settings import Settings

TEXTBOOK = Path(__file__).with_name("textbook.sql")

BARE, BOOK, CHAIN, WRITER = "bare_l1", "textbook", "chain", "chain_and_ledger"
MEANING = {
    BARE: "the table L1 without any view behind it",
    BOOK: "JOIN in the view, SummingMergeTree",
    CHAIN: "L1 to L4 and quarantine, as in sql/; rows are sorted before they are sent, as the writer does",
    WRITER: "the same through the writer: lease, ledger, exactly once",
}

# Every hundredth device has moved after the time of the readings, so their metadata comes from the history.
VERSIONS = """
INSERT INTO device_metadata (device_id, customer_id, building_type, latitude, longitude, valid_from)
SELECT
    number % {devices:UInt32} + 1 AS device_id,
    concat('C', leftPad(toString(device_id % 50000), 6, '0')),
    ['residential', 'office', 'retail', 'school', 'industry'][device_id % 5 + 1],
    round(48 + device_id % 70001 / 10000, 5),
    round(7 + device_id % 80021 / 10000, 5),
    if(number < {devices:UInt32}, toDateTime(0, 'UTC'), toDateTime('2026-05-01 00:00:00', 'UTC'))
FROM numbers({devices:UInt32} + intDiv({devices:UInt32}, 100))
"""
METADATA = """
INSERT INTO device_metadata (device_id, customer_id, building_type, latitude, longitude)
SELECT device_id, customer_id, building_type, latitude, longitude FROM {source:Identifier}.device_metadata
WHERE valid_from = toDateTime(0, 'UTC')
"""
TABLES = {
    BARE: ("l1_power_raw",),
    BOOK: ("l1_power_raw", "l2_power_cleaned", "l3_power_joined", "l4_power_agg_hourly"),
    CHAIN: CHAIN_TABLES,
    WRITER: CHAIN_TABLES,
}

Insert = Callable[[pa.Table, int], None]


class Contestants:
    """The databases for one number of devices. ``inserts``: the insert function of each, in the order of the report."""

    def __init__(self, stack: ExitStack, endpoint: Endpoint, settings: Settings, devices: int) -> None:
        """Create and fill the databases; they are dropped when ``stack`` is closed."""
        self.clients = {name: _database(stack, endpoint, settings, f"bench_{name}_{devices}") for name in MEANING}
        for name in (BARE, CHAIN, WRITER):
            migrate(self.clients[name], settings)
        self.clients[BARE].command("DROP VIEW mv_l1_to_l2")
        self.clients[BARE].command("DROP VIEW mv_l1_to_quarantine")
        self.clients[BARE].command("DROP VIEW mv_l1_to_ledger")
        for statement in split_statements(TEXTBOOK.read_text(encoding="utf-8")):
            self.clients[BOOK].command(statement)
        for name in (CHAIN, WRITER):
            self.clients[name].command(VERSIONS, parameters={"devices": devices})
            reload_dictionaries(self.clients[name])
        self.clients[BOOK].command(METADATA, parameters={"source": self.clients[CHAIN].database})
        self._lease = stack.enter_context(ExitStack())
        self.inserts: dict[str, Insert] = {
            BARE: _plain(self.clients[BARE]),
            BOOK: _plain(self.clients[BOOK]),
            CHAIN: _sorted(self.clients[CHAIN]),
        }

    def start(self, source: str) -> None:
        """Empty all tables and stop their merges; ``source`` is the name of the next source."""
        for name, client in self.clients.items():
            for table in TABLES[name]:
                client.command(f"TRUNCATE TABLE {table} SYNC")
                # Each contestant's merges are measured on their own: they would disturb the inserts of the others.
                client.command(f"SYSTEM STOP MERGES {table}")
        writer = BatchWriter(self.clients[WRITER], source)
        # The lease of a source is held over many batches.
        self._lease.close()
        self._lease.enter_context(writer.exclusive())
        self.inserts[WRITER] = _exactly_once(writer)

    def merge(self, name: str) -> None:
        """Merge all parts of a contestant's tables, to one part a partition."""
        for table in TABLES[name]:
            self.clients[name].command(f"SYSTEM START MERGES {table}")
            self.clients[name].command(f"OPTIMIZE TABLE {table} FINAL")

    def bytes_on_disk(self, name: str) -> int:
        """Bytes of all parts of a contestant's tables."""
        rows = self.clients[name].query(
            "SELECT sum(bytes_on_disk) FROM system.parts "
            "WHERE database = currentDatabase() AND active AND table IN {tables:Array(String)}",
            parameters={"tables": list(TABLES[name])},
        )
        return int(rows.result_rows[0][0])

    def check(self, rows: int) -> None:
        """Check that no rows were lost or doubled. Raises RuntimeError."""
        for name, client in self.clients.items():
            if (found := _count(client, "l1_power_raw")) != rows:
                raise RuntimeError(f"{name}: {rows:,} readings were sent, L1 holds {found:,}.")
            if name in (CHAIN, WRITER):
                refused, cleaned = _count(client, "power_quarantine"), _count(client, "l2_power_cleaned")
                counted = client.query(f"SELECT sum(readings) FROM {BY_DEVICE_HOURLY.table}").result_rows[0][0]
                if refused + cleaned != rows or counted != cleaned:
                    raise RuntimeError(f"{name}: L1 {rows:,}, L2 {cleaned:,}, refused {refused:,}, L4 {counted:,}.")


def _count(client: Client, table: str) -> int:
    return int(client.query(f"SELECT count() FROM {table}").result_rows[0][0])


def _database(stack: ExitStack, endpoint: Endpoint, settings: Settings, name: str) -> Client:
    own = settings.model_copy(update={"clickhouse_database": name})
    create_database(endpoint, own)
    client = connect(endpoint, own)
    stack.callback(client.close)
    stack.callback(client.command, f"DROP DATABASE {quoted(name)} SYNC")
    return client


def _plain(client: Client) -> Insert:
    def insert(rows: pa.Table, number: int) -> None:
        insert_block(client, "l1_power_raw", rows, token=f"batch {number}")

    return insert


def _sorted(client: Client) -> Insert:
    insert = _plain(client)
    return lambda rows, number: insert(in_key_order(rows), number)


def _exactly_once(writer: BatchWriter) -> Insert:
    def insert(rows: pa.Table, number: int) -> None:
        writer.write(Batch(number, number + 1, rows))

    return insert
