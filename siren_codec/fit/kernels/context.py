"""The rate of bands of the grids: contexts, the context network, its Laplace, and all backwards."""

from typing import Any

import numpy as np

from siren_codec.fit.kernels.compiler import entry, inner, summing
from siren_codec.fit.kernels.elementary import exp2, log2
from siren_codec.fit.kernels.layout import BLOCK, PANEL, STRIDE, Band, ContextPlace, Layer
from siren_codec.fit.kernels.network import (
    add_up,
    affine,
    back,
    begin,
    clear,
    gradients,
)

__all__ = ["context_bands"]

# numba takes an enumeration's members for objects.
OUTPUTS, BIAS, OUT = map(int, (Layer.OUTPUTS, Layer.BIAS, Layer.OUT))
GRID, START, COLUMNS, TOP, FIRST, STOP, PATCH = map(int, Band)
_X, _EVEN, _ODD, _SYMBOLS = map(int, ContextPlace)

_0 = np.float32(0)
_1 = np.float32(1)
_HALF = np.float32(0.5)
_LOW, _HIGH = np.float32(-5), np.float32(4)
"""The range of the scales' binary logarithms."""
_LEAST_PROBABILITY = np.float32(2.0**-24)
_PER_LN2 = np.float32(1 / np.log(2))
_LN2 = np.float32(np.log(2))


@entry
def context_bands(
    bands: Any,
    neighbours: Any,
    grids: Any,
    parameters: Any,
    table: Any,
    places: Any,
    scratch: Any,
    gradient: Any,
    patch: Any,
    price: Any,
    backward: bool,
) -> float:
    """Return the bits of bands, rows of grids, whose columns say what their names say.

    `neighbours` are (row, column) offsets. If `backward`, the gradients of `price` times the bits
    are written to `gradient`, by the `parameters`, and to `patch`, by the rows that bands see. The
    first layer has a bias for each grid, one after the other.
    """
    last = table.shape[0] - 1
    begin(table, places[_X], scratch)
    if backward:
        patch[:] = _0
        gradient[:] = _0
        for layer in range(last + 1):
            clear(table, layer, scratch)
    total = 0.0
    for index in range(len(bands)):
        band = bands[index]
        first_bias = table[0, BIAS] + band[GRID] * table[0, OUTPUTS]
        columns = band[COLUMNS]
        for first in range(band[FIRST] * columns, band[STOP] * columns, BLOCK):
            used = min(BLOCK, band[STOP] * columns - first)
            points = -(-used // PANEL) * PANEL
            _contexts(grids, band, neighbours, first, used, points, places[_X], scratch)
            x = places[_X]
            for layer in range(last):
                bias = table[layer, BIAS] if layer else first_bias
                affine(parameters, table, layer, bias, scratch, x, points)
                x = table[layer, OUT]
                for o in range(table[layer, OUTPUTS]):
                    _rectify(scratch[x + o * STRIDE : x + o * STRIDE + points])
            bias = table[last, BIAS] if last else first_bias
            affine(parameters, table, last, bias, scratch, x, points)
            place = band[START] + first
            out = table[last, OUT]
            total += _laplace(
                grids[place : place + used],
                scratch[out : out + used],
                scratch[out + STRIDE : out + STRIDE + used],
                scratch[places[_SYMBOLS] : places[_SYMBOLS] + used],
                price,
            )
            if not backward:
                continue
            for o in range(2):
                scratch[out + o * STRIDE + used : out + o * STRIDE + points] = _0
            slope_of = out
            for layer in range(last, -1, -1):
                x = table[layer - 1, OUT] if layer else places[_X]
                bias = table[layer, BIAS] if layer else first_bias
                gradients(table, layer, scratch, slope_of, x, points, gradient[bias:])
                out = places[_EVEN] if layer % 2 else places[_ODD]
                back(parameters, table, layer, scratch, slope_of, out, points)
                slope_of = out
                if layer:
                    for o in range(table[layer - 1, OUTPUTS]):
                        y, active = out + o * STRIDE, table[layer - 1, OUT] + o * STRIDE
                        _mask(scratch[y : y + points], scratch[active : active + points])
            _contexts_back(band, neighbours, first, used, slope_of, places, scratch, patch)
    if backward:
        for layer in range(last + 1):
            add_up(table, layer, scratch, gradient)
    return total


@inner
def _contexts(
    grids: Any,
    band: Any,
    neighbours: Any,
    first: int,
    used: int,
    points: int,
    x: int,
    scratch: Any,
) -> None:
    """Set the neighbours of a block of symbols, from number `first` on: those outside are 0.

    Each neighbour's are a piece of the grid, but for those that lie beyond its left or right edge.
    """
    columns = band[COLUMNS]
    for k in range(len(neighbours)):
        down, across = neighbours[k]
        start = first + down * columns + across
        skip = min(max(0, -start), used)
        out = scratch[x + k * STRIDE : x + k * STRIDE + points]
        out[:skip] = _0
        piece = grids[band[START] + start + skip : band[START] + start + used]
        for p in range(used - skip):
            out[skip + p] = piece[p]
        out[used:] = _0
        _cut(out, first, used, columns, across)


@inner
def _contexts_back(
    band: Any,
    neighbours: Any,
    first: int,
    used: int,
    slope_of: int,
    places: Any,
    scratch: Any,
    patch: Any,
) -> None:
    """Add to the patch the gradients of a block's symbols and of their neighbours."""
    columns = band[COLUMNS]
    begin = band[PATCH] - band[TOP] * columns
    for p in range(used):
        patch[begin + first + p] += scratch[places[_SYMBOLS] + p]
    for k in range(len(neighbours)):
        down, across = neighbours[k]
        start = first + down * columns + across
        skip = min(max(0, -start), used)
        slopes = scratch[slope_of + k * STRIDE : slope_of + k * STRIDE + used]
        _cut(slopes, first, used, columns, across)
        piece = patch[begin + start + skip : begin + start + used]
        for p in range(used - skip):
            piece[p] += slopes[skip + p]


@inner
def _cut(values: Any, first: int, used: int, columns: int, across: int) -> None:
    """Set to 0 the values of a block whose neighbour, `across` columns away, lies outside."""
    outside = min(abs(across), columns)
    begin = 0 if across < 0 else columns - outside
    row = -(first % columns)
    while row < used:
        for p in range(max(0, row + begin), min(used, row + begin + outside)):
            values[p] = _0
        row += columns


@inner
def _rectify(values: Any) -> None:
    for p in range(len(values)):
        # The larger of v and 0, in a form that becomes vectors, and that a NaN survives.
        values[p] = _HALF * (values[p] + abs(values[p]))


@inner
def _mask(values: Any, active: Any) -> None:
    for p in range(len(values)):
        values[p] = values[p] if active[p] > _0 else _0


@summing
def _laplace(symbols: Any, means: Any, log2_scales: Any, slopes: Any, price: Any) -> Any:
    """Return the bits of symbols, and set the gradients of these, of the means and of the scales.

    The mass of a Laplace within 1/2 of each symbol: see `fit.context`, whose twin this is.
    """
    total = np.float32(0)
    for p in range(len(symbols)):
        clamped = min(max(log2_scales[p], _LOW), _HIGH)
        inverse = exp2(-clamped)
        offset = symbols[p] - means[p]
        a = abs(offset)
        near, far = abs(a - _HALF), a + _HALF
        e1, e2 = exp2(-near * inverse * _PER_LN2), exp2(-far * inverse * _PER_LN2)
        inside = _1 if a < _HALF else _0
        signed = e1 * (_1 - inside - inside)
        mass = max((signed - e2) * _HALF + inside, _LEAST_PROBABILITY)
        outer = -_HALF * _PER_LN2 * price / mass
        sign = _1 if offset > _0 else (-_1 if offset < _0 else _0)
        by_symbol = (e2 - e1) * inverse * outer * sign
        by_scale = (signed * near - e2 * far) * inverse * outer * _LN2
        outwards = (log2_scales[p] - clamped) * by_scale < _0
        total -= log2(mass)
        slopes[p] = by_symbol
        means[p] = -by_symbol
        log2_scales[p] = _0 if outwards else by_scale
    return total
