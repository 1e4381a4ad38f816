"""The true energy that a meter's building uses in one interval: load profile, scale, slow variation and noise.

A slot is the number of an interval since 1970. ``energy_table`` computes all meters in consecutive slots, ``energy_of``
single readings. Both do the same arithmetic in the same order, so their results are equal to the last bit; a test
checks that.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from iot_platform.simulator.faults import FAULT_BITS
from iot_platform.simulator.load_profiles import energy_shares
from iot_platform.simulator.population import Population
from iot_platform.simulator.random_numbers import Floats, UInt64s, random_bits, unit_interval

#: Resolution of a meter's register: it counts steps of 0.0001 kWh.
STEPS_PER_KWH = 10_000

# Each reading has one random number: its top bits decide the fault, the next ones the noise, the last the rounding.
_NOISE_BITS = (64 - FAULT_BITS) // 2
_NOISE_MASK = np.uint64((1 << _NOISE_BITS) - 1)

#: Typical running time of an appliance, s.
_APPLIANCE_S = 300

Slots = NDArray[np.int64]


def bits_of_slots(meters: Population, slots: Slots) -> UInt64s:
    """The random bits of every reading in the slots, shape (slots, meters)."""
    return random_bits(meters.reading_keys[None, :], slots[:, None])


def energy_table(meters: Population, slots: Slots, interval_s: int, bits: UInt64s) -> Floats:
    """Energy in kWh in consecutive slots, shape (slots, meters). ``bits``: from bits_of_slots."""
    starts_s = slots * interval_s
    shares = energy_shares(meters.curve_type[None, :], starts_s[:, None], meters.curve_shift_s[None, :], interval_s)
    hours, into_hour = np.divmod(starts_s, 3600)
    levels = _hour_levels(meters, np.arange(hours[0], hours[-1] + 2))
    before = hours - hours[0]
    energy = np.take(shares, meters.curve, axis=1)
    energy *= meters.annual_kWh
    energy *= _interpolate(levels[before], levels[before + 1], into_hour[:, None] * (1 / 3600))
    return _registered(energy, _noise_amplitude(meters.reading_noise, interval_s), bits)


def energy_of(meters: Population, slots: Slots, meter: NDArray[np.intp], interval_s: int) -> Floats:
    """Energy in kWh of single readings, given the slot and the meter's position of each."""
    starts_s = slots * interval_s
    curve = meters.curve[meter]
    energy = energy_shares(meters.curve_type[curve], starts_s, meters.curve_shift_s[curve], interval_s)
    hours, into_hour = np.divmod(starts_s, 3600)
    levels = [_hour_level(meters, hour, meter) for hour in (hours, hours + 1)]
    energy *= meters.annual_kWh[meter]
    energy *= _interpolate(levels[0], levels[1], into_hour * (1 / 3600))
    return _registered(
        energy,
        _noise_amplitude(meters.reading_noise[meter], interval_s),
        random_bits(meters.reading_keys[meter], slots),
    )


def _noise_amplitude(reading_noise: Floats, interval_s: int) -> Floats:
    """Amplitude of the noise of single readings: in long intervals, appliances that switch on and off average out."""
    return reading_noise * min(1.0, math.sqrt(_APPLIANCE_S / interval_s))


def _registered(energy: Floats, noise_amplitude: Floats, bits: UInt64s) -> Floats:
    """Add the noise to the energy (kWh, changed in place) and round it to whole steps of the meter's register."""
    noise = ((bits >> np.uint64(_NOISE_BITS)) & _NOISE_MASK).astype(np.float64)
    noise *= 2.0**-_NOISE_BITS
    # The cube of a uniform number has the mean 1/4: most readings are a little below the average, a few far above.
    noise *= noise * noise
    noise *= 4.0
    noise -= 1.0
    noise *= noise_amplitude
    noise += 1.0
    energy *= noise
    # A real register keeps the fraction for the next reading. Rounding up with the probability of the fraction has the
    # same sum on average, without any state. Plain rounding would make most readings of short intervals zero.
    energy *= STEPS_PER_KWH
    np.multiply((bits & _NOISE_MASK).astype(np.float64), 2.0**-_NOISE_BITS, out=noise)
    energy += noise
    np.floor(energy, out=energy)
    energy /= STEPS_PER_KWH
    return energy


def _hour_levels(meters: Population, hours: NDArray[np.int64]) -> Floats:
    """Random factors around 1 at the start of consecutive hours (since 1970), shape (hours, meters)."""
    days, hour = np.divmod(hours, 24)
    daily = _random_factors(meters.day_keys, np.arange(days[0], days[-1] + 2)[:, None], meters.day_spread)
    before = days - days[0]
    return _random_factors(meters.hour_keys, hours[:, None], meters.hour_spread) * _interpolate(
        daily[before], daily[before + 1], hour[:, None] * (1 / 24)
    )


def _hour_level(meters: Population, hours: NDArray[np.int64], meter: NDArray[np.intp]) -> Floats:
    """The same factors as in _hour_levels, for single pairs of hour and meter."""
    days, hour = np.divmod(hours, 24)
    keys, spread = meters.day_keys[meter], meters.day_spread[meter]
    daily = _interpolate(_random_factors(keys, days, spread), _random_factors(keys, days + 1, spread), hour * (1 / 24))
    return _random_factors(meters.hour_keys[meter], hours, meters.hour_spread[meter]) * daily


def _random_factors(keys: UInt64s, counters: NDArray[np.int64], spread: Floats) -> Floats:
    """Random factors with mean 1 from 1 - spread to 1 + 2 * spread: most are a little below 1, a few far above."""
    chance = unit_interval(random_bits(keys, counters))
    return 1 + spread * (3 * chance * chance - 1)


def _interpolate(before: Floats, after: Floats, fraction: Floats) -> Floats:
    """Linear interpolation."""
    return before + (after - before) * fraction
