"""Restatement: rebuild the days that a change of metadata affects, so that their readings get the new metadata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from iot_platform.devices.energy import EnergyChange, energy_by_customer
from iot_platform.devices.refresh import RefreshResult
from iot_platform.errors import PlatformError, ProofError
from iot_platform.layers.catalog import DERIVED_LAYERS, DEVICES, L2, L3, MARTS, RAW_TABLE, Layer
from iot_platform.layers.comparison import Proof
from iot_platform.layers.invalidations import pending_invalidations
from iot_platform.layers.partitions import grouped, partition_rows
from iot_platform.layers.proof import prove_partitions


@dataclass(frozen=True)
class Restatement:
    """The proofs of the restated days, and the energy per customer on the affected days before and after."""

    proofs: list[Proof]
    energy: EnergyChange

    @property
    def days(self) -> list[str]:
        """Partitions that were proved again, oldest first."""
        return sorted({proof.partition for proof in self.proofs}, key=int)

    @property
    def rebuilt(self) -> dict[str, int]:
        """The number of days that were rebuilt, by layer."""
        return {
            layer.name: sum(proof.was_rebuilt for proof in self.proofs if proof.layer == layer.name)
            for layer in DERIVED_LAYERS
        }


def restate(
    client: Client,
    result: RefreshResult,
    *,
    run_id: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Restatement:
    """Prove the layers of the days that a refresh affects, and of days that an earlier refresh left unverified.

    These are L3 and the marts; where a limit per building type changed as well, also L2 and the quarantine. The days go
    through all layers in groups of bounded size. ``progress`` is called with the number of days done and of all days.
    Readings that arrive meanwhile are part of the energy after, but not of the energy before. Raises ProofError if it
    cannot be completed: the new metadata stays in use, and the other days stay unverified.
    """
    wanted = _wanted(client, result)
    days = sorted(set().union(*wanted.values()), key=int)
    proofs: list[Proof] = []
    done = 0
    try:
        for group in grouped(days, partition_rows(client, RAW_TABLE)):
            for layer in DERIVED_LAYERS:
                own = [day for day in group if day in wanted[layer]]
                proofs += prove_partitions(client, layer, own, run_id=run_id)
            done += len(group)
            progress(done, len(days))
        after = energy_by_customer(client, result.days)
    except (PlatformError, ClickHouseError) as error:
        raise ProofError(
            f"The new metadata is stored and in use, but only {done:,} of {len(days):,} days were restated. The others "
            "are unverified (see iot-platform status). The next refresh restates them, even if its source has not "
            f"changed, and so does iot-platform prove. The problem: {error}"
        ) from error
    return Restatement(proofs, EnergyChange(result.energy_before, after))


def _wanted(client: Client, result: RefreshResult) -> dict[Layer, set[str]]:
    wanted = {layer: result.touched[layer] | pending_invalidations(client, layer, DEVICES) for layer in DERIVED_LAYERS}
    # When a layer is rebuilt, the later layers must be proved as well.
    wanted[L3] |= wanted[L2]
    for mart in MARTS:
        wanted[mart] |= wanted[L3]
    return wanted
