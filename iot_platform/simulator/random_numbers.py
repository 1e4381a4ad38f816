"""Counter-based random numbers: the n-th number of a stream is a function of (key, n), with no state to carry.

A simulated reading must be the same whichever window asks for it, so a generator that is advanced call by call cannot
be used. The n-th output of splitmix64 is ``mix(key + n * GOLDEN)``, for any n at once (Steele, Lea, Flood: "Fast
splittable pseudorandom number generators", OOPSLA 2014).
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
    """One stream key per id; streams of another seed or purpose are independent of it."""
    root = np.array([seed & _MASK, zlib.crc32(purpose.encode())], dtype=np.uint64)
    return draw(draw(root[:1], root[1:]), np.asarray(ids))


def draw(keys: UInt64s, counters: NDArray[Any]) -> UInt64s:
    """64 random bits for each key and counter (arrays, broadcast against each other)."""
    # Arrays wrap around silently; a numpy scalar would warn about the overflow that is wanted here.
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


def unit(bits: UInt64s) -> Floats:
    """Uniform numbers in [0, 1) from the upper 53 bits."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(seed: int, purpose: str, ids: ArrayLike) -> Floats:
    """One uniform number in [0, 1) per id."""
    return unit(draw(stream_keys(seed, purpose, ids), np.zeros(1, dtype=np.int64)))
