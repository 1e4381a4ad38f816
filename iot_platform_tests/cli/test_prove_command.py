"""``iot-platform prove`` finds all damage, describes and repairs it; with --dry-run it only describes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client

from iot_platform.cli.layers import prove
from iot_platform.layers.catalog import DERIVED_LAYERS

DAY = "2026-01-02"
PARTITION = "20260102"

DAMAGES = {
    "rows deleted from L2": ("DELETE FROM l2_power_cleaned WHERE device_id = 5", "l2_power_cleaned", "-24 rows"),
    "rows deleted from L3": ("DELETE FROM l3_power_by_version WHERE device_id = 5", "l3_power_joined", "-24 rows"),
    "rows deleted from L4": (
        "DELETE FROM l4_power_hourly_by_version WHERE device_id = 5",
        "l4_power_agg_hourly",
        "-24",
    ),
    "rows twice in L3": (
        f"INSERT INTO l3_power_by_version SELECT * FROM l3_power_by_version WHERE _partition_id = '{PARTITION}'",
        "l3_power_joined",
        "+240 rows",
    ),
    "a partition dropped": (
        f"ALTER TABLE l3_power_by_version DROP PARTITION ID '{PARTITION}'",
        "l3_power_joined",
        "-240 rows",
    ),
}


def run(*options: str) -> tuple[int, str]:
    done = CliRunner().invoke(prove, list(options), catch_exceptions=False)
    return done.exit_code, done.stdout


def differences(output: str) -> dict[tuple[str, str], dict[str, Any]]:
    proofs = json.loads(output.splitlines()[-1])["proofs"]
    return {(proof["layer"], proof["partition"]): proof for proof in proofs if proof["difference"]}


@pytest.fixture
def proved(platform: Client) -> Client:
    """Three days of hourly readings of ten meters, proved."""
    platform.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) "
        "SELECT toDateTime('2026-01-01 00:00:00', 'UTC') + intDiv(number, 10) * 3600, number % 10 + 1, number % 7 / 4 "
        "FROM numbers(720)"
    )
    assert run()[0] == 0
    return platform


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_described_and_repaired(proved: Client, damage: str) -> None:
    statement, layer, text = DAMAGES[damage]
    proved.command(statement, settings={"mutations_sync": 1})
    code, output = run("--dry-run", "--json", "--from", DAY, "--to", DAY)
    assert code == 1
    assert text in differences(output)[layer, PARTITION]["difference"]
    assert run("--dry-run")[0] == 1  # nothing was changed

    code, output = run()
    assert code == 0
    assert "rebuilt, equal" in output and text in output
    code, output = run("--full", "--json")
    assert (code, differences(output)) == (0, {})
    [(difference, was_rebuilt)] = proved.query(
        "SELECT difference, was_rebuilt FROM partition_proofs WHERE was_rebuilt AND layer = {layer:String} "
        "AND partition_id = {partition:String} ORDER BY proved_at DESC LIMIT 1",
        parameters={"layer": layer, "partition": PARTITION},
    ).result_rows
    assert text in difference and was_rebuilt


def test_verified_days_are_not_compared_again(proved: Client) -> None:
    assert json.loads(run("--json")[1]) == {"proved": True, "unchanged": 3 * len(DERIVED_LAYERS), "proofs": []}
    proved.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES ('2026-01-02 00:00:30', 3, 1)"
    )
    code, output = run("--json")
    proofs = json.loads(output)["proofs"]
    assert code == 0 and {proof["partition"] for proof in proofs} == {PARTITION}
    assert {proof["layer"] for proof in proofs} >= {"l2_power_cleaned", "l3_power_joined", "l4_power_agg_hourly"}


def test_periods_without_readings_and_the_wrong_way_round(proved: Client) -> None:
    for period in (("--to", "2025-12-31"), ("--from", "2026-01-04"), ("--from", "1000-01-01", "--to", "1969-12-31")):
        assert run(*period) == (0, "There are no readings in this period: nothing was verified.\n")
        assert json.loads(run(*period, "--json")[1]) == {"proved": True, "unchanged": 0, "proofs": []}
    assert "3 partitions" not in run("--from", DAY, "--to", DAY)[1]
    done = CliRunner().invoke(prove, ["--from", "2026-01-03", "--to", DAY])
    assert done.exit_code == 2 and "--to 2026-01-02 is before --from 2026-01-03." in done.stderr


def test_duplicates_and_corrections_are_counted_per_day(proved: Client) -> None:
    proved.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) "
        "VALUES ('2026-01-02 05:00:00', 3, 9.5), ('2026-01-02 06:00:00', 3, 9.5), ('2026-01-03 06:00:00', 3, 9.5)"
    )
    assert "3 duplicates and corrections" in run()[1]
    rows = proved.query(
        "SELECT partition_id, argMax(duplicates, proved_at) AS found FROM partition_proofs "
        "WHERE layer = 'l2_power_cleaned' GROUP BY partition_id HAVING found ORDER BY partition_id"
    ).result_rows
    assert rows == [("20260102", 2), ("20260103", 1)]
    # The newest arrival is valid in every layer; L1 keeps all of them, and the view shows them side by side.
    day = "WHERE device_id = 3 AND toDate(timestamp) = '2026-01-02' AND power_usage_kWh = 9.5"
    assert proved.query(f"SELECT count() FROM l3_power_joined {day}").first_row == (2,)
    revisions = proved.query(
        "SELECT timestamp, copies, length(values_kWh), values_kWh[1] FROM l1_power_revisions ORDER BY timestamp"
    ).result_rows
    assert [row[1:] for row in revisions] == [(2, 2, 9.5)] * 3
