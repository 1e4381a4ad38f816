"""Restate the days that a change of metadata touches, and only those: readings get the metadata of their time anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from iot_platform.devices.energy import EnergyChange, energy_by_customer
from iot_platform.devices.refresh import TABLE, RefreshResult
from iot_platform.errors import PlatformError, ProofError
from iot_platform.layers.catalog import DERIVED_LAYERS, L2, L3, MARTS, RAW_TABLE, Layer
from iot_platform.layers.invalidations import pending_invalidations
from iot_platform.layers.partitions import grouped, partition_rows
from iot_platform.layers.proof import Proof, prove_partitions


@dataclass(frozen=True)
class Restatement:
    """The proofs of the restated days, and the energy per customer over the refresh's days before and after."""

    proofs: list[Proof]
    energy: EnergyChange

    @property
    def days(self) -> list[str]:
        """Partitions that were proved again, oldest first."""
        return sorted({proof.partition for proof in self.proofs}, key=int)

    @property
    def rebuilt(self) -> dict[str, int]:
        """By layer, how many of the days differed and were rebuilt."""
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
    """Prove L3 and the marts (where limits changed along, L2 and quarantine too) of the days a refresh has touched.

    Days that an earlier refresh left open are taken along. They go through all layers in groups of bounded size;
    ``progress`` is called with the days done and all of them. Readings may arrive all the while: those of the restated
    days are part of the energy after, not of that before, which was read before the change took effect. Raises
    ProofError when it cannot be finished: the new metadata stays, and so do the requests for the days not restated.
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
            "are open (iot-platform status): the next refresh restates them, also when its source has not changed, "
            f"and so does iot-platform prove. What went wrong: {error}"
        ) from error
    return Restatement(proofs, EnergyChange(result.before, after))


def _wanted(client: Client, result: RefreshResult) -> dict[Layer, set[str]]:
    wanted = {layer: result.touched[layer] | pending_invalidations(client, layer, TABLE) for layer in DERIVED_LAYERS}
    # Whoever rebuilds a layer has to look at those below.
    wanted[L3] |= wanted[L2]
    for mart in MARTS:
        wanted[mart] |= wanted[L3]
    return wanted
