"""The rate of bands of the grids: contexts, the context network, its Laplace, and all backwards."""

from typing import Any

import numpy as np

from siren_codec.fit.kernels.compiler import entry, inner, summing
from siren_codec.fit.kernels.elementary import exp2, log2
from siren_codec.fit.kernels.layout import (
    BLOCK,
    PANEL,
    STRIDE,
    Band,
    ContextPlace,
    Layer,
    NetworkPlace,
)
from siren_codec.fit.kernels.network import add_up, begin, clear, forward
from siren_codec.fit.kernels.network import backward as backward_through

__all__ = ["context_bands"]

# numba takes an enumeration's members for objects.
OUTPUTS, BIAS, OUT = int(Layer.OUTPUTS), int(Layer.BIAS), int(Layer.OUT)
GRID, START, COLUMNS, TOP, FIRST, STOP, PATCH = map(int, Band)
_X, _SYMBOLS = int(NetworkPlace.X), int(ContextPlace.SYMBOLS)

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
    sources: Any,
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

    `neighbours` are (row, column) offsets, `sources` (grids, sources, 3) say which other grids are
    seen, as `Source` says; no gradient goes to these. If `backward`, the gradients of `price` times
    the bits are written to `gradient`, by the `parameters`, and to `patch`, by the rows that bands
    see. The first layer has a bias for each grid, one after the other.
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
            x = places[_X]
            _contexts(grids, band, neighbours, first, used, points, x, scratch)
            x += len(neighbours) * STRIDE
            _elsewhere(grids, columns, sources[band[GRID]], first, used, points, x, scratch)
            forward(parameters, table, first_bias, scratch, places, points, False)
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
            slope_of = backward_through(
                parameters, table, first_bias, scratch, places, points, False, gradient
            )
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
def _elsewhere(
    grids: Any,
    columns: int,
    sources: Any,
    first: int,
    used: int,
    points: int,
    x: int,
    scratch: Any,
) -> None:
    """Set what a block of symbols, from number `first` on, sees of other grids: 0 where none."""
    for k in range(len(sources)):
        out = scratch[x + k * STRIDE : x + k * STRIDE + points]
        start, width, octaves = sources[k]
        if start < 0:
            out[:] = _0
            continue
        row, column, p = first // columns, first % columns, 0
        while p < used:
            count = min(columns - column, used - p)
            base = start + (row >> octaves) * width
            for q in range(count):
                out[p + q] = grids[base + ((column + q) >> octaves)]
            row, column, p = row + 1, 0, p + count
        out[used:] = _0


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
