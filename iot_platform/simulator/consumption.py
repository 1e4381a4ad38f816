"""How much energy a meter's building truly uses in one interval: load profile, scale, wandering and noise.

``table`` computes every meter at every slot, ``at`` single readings. Both do the same arithmetic in the same order on
each reading, so they agree to the last bit; a test holds them to it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from iot_platform.simulator.faults import FAULT_BITS
from iot_platform.simulator.load_profiles import energy_shares
from iot_platform.simulator.population import Population
from iot_platform.simulator.random_numbers import Floats, UInt64s, draw, unit

#: Steps per kWh of a meter's register: it counts whole 0.0001 kWh.
STEPS_PER_KWH = 10_000

# A reading has one random number: the top bits choose its fault, the next its noise, the last its rounding.
_NOISE_BITS = (64 - FAULT_BITS) // 2
_NOISE_MASK = np.uint64((1 << _NOISE_BITS) - 1)

#: How long an appliance runs, s.
_APPLIANCE_S = 300

Slots = NDArray[np.int64]


def random_bits(meters: Population, slots: Slots) -> UInt64s:
    """The random number of every reading, shape (slots, meters)."""
    return draw(meters.reading_keys[None, :], slots[:, None])


def table(meters: Population, slots: Slots, interval_s: int, bits: UInt64s) -> Floats:
    """Energy in kWh of consecutive slots (intervals since 1970), shape (slots, meters); ``bits`` of random_bits."""
    starts_s = slots * interval_s
    shares = energy_shares(meters.curve_type[None, :], starts_s[:, None], meters.curve_shift_s[None, :], interval_s)
    hours, into_hour = np.divmod(starts_s, 3600)
    levels = _hour_levels(meters, np.arange(hours[0], hours[-1] + 2))
    before = hours - hours[0]
    energy = np.take(shares, meters.curve, axis=1)
    energy *= meters.annual_kWh
    energy *= _between(levels[before], levels[before + 1], into_hour[:, None] * (1 / 3600))
    return _registered(energy, _noise_size(meters.white, interval_s), bits)


def at(meters: Population, slots: Slots, meter: NDArray[np.intp], interval_s: int) -> Floats:
    """Energy in kWh of single readings, given the slot and the position of the meter of each."""
    starts_s = slots * interval_s
    curve = meters.curve[meter]
    energy = energy_shares(meters.curve_type[curve], starts_s, meters.curve_shift_s[curve], interval_s)
    hours, into_hour = np.divmod(starts_s, 3600)
    levels = [_hour_level(meters, hour, meter) for hour in (hours, hours + 1)]
    energy *= meters.annual_kWh[meter]
    energy *= _between(levels[0], levels[1], into_hour * (1 / 3600))
    return _registered(energy, _noise_size(meters.white[meter], interval_s), draw(meters.reading_keys[meter], slots))


def _noise_size(white: Floats, interval_s: int) -> Floats:
    """The noise of single readings: appliances that switch average out over an interval longer than they run."""
    return white * min(1.0, math.sqrt(_APPLIANCE_S / interval_s))


def _registered(energy: Floats, noise_size: Floats, bits: UInt64s) -> Floats:
    """The energy (kWh, changed in place) with the noise of single readings, in whole steps of the meter's register."""
    noise = ((bits >> np.uint64(_NOISE_BITS)) & _NOISE_MASK).astype(np.float64)
    noise *= 2.0**-_NOISE_BITS
    # The cube of a uniform number has mean 1/4: mostly a little less than the average, now and then much more.
    noise *= noise * noise
    noise *= 4.0
    noise -= 1.0
    noise *= noise_size
    noise += 1.0
    energy *= noise
    # A register keeps the fraction for the next reading. Rounding up as often as the fraction says has the same sum and
    # needs no memory; plain rounding would make most readings of short intervals zero.
    energy *= STEPS_PER_KWH
    np.multiply((bits & _NOISE_MASK).astype(np.float64), 2.0**-_NOISE_BITS, out=noise)
    energy += noise
    np.floor(energy, out=energy)
    energy /= STEPS_PER_KWH
    return energy


def _hour_levels(meters: Population, hours: NDArray[np.int64]) -> Floats:
    """Factor around 1 at the beginning of consecutive hours (since 1970), shape (hours, meters)."""
    days, hour = np.divmod(hours, 24)
    daily = _knots(meters.day_keys, np.arange(days[0], days[-1] + 2)[:, None], meters.day_spread)
    before = days - days[0]
    return _knots(meters.hour_keys, hours[:, None], meters.hour_spread) * _between(
        daily[before], daily[before + 1], hour[:, None] * (1 / 24)
    )


def _hour_level(meters: Population, hours: NDArray[np.int64], meter: NDArray[np.intp]) -> Floats:
    """The factors of _hour_levels for single pairs of hour and meter."""
    days, hour = np.divmod(hours, 24)
    keys, spread = meters.day_keys[meter], meters.day_spread[meter]
    daily = _between(_knots(keys, days, spread), _knots(keys, days + 1, spread), hour * (1 / 24))
    return _knots(meters.hour_keys[meter], hours, meters.hour_spread[meter]) * daily


def _knots(keys: UInt64s, counters: NDArray[np.int64], spread: Floats) -> Floats:
    """Random factors of mean 1 between 1 - spread and 1 + 2 * spread: often a little low, now and then high."""
    chance = unit(draw(keys, counters))
    return 1 + spread * (3 * chance * chance - 1)


def _between(before: Floats, after: Floats, fraction: Floats) -> Floats:
    """Linear interpolation."""
    return before + (after - before) * fraction
