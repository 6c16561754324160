"""A network over a block of points: forward, back to its inputs, weights' gradients.

See `layout` for where all lies. Of a block's rows the first `points` are used, a multiple of PANEL.
The gradients of weights are collected in the scratch, in the order of the blocks, and put in place
at the end.
"""

from typing import Any

import numpy as np

from siren_codec.fit.kernels.blocks import outer_block, product_block
from siren_codec.fit.kernels.compiler import inner, summing
from siren_codec.fit.kernels.elementary import sine_and_cosine
from siren_codec.fit.kernels.layout import (
    INS,
    LANES,
    OUTS,
    PANEL,
    STRIDE,
    ZEROS,
    Layer,
    NetworkPlace,
)

__all__ = ["add_up", "backward", "begin", "clear", "forward"]

# numba takes an enumeration's members for objects.
OUTPUTS, INPUTS, WEIGHT, BIAS, SUMS, OUT, SLOPE = map(int, Layer)
_X, _LAST, _EVEN, _ODD = map(int, NetworkPlace)

_0 = np.float32(0)
_HALF = np.float32(0.5)


@inner
def forward(
    parameters: Any,
    table: Any,
    first_bias: int,
    scratch: Any,
    places: Any,
    points: int,
    sines: bool,
) -> None:
    """Set the outputs of all layers: hidden ones are sines, or rectified."""
    last = table.shape[0] - 1
    x = places[_X]
    for layer in range(last + 1):
        bias = table[layer, BIAS] if layer else first_bias
        _affine(parameters, table, layer, bias, scratch, x, points)
        x = table[layer, OUT]
        if layer == last:
            break
        for o in range(table[layer, OUTPUTS]):
            y = x + o * STRIDE
            if sines:
                slope = table[layer, SLOPE] + o * STRIDE
                _sines(scratch[y : y + points], scratch[slope : slope + points])
            else:
                _rectify(scratch[y : y + points])


@inner
def backward(
    parameters: Any,
    table: Any,
    first_bias: int,
    scratch: Any,
    places: Any,
    points: int,
    sines: bool,
    gradient: Any,
) -> Any:
    """Collect the gradients by the weights, add those by the biases to `gradient`, and return where
    those by the inputs lie, given those by the outputs in the outputs' place.
    """
    last = table.shape[0] - 1
    slope_of = table[last, OUT]
    for layer in range(last, -1, -1):
        x = table[layer - 1, OUT] if layer else places[_X]
        bias = table[layer, BIAS] if layer else first_bias
        _gradients(table, layer, scratch, slope_of, x, points, gradient[bias:])
        out = places[_EVEN] if layer % 2 else places[_ODD]
        if layer == last:
            out = places[_LAST]
        _back(parameters, table, layer, scratch, slope_of, out, points)
        slope_of = out
        if layer == 0:
            break
        for o in range(table[layer - 1, OUTPUTS]):
            y = out + o * STRIDE
            if sines:
                slope = table[layer - 1, SLOPE] + o * STRIDE
                _multiply(scratch[y : y + points], scratch[slope : slope + points])
            else:
                active = table[layer - 1, OUT] + o * STRIDE
                _mask(scratch[y : y + points], scratch[active : active + points])
    if last == 0:
        return slope_of
    hidden = table[last - 1, OUTPUTS]
    for k in range(table[last, INPUTS] - hidden):
        y, other = slope_of + k * STRIDE, places[_LAST] + (hidden + k) * STRIDE
        _add(scratch[y : y + points], scratch[other : other + points])
    return slope_of


@inner
def _affine(
    parameters: Any, table: Any, layer: int, bias: int, scratch: Any, x: int, points: int
) -> None:
    """Set a layer's outputs: weight x + bias."""
    ins, weight, out = table[layer, INPUTS], table[layer, WEIGHT], table[layer, OUT]
    for p in range(0, points, PANEL):
        for o in range(0, table[layer, OUTPUTS], OUTS):
            product_block(
                *(scratch, out + o * STRIDE + p, STRIDE),
                *(parameters, weight + o * ins, ins, 1),
                *(parameters, bias + o),
                *(scratch, x + p, STRIDE, ins),
            )


@inner
def _back(
    parameters: Any, table: Any, layer: int, scratch: Any, gradient: int, out: int, points: int
) -> None:
    """Set the gradient of a layer's inputs, given that of its outputs: weight^T gradient."""
    ins, weight = table[layer, INPUTS], table[layer, WEIGHT]
    for p in range(0, points, PANEL):
        for i in range(0, ins, OUTS):
            product_block(
                *(scratch, out + i * STRIDE + p, STRIDE),
                *(parameters, weight + i, 1, ins),
                *(scratch, ZEROS),
                *(scratch, gradient + p, STRIDE, table[layer, OUTPUTS]),
            )


@inner
def _gradients(
    table: Any, layer: int, scratch: Any, gradient: int, x: int, points: int, biases: Any
) -> None:
    """Add what a block says of a layer's weights to their sums, and of its biases to `biases`."""
    place = table[layer, SUMS]
    for o in range(0, table[layer, OUTPUTS], OUTS):
        for i in range(0, table[layer, INPUTS], INS):
            outer_block(
                *(scratch, place),
                *(scratch, gradient + o * STRIDE, STRIDE),
                *(scratch, x + i * STRIDE, STRIDE, points),
            )
            place += LANES
    for o in range(table[layer, OUTPUTS]):
        start = gradient + o * STRIDE
        biases[o] += _sum(scratch[start : start + points])


@inner
def add_up(table: Any, layer: int, scratch: Any, out: Any) -> None:
    """Write the gradients of a layer's weights, of all blocks, to their places in `out`."""
    place = table[layer, SUMS]
    ins, weight = table[layer, INPUTS], table[layer, WEIGHT]
    for o in range(0, table[layer, OUTPUTS], OUTS):
        for i in range(0, ins, INS):
            for k in range(OUTS * INS):
                total = scratch[place + k]
                for part in range(OUTS * INS, LANES, OUTS * INS):
                    total += scratch[place + k + part]
                out[weight + (o + k // INS) * ins + i + k % INS] = total
            place += LANES


@inner
def begin(table: Any, x: int, scratch: Any) -> None:
    """Set the zeros, and the rows of the inputs: not all of these are written."""
    scratch[ZEROS : ZEROS + OUTS] = _0
    scratch[x : x + table[0, INPUTS] * STRIDE] = _0


@inner
def clear(table: Any, layer: int, scratch: Any) -> None:
    """Begin a layer's sums anew."""
    place = table[layer, SUMS]
    scratch[
        place : place + table[layer, OUTPUTS] * table[layer, INPUTS] // (OUTS * INS) * LANES
    ] = _0


@inner
def _sines(values: Any, slopes: Any) -> None:
    for p in range(len(values)):
        sine, cosine = sine_and_cosine(values[p])
        values[p] = sine
        slopes[p] = cosine


@inner
def _multiply(values: Any, factors: Any) -> None:
    for p in range(len(values)):
        values[p] *= factors[p]


@inner
def _rectify(values: Any) -> None:
    for p in range(len(values)):
        # The larger of v and 0, in a form that becomes vectors, and that a NaN survives.
        values[p] = _HALF * (values[p] + abs(values[p]))


@inner
def _mask(values: Any, active: Any) -> None:
    for p in range(len(values)):
        values[p] = values[p] if active[p] > _0 else _0


@inner
def _add(values: Any, others: Any) -> None:
    for p in range(len(values)):
        values[p] += others[p]


@summing
def _sum(values: Any) -> Any:
    total = np.float32(0)
    for p in range(len(values)):
        total += values[p]
    return total
