"""Frequency tables for the range coder, by integer arithmetic alone.

Every machine must code with the same probabilities, so nothing here depends on a platform's
`exp`: the exponential is a Taylor series in 64-bit fixed point, the powers are repeated products
rounded down. `docs/FORMAT.md` specifies each step; the tests hold golden values.
"""

from enum import IntEnum
from functools import lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_MAGNITUDE", "PRECISION", "SCALES", "Family", "frequencies", "reach", "scale_of"]

PRECISION = 24
"""The frequencies of a table add up to 2**24: constriction's own precision."""
MAX_MAGNITUDE = 32767
"""The largest magnitude of a coded integer."""
SCALES = 64
"""Scale index i stands for the scale 2**((i - 8) / 4): 1/4 to about 13,777."""

_ONE = 1 << 64
# floor(2**64 * 2**(-k/4)) for k = 0, 1, 2, 3.
_ROOTS = (_ONE, 0xD744FCCAD69D6AF4, 0xB504F333F9DE6484, 0x9837F0518DB8A96F)


class Family(IntEnum):
    """The shapes of a table: the ids are the format's; append only."""

    LAPLACE = 0
    """p(v) ~ exp(-|v| / scale)"""
    GAUSSIAN = 1
    """p(v) ~ exp(-v^2 / (2 scale^2))"""


def scale_of(index: int) -> float:
    """Return the scale that an index stands for, in quantisation steps."""
    return float(2.0 ** ((index - 8) / 4))


def reach(index: int) -> int:
    """Return the largest magnitude that the table of a scale can code: 16 scales, at least 4."""
    return min(MAX_MAGNITUDE, max(4, 16 * (_scale_fixed(index) >> 48) >> 16))


@lru_cache(maxsize=256)
def frequencies(family: Family, index: int) -> npt.NDArray[np.int64]:
    """Return the (2 reach + 1,) frequencies of -reach..reach: all positive, together 2**24.

    One for each value; the rest is shared out by rounding the cumulative weights down.
    """
    magnitudes = _weights(family, index)
    cumulative = [0, *accumulate(magnitudes[:0:-1] + magnitudes)]
    free = (1 << PRECISION) - (len(cumulative) - 1)
    shares = [total * free // cumulative[-1] for total in cumulative]
    bounds = np.array(shares, np.int64)
    table = bounds[1:] - bounds[:-1] + 1
    table.setflags(write=False)
    return table


def _weights(family: Family, index: int) -> list[int]:
    """Return 2**64 p(v) / p(0) for v = 0..reach, each power one product more, rounded down."""
    inverse = _inverse_scale_fixed(index)
    if family is Family.LAPLACE:
        ratio, growth = _exp_minus(inverse), _ONE
    else:
        # v^2 grows by 1, 3, 5, ...: the ratio of neighbours starts at e^(-a) and gains e^(-2a).
        half_square = (inverse * inverse) >> 65
        ratio, growth = _exp_minus(half_square), _exp_minus(2 * half_square)
    weights = [_ONE]
    for _ in range(reach(index)):
        weights.append(weights[-1] * ratio >> 64)
        ratio = ratio * growth >> 64
    return weights


def _exp_minus(x: int) -> int:
    """Return 2**64 exp(-x / 2**64): halved until below 1/2, Taylor's series, squared back."""
    halvings = max(0, x.bit_length() - 63)
    x >>= halvings
    term, total, n = _ONE, _ONE, 0
    while term:
        n += 1
        term = (term * x >> 64) // n
        total += term if n % 2 == 0 else -term
    for _ in range(halvings):
        total = total * total >> 64
    return total


def _inverse_scale_fixed(index: int) -> int:
    """Return 2**64 / scale."""
    quarters = index - 8
    octaves, rest = divmod(quarters, 4)
    return _ROOTS[rest] << -octaves if octaves < 0 else _ROOTS[rest] >> octaves


def _scale_fixed(index: int) -> int:
    """Return 2**64 scale."""
    octaves, rest = divmod(8 - index, 4)
    return _ROOTS[rest] << -octaves if octaves < 0 else _ROOTS[rest] >> octaves
