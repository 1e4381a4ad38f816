"""What a proof costs: ``iot-platform prove`` over readings that came in through the views."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import ONE_BLOCK
from iot_platform.clickhouse.client import connect, quoted
from iot_platform.clickhouse.server import Endpoint
from iot_platform.devices.refresh import reload_dictionaries
from iot_platform.settings import Settings
from iot_platform_tests.bench.contestants import VERSIONS
from iot_platform_tests.bench.figures import spread
from iot_platform_tests.bench.inserts import Say
from iot_platform_tests.bench.processes import Measured, clean_environment, measure
from iot_platform_tests.bench.sizes import Sizes

DATABASE = "bench_proofs"
PER_READINGS = 10_000_000
DAY_S = 86_400
DERIVED_TABLES = ("l2_power_cleaned", "power_quarantine", "l3_power_joined", "l4_power_agg_hourly_store")

# One day: every device sends the same number of readings, in the order of time; every five hundredth is refused.
ONE_DAY = """
INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh)
SELECT
    toDateTime('2026-02-02 00:00:00', 'UTC') + {day:UInt32} * 86400
        + intDiv(number, {devices:UInt32}) * {step_s:UInt32},
    number % {devices:UInt32} + 1,
    if(number % 500 = 7, -1, cityHash64(number, {day:UInt32}) % 2000 / 1000)
FROM numbers({rows:UInt64})
"""


def measure_proofs(endpoint: Endpoint, settings: Settings, home: Path, sizes: Sizes, say: Say) -> dict[str, Any]:
    """Seconds to prove layers that are right, and to rebuild layers that are empty."""
    own = settings.model_copy(update={"clickhouse_database": DATABASE})
    env = clean_environment(home, IOT_CLICKHOUSE_DATABASE=DATABASE)
    with ExitStack() as stack:
        measure(env, "migrate", "--json")
        client = connect(endpoint, own)
        stack.callback(client.close)
        stack.callback(client.command, f"DROP DATABASE {quoted(DATABASE)} SYNC")
        say(f"proofs: {sizes.proof_readings:,} readings of {sizes.proof_devices:,} devices in {sizes.proof_days} days")
        readings = _fill(client, sizes)
        proofs = []
        for number in range(sizes.proof_runs):
            say(f"proofs: prove, run {number + 1} of {sizes.proof_runs}")
            proofs.append(measure(env, "prove", "--json"))
        say("proofs: rebuild every day of every layer")
        for table in DERIVED_TABLES:
            client.command(f"TRUNCATE TABLE {table} SYNC")
        rebuild = measure(env, "prove", "--json")
    return _result(sizes, readings, proofs, rebuild)


def _fill(client: Client, sizes: Sizes) -> int:
    client.command(VERSIONS, parameters={"devices": sizes.proof_devices})
    reload_dictionaries(client)
    rows = sizes.proof_readings // sizes.proof_days
    step_s = DAY_S // (rows // sizes.proof_devices)
    for day in range(sizes.proof_days):
        parameters = {"day": day, "devices": sizes.proof_devices, "step_s": step_s, "rows": rows}
        client.command(ONE_DAY, parameters=parameters, settings=dict(ONE_BLOCK))
    return int(client.query("SELECT count() FROM l1_power_raw").result_rows[0][0])


def _result(sizes: Sizes, readings: int, proofs: list[Measured], rebuild: Measured) -> dict[str, Any]:
    differed = sum(proof["was_rebuilt"] for run in proofs for proof in run.answer["proofs"])
    if differed or not all(proof["was_rebuilt"] for proof in rebuild.answer["proofs"]):
        raise RuntimeError(f"{differed} partitions differed that were right, or empty ones were not rebuilt.")
    share = PER_READINGS / readings
    return {
        "readings": readings,
        "devices": sizes.proof_devices,
        "days": sizes.proof_days,
        "prove": [{**run.figures(), "layer_seconds": _layer_seconds(run)} for run in proofs],
        "rebuild": {**rebuild.figures(), "layer_seconds": _layer_seconds(rebuild)},
        "prove_seconds_per_10_million": spread([run.seconds * share for run in proofs]),
        "rebuild_seconds_per_10_million": rebuild.seconds * share,
    }


def _layer_seconds(run: Measured) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for proof in run.answer["proofs"]:
        seconds[proof["layer"]] = seconds.get(proof["layer"], 0.0) + proof["duration_s"]
    return seconds
