"""Layers of a network over a block of points: forward, back to their inputs, weights' gradients.

See `layout` for where all lies. Of a block's rows the first `points` are used, a multiple of PANEL.
The gradients of weights are collected in the scratch, in the order of the blocks, and put in place
at the end.
"""

from typing import Any

import numpy as np

from siren_codec.fit.kernels.blocks import outer_block, product_block
from siren_codec.fit.kernels.compiler import inner, summing
from siren_codec.fit.kernels.layout import INS, LANES, OUTS, PANEL, STRIDE, ZEROS, Layer

__all__ = ["add_up", "affine", "back", "begin", "clear", "gradients"]

OUTPUTS, INPUTS, WEIGHT = int(Layer.OUTPUTS), int(Layer.INPUTS), int(Layer.WEIGHT)
SUMS, OUT = int(Layer.SUMS), int(Layer.OUT)

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
