"""dbt with dbt-clickhouse: seed, table, view, incremental, materialized view, dictionary, snapshot, tests, docs."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform_tests.clients.installed import dbt_command

PROJECT = Path(__file__).with_name("dbt_project")
FIRST = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
READINGS = [(1, FIRST, 0.5), (2, FIRST, 1.0), (2, FIRST + dt.timedelta(days=1), 2.0)]
METERS = [
    (1, "Zürich ☀ 'quoted' \"twice\" back\\slash", None, Decimal("0.0001")),
    (2, "plain", "ü", Decimal("1.5")),
    (3, "other", None, Decimal("-1.5")),
]
PROFILE = """
embedded:
  target: test
  outputs:
    test:
      type: clickhouse
      driver: http
      host: {host}
      port: {port}
      user: {user}
      password: "{{{{ env_var('DBT_ENV_SECRET_PASSWORD') }}}}"
      schema: {database}
      threads: 2
"""


class Dbt:
    """A copy of the project with a profile for the server."""

    def __init__(self, command: str, server: Endpoint, database: str, home: Path) -> None:
        self.project = shutil.copytree(PROJECT, home / "project")
        profile = PROFILE.format(host=server.host, port=server.port, user=server.username, database=database)
        (self.project / "profiles.yml").write_text(profile)
        self._command = command
        self._environment = os.environ | {"DBT_ENV_SECRET_PASSWORD": server.password, "DO_NOT_TRACK": "1", "TZ": "UTC"}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run dbt in the project; the options keep it from requests to the internet."""
        return subprocess.run(
            [self._command, "--no-use-colors", "--no-version-check", "--no-send-anonymous-usage-stats", *arguments],
            cwd=self.project,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def build(self) -> None:
        """``dbt build``, all of which must succeed."""
        done = self.run("build")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "ERROR=0 SKIP=0" in done.stdout


@pytest.fixture
def dbt(server: Endpoint, database: str, client: Client, tmp_path: Path) -> Dbt:
    command = dbt_command()
    client.command(
        "CREATE TABLE readings (meter UInt32, at DateTime('UTC'), kWh Float64) ENGINE = MergeTree ORDER BY (meter, at)"
    )
    client.insert("readings", READINGS, column_names=["meter", "at", "kWh"])
    return Dbt(command, server, database, tmp_path)


def rows(client: Client, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in client.query(query, tz_mode="aware").result_rows]


def test_build_twice_and_docs(dbt: Dbt, client: Client) -> None:
    dbt.build()
    assert rows(client, "SELECT * FROM meters ORDER BY id") == METERS
    assert rows(client, "SELECT * FROM stg_meters ORDER BY id") == METERS
    assert rows(client, "SELECT * FROM usage ORDER BY meter, at") == READINGS
    assert rows(client, "SELECT * FROM usage_appended ORDER BY meter, at") == READINGS
    assert rows(client, "SELECT * FROM usage_of_month ORDER BY meter, at") == READINGS
    assert rows(client, "SELECT dictGet('meter_names', 'name', toUInt64(1))") == [METERS[0][1:2]]
    days = [(dt.date(2026, 1, 1), 1.5, 2), (dt.date(2026, 1, 2), 2.0, 1)]
    assert rows(client, "SELECT * FROM usage_daily ORDER BY day") == days

    later = [(1, FIRST + dt.timedelta(days=1, hours=1), 4.0), (3, FIRST + dt.timedelta(days=2), 8.0)]
    client.insert("readings", later, column_names=["meter", "at", "kWh"])
    assert rows(client, "SELECT meter, sum(kWh) FROM usage_live GROUP BY meter ORDER BY meter") == [
        (1, 4.5), (2, 3.0), (3, 8.0),
    ]  # fmt: skip
    seed = dbt.project / "seeds" / "meters.csv"
    seed.write_text(seed.read_text().replace("2,plain,ü,1.5", "2,renamed,,1.5"))
    dbt.build()
    assert rows(client, "SELECT * FROM usage_appended ORDER BY at, meter") == sorted(
        READINGS + later, key=lambda r: r[1::-1]
    )
    assert rows(client, "SELECT * FROM usage_daily ORDER BY day") == [
        (dt.date(2026, 1, 1), 1.5, 2), (dt.date(2026, 1, 2), 6.0, 2), (dt.date(2026, 1, 3), 8.0, 1),
    ]  # fmt: skip
    history = "SELECT id, name, note, dbt_valid_to IS NULL AS current FROM meters_history ORDER BY id, dbt_valid_from"
    assert client.command("SELECT count() FROM usage_of_month") == len(READINGS + later)
    assert rows(client, history) == [
        (1, METERS[0][1], None, 1), (2, "plain", "ü", 0), (2, "renamed", None, 1), (3, "other", None, 1),
    ]  # fmt: skip
    done = dbt.run("docs", "generate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"type": "Nullable(String)"' in (dbt.project / "target" / "catalog.json").read_text()


def test_a_failed_test_and_a_broken_model_fail_the_build(dbt: Dbt, client: Client) -> None:
    client.insert("readings", [(1, FIRST, 0.25)], column_names=["meter", "at", "kWh"])
    (dbt.project / "tests" / "no_double_readings.sql").write_text(
        "SELECT meter, at FROM {{ ref('usage') }} GROUP BY meter, at HAVING count() > 1"
    )
    (dbt.project / "models" / "broken.sql").write_text("SELECT no_such_column AS id FROM {{ ref('stg_meters') }}")
    done = dbt.run("build")
    assert done.returncode == 1
    assert "Failure in test no_double_readings" in done.stdout
    assert "Got 1 result" in done.stdout
    assert "UNKNOWN_IDENTIFIER" in done.stdout
    assert "Database Error in model broken" in done.stdout
    assert client.command("EXISTS TABLE broken") == 0
