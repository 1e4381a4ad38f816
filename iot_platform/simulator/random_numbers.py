"""Counter-based random numbers: the n-th number of a stream is a function of (key, n), without any state.

A simulated reading must be the same in every window that contains it, so a generator with a state cannot be used. The
n-th output of splitmix64 is ``mix(key + n * GOLDEN)``, for any n (Steele, Lea, Flood: "Fast splittable pseudorandom
number generators", OOPSLA 2014).
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

UInt64s = NDArray[np.uint64]
Floats = NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_MASK = (1 << 64) - 1


def stream_keys(seed: int, purpose: str, ids: ArrayLike) -> UInt64s:
    """One stream key per id. Streams with different seeds or purposes are independent of each other."""
    root = np.array([seed & _MASK, zlib.crc32(purpose.encode())], dtype=np.uint64)
    return random_bits(random_bits(root[:1], root[1:]), np.asarray(ids))


def random_bits(keys: UInt64s, counters: NDArray[Any]) -> UInt64s:
    """64 random bits for each pair of key and counter (arrays that are broadcast against each other)."""
    # The overflow is intended. Numpy warns about it for scalars, but not for arrays.
    state = np.atleast_1d(counters).astype(np.uint64) * _GOLDEN
    bits: UInt64s = keys + state
    shifted = np.empty_like(bits)
    for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
        np.right_shift(bits, np.uint64(shift), out=shifted)
        np.bitwise_xor(bits, shifted, out=bits)
        np.multiply(bits, factor, out=bits)
    np.right_shift(bits, np.uint64(31), out=shifted)
    np.bitwise_xor(bits, shifted, out=bits)
    return bits


def unit_interval(bits: UInt64s) -> Floats:
    """Map random bits to uniform numbers in [0, 1), by their upper 53 bits."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform_numbers(seed: int, purpose: str, ids: ArrayLike) -> Floats:
    """One uniform random number in [0, 1) per id."""
    return unit_interval(random_bits(stream_keys(seed, purpose, ids), np.zeros(1, dtype=np.int64)))
