"""Elementary functions of float32 numbers, written so that loops over them become vectors.

Each polynomial interpolates its function at Chebyshev's points of the interval; absolute errors
are below 1e-7, about half a unit in the last place of 1.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from siren_codec.fit.kernels.compiler import inner, intrinsic

__all__ = ["exp2", "log2", "sine_and_cosine", "tanh"]

_1 = np.float32(1)
_HALF = np.float32(0.5)
_PER_PI = np.float32(1 / np.pi)
# pi in three parts: products of the first two and numbers below 2**12 are exact.
_PI_1 = np.float32(3.140625)
_PI_2 = np.float32(9.67502593994140625e-4)
_PI_3 = np.float32(1.509957990978376432e-7)
_S1, _S2 = np.float32(-1.66666660e-1), np.float32(8.33324200e-3)
_S3, _S4 = np.float32(-1.98227212e-4), np.float32(2.63469721e-6)
_C1, _C2 = np.float32(4.16666661e-2), np.float32(-1.38888124e-3)
_C3, _C4 = np.float32(2.47860671e-5), np.float32(-2.65455695e-7)
_E0, _E1, _E2 = np.float32(1), np.float32(6.93147207e-1), np.float32(2.40226509e-1)
_E3, _E4 = np.float32(5.55032723e-2), np.float32(9.61805668e-3)
_E5, _E6 = np.float32(1.34004282e-3), np.float32(1.54614447e-4)
_L1, _L2 = np.float32(2.88539008), np.float32(9.61798840e-1)
_L3, _L4 = np.float32(5.76714950e-1), np.float32(4.31724080e-1)
_MOST = np.float32(126)
_SIGN = np.int32(31)
_BIAS, _MANTISSA = np.int32(127), np.int32(23)
_ROOT_HALF = np.int32(0x3F3504F3)
"""The bits of sqrt(1/2)."""
_TWO_PER_LN2 = np.float32(2 / np.log(2))


@inner
def sine_and_cosine(x: Any) -> Any:
    """Return both, for |x| up to 10,000: x less the nearest multiple of pi, then polynomials."""
    turns = np.floor(x * _PER_PI + _HALF)
    rest = x - turns * _PI_1
    rest = rest - turns * _PI_2
    rest = rest - turns * _PI_3
    sign = np.int32(turns) << _SIGN
    square = rest * rest
    odd = _S3 + square * _S4
    odd = _S2 + square * odd
    odd = _S1 + square * odd
    even = _C3 + square * _C4
    even = _C2 + square * even
    even = _C1 + square * even
    sine = rest + rest * square * odd
    cosine = _1 - _HALF * square + square * square * even
    return _of_bits(_bits(sine) ^ sign), _of_bits(_bits(cosine) ^ sign)


@inner
def exp2(x: Any) -> Any:
    """Return 2**x, of x within -126 and 126."""
    x = min(max(x, -_MOST), _MOST)
    whole = np.floor(x + _HALF)
    rest = x - whole
    found = _E5 + rest * _E6
    found = _E4 + rest * found
    found = _E3 + rest * found
    found = _E2 + rest * found
    found = _E1 + rest * found
    found = _E0 + rest * found
    return found * _of_bits((np.int32(whole) + _BIAS) << _MANTISSA)


@inner
def log2(x: Any) -> Any:
    """Return the binary logarithm of a normal number above 0: 2 artanh((m - 1) / (m + 1)) / ln 2
    of the mantissa m in [sqrt(1/2), sqrt(2)), and the exponent.
    """
    bits = _bits(x)
    exponent = (bits - _ROOT_HALF) >> _MANTISSA
    rest = _of_bits(bits - (exponent << _MANTISSA)) - _1
    ratio = rest / (rest + np.float32(2))
    square = ratio * ratio
    found = _L3 + square * _L4
    found = _L2 + square * found
    found = _L1 + square * found
    return np.float32(exponent) + ratio * found


@inner
def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent."""
    return _1 - np.float32(2) / (exp2(x * _TWO_PER_LN2) + _1)


@intrinsic
def _bits(typing: Any, x: Any) -> Any:  # noqa: ARG001
    """Return the bits of a float32 as an int32."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
def _of_bits(typing: Any, bits: Any) -> Any:  # noqa: ARG001
    """Return the float32 of an int32's bits, and of the lowest 32 bits of an int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate
