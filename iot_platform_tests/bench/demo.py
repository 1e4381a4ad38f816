"""Time of ``iot-platform demo --exit`` in a new home, until every layer is verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from iot_platform_tests.bench.inserts import Say
from iot_platform_tests.bench.processes import clean_environment, measure
from iot_platform_tests.bench.sizes import Sizes


def measure_demo(directory: Path, sizes: Sizes, say: Say) -> dict[str, Any]:
    """Seconds from the start to the end of the command."""
    say(f"demo: {sizes.demo_days} days")
    env = clean_environment(directory / "demo", **dict(sizes.demo_settings))
    run = measure(env, "demo", "--exit", "--json", "--days", str(sizes.demo_days))
    return {
        "days": sizes.demo_days,
        "seconds": run.seconds,
        "cpu_seconds": run.cpu_seconds,
        "readings": run.answer["layers"]["l1_power_raw"]["rows"],
        "proved": run.answer["proved"],
        "conserved": run.answer["conserved"],
    }
