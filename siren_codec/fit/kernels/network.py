"""Layers of a network over a block of points: forward, back to their inputs, weights' gradients.

A block's values lie in the flat float32 `scratch`: a row for each input or output of a layer,
STRIDE numbers apart, of which the first `points` are used, a multiple of PANEL. A network is a flat
float32 array of `parameters` and a table with a row for each layer (see its columns); outputs and
inputs are made up to multiples of 4 by zeros, which change nothing. The gradients of weights are
collected in `scratch`, in the order of the blocks, and put in place at the end.
"""

from typing import Any

import numpy as np

from siren_codec.fit.kernels.blocks import INS, OUTS, PANEL, outer_block, product_block
from siren_codec.fit.kernels.compiler import LANES, inner, summing

__all__ = [
    "BIAS",
    "BLOCK",
    "COLUMNS",
    "INPUTS",
    "OUT",
    "OUTPUTS",
    "SLOPE",
    "STRIDE",
    "SUMS",
    "WEIGHT",
    "ZEROS",
    "add_up",
    "affine",
    "back",
    "begin",
    "clear",
    "gradients",
]

BLOCK = 128
"""Points of a block, about: its activations stay in a core's cache."""
STRIDE = BLOCK + 48
"""What lies between rows: more than a block, for vectors at its end; no power of 2, for those share
the cache's places."""
ZEROS = 0
"""Where in the scratch OUTS zeros lie."""

OUTPUTS, INPUTS, WEIGHT, BIAS, SUMS, OUT, SLOPE = range(7)
"""The columns of a table: sizes; places in the parameters; and in the scratch those of the sums of
the weights' gradients, of the outputs and of the activation's slopes."""
COLUMNS = 7

_0 = np.float32(0)


@inner
def affine(
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
def back(
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
def gradients(
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


@summing
def _sum(values: Any) -> Any:
    total = np.float32(0)
    for p in range(len(values)):
        total += values[p]
    return total
