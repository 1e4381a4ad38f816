"""A refresh of the metadata while readings arrive, proofs fail or it is killed: no wrong day counts as verified."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.devices import refresh, restatement
from iot_platform.devices.refresh import refresh_devices
from iot_platform.devices.restatement import restate
from iot_platform.errors import ProofError
from iot_platform.layers.catalog import BY_DEVICE_HOURLY, DERIVED_LAYERS, L3, Layer
from iot_platform.layers.comparison import Proof
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.proof import prove_all, prove_partitions
from iot_platform.layers.status import unverified_partitions
from iot_platform_tests.devices.metadata import (
    DAYS,
    SIX,
    customers_by_hour,
    frame,
    is_settled,
    load,
    load_and_restate,
)


def test_readings_that_arrive_during_a_refresh(filled: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are joined with the old metadata, and a proof before the reload accepts them."""
    load_and_restate(filled, *SIX)

    def late(client: Client) -> None:
        client.command(
            "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES "
            "('2026-01-08 10:00:00', 1, 1), ('2026-01-09 10:00:00', 2, 1)"
        )
        list(prove_all(client))
        reload_dictionaries(client)

    monkeypatch.setattr(refresh, "reload_dictionaries", late)
    result = load(filled, (1, "new", "2026-01-07"), *SIX[1:])
    assert result.affected["partition_id"].tolist() == ["20260107", "20260108"]
    assert result.days == ["20260107"]
    assert {"20260107", "20260108"} == set(unverified_partitions(filled, L3))
    monkeypatch.undo()
    restated = restate(filled, result)
    assert restated.days == ["20260107", "20260108"]
    assert [each.customer_id for each in restated.energy.customers()] == ["c1", "new"]
    assert load(filled, (1, "new", "2026-01-07"), *SIX[1:]).counts["unchanged"] == 6
    assert is_settled(filled) and unverified_partitions(filled, L3) == []


def test_days_that_could_not_be_restated_are_restated_by_the_next_refresh(
    filled: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_and_restate(filled, *SIX)
    changed = [(1, "new", "2026-01-06T09:00:00Z"), *SIX[1:]]
    prove = prove_partitions

    def failing(client: Client, layer: Layer, wanted: list[str], run_id: str) -> list[Proof]:
        if layer is BY_DEVICE_HOURLY and wanted == [DAYS[2]]:
            raise ProofError("something else writes into it")
        return prove(client, layer, wanted, run_id=run_id)

    monkeypatch.setattr(restatement, "prove_partitions", failing)
    monkeypatch.setattr(restatement, "grouped", lambda days, rows: [[day] for day in days])
    result = load(filled, *changed)
    with pytest.raises(ProofError, match="stored and in use, but only 1 of 2 days were restated.*something else"):
        restate(filled, result)
    monkeypatch.undo()
    assert unverified_partitions(filled, BY_DEVICE_HOURLY) == [DAYS[2]]
    result, restated = load_and_restate(filled, *changed)
    assert result.changes.empty and restated.days == [DAYS[2]]
    assert restated.energy.customers() == []
    assert is_settled(filled)
    # Then there is nothing left to do.
    assert load_and_restate(filled, *changed)[1].proofs == []


# Where a refresh is killed: at the call of this function, and whether the versions are stored by then.
KILLS = {
    "before the invalidation": ("iot_platform.devices.refresh.invalidation", False),
    "before the versions are stored": ("iot_platform.devices.refresh._store", False),
    "before the reload": ("iot_platform.devices.refresh.reload_dictionaries", True),
    "after the reload": ("iot_platform.devices.affected.AffectedDays.add_late_arrivals", True),
    "before the restatement": ("iot_platform.devices.refresh.repeat_unfinished_invalidations", True),
}

KILLED = """
import os, signal, sys
from unittest.mock import patch
from iot_platform.__main__ import main
with patch(sys.argv[1], lambda *args, **options: os.kill(os.getpid(), signal.SIGKILL)):
    main(["load", "devices", "--complete", sys.argv[2]])
"""


@pytest.mark.parametrize("point", KILLS)
def test_a_refresh_that_is_killed(filled: Client, server: Endpoint, tmp_path: Path, point: str) -> None:
    load_and_restate(filled, *SIX)
    list(prove_all(filled))
    changed = [(1, "new", "2026-01-06T09:00:00Z"), (7, "c7"), *SIX[2:]]  # 1 changes, 2 is closed, 7 is new
    path = f"{tmp_path}/devices.csv"
    frame(*changed).to_csv(path, index=False)
    target, is_stored = KILLS[point]
    environment = {
        **os.environ,
        "IOT_CLICKHOUSE_URL": f"http://{server.username}:{server.password}@{server.host}:{server.port}",
        "IOT_CLICKHOUSE_DATABASE": str(filled.database),
        "IOT_HOME": f"{tmp_path}/home",
    }
    done = subprocess.run([sys.executable, "-c", KILLED, target, path], env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    # The metadata is completely old or completely new.
    assert filled.query("SELECT count() FROM device_metadata").result_rows == [(9 if is_stored else 6,)]
    # Then readings arrive, also on a new day, and everything is proved.
    filled.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES "
        "('2026-01-08 10:00:00', 1, 1), ('2026-01-08 10:00:00', 7, 1), ('2026-01-06 10:00:01', 1, 1)"
    )
    list(prove_all(filled))

    result = refresh_devices(filled, frame(*changed), dt.datetime.now(dt.UTC), complete=True)
    assert result.changes.empty == is_stored
    restate(filled, result)
    list(prove_all(filled, only_unverified=True))
    assert not any(unverified_partitions(filled, layer) for layer in DERIVED_LAYERS)
    assert is_settled(filled)
    owners = "SELECT DISTINCT customer_id FROM l3_power_joined WHERE timestamp >= '2026-01-08' ORDER BY 1"
    assert filled.query(owners).result_rows == [("c7",), ("new",)]
    assert customers_by_hour(filled, 1, DAYS[1]) == ["c1"] * 9 + ["new"] * 15
    assert filled.query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND match(name, '^(lock|staging)_')"
    ).result_rows == [(0,)]
