"""Time and memory of ``iot-platform prove``, for readings that the materialized views have processed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import ONE_BLOCK
from iot_platform.clickhouse.client import connect, quoted
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.layers.catalog import DERIVED_LAYERS
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.proof import prove_all
from iot_platform.settings import Settings
from iot_platform_tests.bench.contestants import VERSIONS
from iot_platform_tests.bench.figures import spread
from iot_platform_tests.bench.inserts import Say
from iot_platform_tests.bench.processes import Measured, clean_environment, measure
from iot_platform_tests.bench.server_cpu import ServerCpu
from iot_platform_tests.bench.sizes import Sizes

DATABASE = "bench_proofs"
PER_READINGS = 10_000_000
DAY_S = 86_400
DERIVED_TABLES = tuple(layer.table for layer in DERIVED_LAYERS)

# One day: all devices send the same number of readings, sorted by time; every five hundredth is quarantined.
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
    """Seconds and memory to verify correct layers of several sizes, and to rebuild empty layers."""
    own = settings.model_copy(update={"clickhouse_database": DATABASE})
    env = clean_environment(home, IOT_CLICKHOUSE_DATABASE=DATABASE)
    with ExitStack() as stack:
        measure(env, "migrate", "--json")
        client = connect(endpoint, own)
        stack.callback(client.close)
        stack.callback(client.command, f"DROP DATABASE {quoted(DATABASE)} SYNC")
        client.command(VERSIONS, parameters={"devices": sizes.proof_devices})
        reload_dictionaries(client)
        cpu, steps, filled = ServerCpu(settings), [], 0
        for days in sizes.proof_days:
            for day in range(filled, days):
                _fill_day(client, sizes, day)
            filled = days
            steps.append(_step(client, env, cpu, days, sizes, say))
        say("proofs: rebuild every day of every layer")
        for table in DERIVED_TABLES:
            client.command(f"TRUNCATE TABLE {table} SYNC")
        rebuild, rebuild_memory = _measured(client, env)
    if not all(proof["was_rebuilt"] for proof in rebuild.answer["proofs"]):
        raise RuntimeError("Empty layers were not rebuilt.")
    readings = steps[-1]["readings"]
    return {
        "devices": sizes.proof_devices,
        "steps": steps,
        "rebuild": {
            **rebuild.figures(),
            "layer_seconds": _layer_seconds(rebuild),
            "query_memory_bytes": rebuild_memory,
        },
        "rebuild_seconds_per_10_million": rebuild.seconds * PER_READINGS / readings,
    }


def _fill_day(client: Client, sizes: Sizes, day: int) -> None:
    step_s = DAY_S // (sizes.proof_day_readings // sizes.proof_devices)
    parameters = {"day": day, "devices": sizes.proof_devices, "step_s": step_s, "rows": sizes.proof_day_readings}
    client.command(ONE_DAY, parameters=parameters, settings=dict(ONE_BLOCK))


def _step(client: Client, env: Mapping[str, str], cpu: ServerCpu, days: int, sizes: Sizes, say: Say) -> dict[str, Any]:
    """Verify all days: with all data read, and again when they are verified already."""
    readings = int(client.query("SELECT count() FROM l1_power_raw").result_rows[0][0])
    say(f"proofs: {readings:,} readings of {sizes.proof_devices:,} devices in {days} days")
    runs = [_measured(client, env, "--full") for _ in range(sizes.proof_runs)]
    look = measure(env, "prove", "--json")
    proofs = [proof for run, _ in runs for proof in run.answer["proofs"]]
    if any(proof["was_rebuilt"] for proof in proofs) or look.answer["proofs"] or not proofs:
        raise RuntimeError("Partitions differed that were right, or were read again although they were proved.")
    return {
        "readings": readings,
        "days": days,
        "prove": [{**run.figures(), "layer_seconds": _layer_seconds(run)} for run, _ in runs],
        "prove_seconds_per_10_million": spread([run.seconds * PER_READINGS / readings for run, _ in runs]),
        "proof_seconds": spread([sum(_layer_seconds(run).values()) for run, _ in runs]),
        "query_memory_bytes": max(memory for _, memory in runs),
        "first_look_seconds": look.seconds,
        "cpu_seconds_per_10_million": _layer_cpu(client, cpu, PER_READINGS / readings, sizes.proof_runs),
    }


def _layer_cpu(client: Client, cpu: ServerCpu, scale: float, runs: int) -> dict[str, float]:
    """CPU seconds of the server to compare each layer, times ``scale``: the least of several runs."""
    found: dict[str, list[float]] = {layer.name: [] for layer in DERIVED_LAYERS}
    for _ in range(runs):
        for layer in DERIVED_LAYERS:
            before = cpu.seconds()
            for _proof in prove_all(client, layers=[layer]):
                pass
            found[layer.name].append((cpu.seconds() - before) * scale)
    return {layer: min(seconds) for layer, seconds in found.items()}


def _measured(client: Client, env: Mapping[str, str], *options: str) -> tuple[Measured, int]:
    """A run of ``prove``, and the peak memory of its queries in the server."""
    started = client.query("SELECT now64(6)").result_rows[0][0]
    run = measure(env, "prove", "--json", *options)
    client.command("SYSTEM FLUSH LOGS")
    rows = client.query(
        "SELECT max(memory_usage) FROM system.query_log WHERE event_time_microseconds >= {started:DateTime64(6)} "
        "AND current_database = currentDatabase()",
        parameters={"started": started},
    ).result_rows
    return run, int(rows[0][0])


def _layer_seconds(run: Measured) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for proof in run.answer["proofs"]:
        seconds[proof["layer"]] = seconds.get(proof["layer"], 0.0) + proof["duration_s"]
    return seconds
