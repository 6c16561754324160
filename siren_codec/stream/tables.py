"""Frequency tables for the range coder, by integer arithmetic alone.

Every machine must code with the same probabilities, so nothing here depends on a platform's
`exp`: powers of two come from small tables of products rounded down. `docs/FORMAT.md` specifies
each step; the tests hold golden values.
"""

from enum import IntEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = [
    "ESCAPE",
    "FRACTIONS",
    "MAX_MAGNITUDE",
    "PRECISION",
    "RESIDUAL_SCALES",
    "SCALES",
    "Family",
    "frequencies",
    "reach",
    "residual_frequencies",
]

PRECISION = 24
"""The frequencies of a table add up to 2**24: constriction's own precision."""
MAX_MAGNITUDE = 32767
"""The largest magnitude of a coded integer."""
SCALES = 64
"""Scale index i stands for the scale 2**((i - 8) / 4): 1/4 to about 13,777."""
ESCAPE = 31
"""The symbol of a residual beyond those that a table has: -15 to 15, whose symbols are 0 to 30."""
FRACTIONS = 16
"""The means of residuals that there are tables for: -8/16 to 7/16."""
RESIDUAL_SCALES = 37
"""Scale index i of a residual stands for the scale 2**((i - 20) / 4): 1/32 to 16."""

# 2**64 times these, rounded down: 2**(-k/4) for k = 0, 1, 2, 3; log2(e); and 2**(-1/256),
# 2**(-1/256**2), 2**(-1/256**3).
_ROOTS = (1 << 64, 0xD744FCCAD69D6AF4, 0xB504F333F9DE6484, 0x9837F0518DB8A96F)
_LOG2_E = 0x171547652B82FE177
_RATIOS = (0xFF4ECB59511EC8A5, 0xFFFF4E8E25879BFA, 0xFFFFFF4E8DE845AD)


class Family(IntEnum):
    """The shapes of a table: the ids are the format's; append only."""

    LAPLACE = 0
    """p(v) ~ exp(-|v| / scale)"""
    GAUSSIAN = 1
    """p(v) ~ exp(-v^2 / (2 scale^2))"""


def reach(index: int) -> int:
    """Return the largest magnitude that the table of a scale can code: 16 scales, at least 4."""
    return min(MAX_MAGNITUDE, max(4, _power(8 - index) >> 60))


@lru_cache(maxsize=2 * SCALES)
def frequencies(family: Family, index: int) -> npt.NDArray[np.int64]:
    """Return the (2 reach + 1,) frequencies of -reach..reach: all positive, together 2**24.

    One for each value; the rest is shared out by rounding the cumulative weights down.
    """
    magnitudes = _weights(family, index)
    weights = np.concatenate([magnitudes[:0:-1], magnitudes])
    cumulative = np.concatenate([np.zeros(1, np.uint64), np.cumsum(weights, dtype=np.uint64)])
    # A sum of at most 39 bits times one of 24 bits fits into 64.
    cumulative >>= np.uint64(max(0, int(cumulative[-1]).bit_length() - 39))
    free = np.uint64((1 << PRECISION) - len(weights))
    shares = (cumulative * free // cumulative[-1]).astype(np.int64)
    table: npt.NDArray[np.int64] = shares[1:] - shares[:-1] + 1
    table.setflags(write=False)
    return table


@lru_cache(maxsize=1)
def residual_frequencies() -> npt.NDArray[np.int64]:
    """Return the (RESIDUAL_SCALES * FRACTIONS, ESCAPE + 1) frequencies of residuals.

    Row FRACTIONS i + f + 8 holds the Laplace of scale index i around f / 16, integrated over each
    integer's cell; its symbols are 0, -1, 1, -2, ... 15 and the escape, with the mass of both
    tails. The likely ones come first because constriction searches them in this order. All are
    positive, and a row adds up to 2**24.
    """
    reach, half = ESCAPE // 2, FRACTIONS // 2
    order = np.argsort(np.abs(np.arange(-reach, reach + 1)), kind="stable")
    edges = FRACTIONS * np.arange(-reach, reach + 2) - half
    edges = edges - np.arange(-half, half)[:, None]
    weights = np.empty((RESIDUAL_SCALES, FRACTIONS, ESCAPE + 1), np.uint64)
    for index, rows in enumerate(weights):
        below = _laplace_below(edges, index)
        inside = np.diff(below, axis=1)
        rows[:, :ESCAPE] = inside[:, order]
        rows[:, ESCAPE] = np.uint64(1 << 32) - inside.sum(axis=1)
    # A sum of at most 33 bits times one of 24 bits fits into 64.
    cumulative = np.cumsum(weights.reshape(-1, ESCAPE + 1), axis=1, dtype=np.uint64)
    free = np.uint64((1 << PRECISION) - ESCAPE - 1)
    shares = (cumulative * free >> np.uint64(32)).astype(np.int64)
    table = np.diff(shares, axis=1, prepend=0) + 1
    table.setflags(write=False)
    return table


def _laplace_below(edges: npt.NDArray[np.int64], index: int) -> npt.NDArray[np.uint64]:
    """Return 2**32 times a Laplace's mass below edges that are given in sixteenths."""
    rate = np.uint64(_LOG2_E * _power(index - 20) >> 80)
    tail = _exp2_minus(np.abs(edges).astype(np.uint64) * rate >> np.uint64(28))
    return np.where(edges < 0, tail, np.uint64(1 << 32) - tail)


def _weights(family: Family, index: int) -> npt.NDArray[np.uint64]:
    """Return 2**31 p(q) / p(0) for q = 0..reach, rounded down."""
    q = np.arange(reach(index) + 1, dtype=np.uint64)
    if family is Family.LAPLACE:
        octaves = q * np.uint64(_LOG2_E * _power(index - 8) >> 80)
    else:
        octaves = q * q * np.uint64(_LOG2_E * _power(2 * (index - 8)) >> 81)
    return _exp2_minus(octaves >> np.uint64(24))


def _exp2_minus(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return 2**31 2**(-x / 2**24): a table for each byte of the fraction, a shift for the rest."""
    high, middle, low = _fraction_tables()
    byte = np.uint64(255)
    weights: npt.NDArray[np.uint64]
    weights = high[x >> np.uint64(16) & byte] * middle[x >> np.uint64(8) & byte] >> np.uint64(31)
    weights = weights * low[x & byte] >> np.uint64(31)
    weights >>= np.minimum(x >> np.uint64(24), np.uint64(32))
    return weights


@lru_cache(maxsize=1)
def _fraction_tables() -> tuple[npt.NDArray[np.uint64], ...]:
    """Return 2**31 ratio**j, j = 0..255, for each of `_RATIOS`, by products rounded down."""
    tables = []
    for ratio in _RATIOS:
        powers = [1 << 64]
        for _ in range(255):
            powers.append(powers[-1] * ratio >> 64)
        tables.append(np.array([power >> 33 for power in powers], np.uint64))
    return tuple(tables)


def _power(quarters: int) -> int:
    """Return 2**64 2**(-quarters / 4)."""
    octaves, rest = divmod(quarters, 4)
    return _ROOTS[rest] << -octaves if octaves < 0 else _ROOTS[rest] >> octaves
