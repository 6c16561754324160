"""The distortion of a tile of the picture: grids sampled, the SIREN, and all of it backwards."""

from typing import Any

import numpy as np

from siren_codec.fit.kernels.blocks import blend, spread
from siren_codec.fit.kernels.compiler import entry, inner, summing
from siren_codec.fit.kernels.layout import (
    BLOCK,
    LANES,
    PANEL,
    STRIDE,
    STRIP,
    TAPS,
    Layer,
    Level,
    NetworkPlace,
    Seen,
    SirenPlace,
)
from siren_codec.fit.kernels.network import add_up, begin, clear, forward
from siren_codec.fit.kernels.network import backward as backward_through

__all__ = ["siren_tile"]

# numba takes an enumeration's members for objects.
BIAS, OUT = int(Layer.BIAS), int(Layer.OUT)
START, FEATURES, ROWS, COLUMNS, INPUT = map(int, Level)
LOW_ROW, HIGH_ROW, LOW_COLUMN, HIGH_COLUMN, PATCH, CELLS = map(int, Seen)
_X = int(NetworkPlace.X)
_TARGET, _VISIBLE, _NARROW, _SLOPES, _LINE = map(int, SirenPlace)

_0 = np.float32(0)
_1 = np.float32(1)
_2 = np.float32(2)


@entry
def siren_tile(
    area: Any,
    xs: Any,
    ys: Any,
    target: Any,
    visible: Any,
    grids: Any,
    levels: Any,
    seen: Any,
    column_taps: Any,
    column_weights: Any,
    row_taps: Any,
    row_weights: Any,
    parameters: Any,
    table: Any,
    places: Any,
    scratch: Any,
    gradient: Any,
    patch: Any,
    scale: Any,
    clip: bool,
    backward: bool,
) -> float:
    """Return the sum of squared errors of a tile, (top, bottom, left, right) of a lattice.

    `xs` and `ys` are the lattice's unit coordinates, `target` (channels, rows, columns) its
    samples, and `visible` the same, or empty, their weights. `levels` and `seen` say of each level
    of `grids` that takes part what their columns' names say; taps are (levels, points, 6). If
    `backward`, the gradients of `scale` times the sum are written to `gradient`, by the
    `parameters`, and to `patch`, by the cells seen. With `clip` samples are clipped to [-1, 1].
    """
    top, bottom, left, right = area
    last = table.shape[0] - 1
    begin(table, places[_X], scratch)
    if backward:
        patch[:] = _0
        gradient[:] = _0
        for layer in range(last + 1):
            clear(table, layer, scratch)
    total = 0.0
    strips = -(-(bottom - top) // STRIP)
    for strip in range(strips):
        first = top + (bottom - top) * strip // strips
        rows = top + (bottom - top) * (strip + 1) // strips - first
        width = -(-rows // LANES) * LANES
        _narrow(grids, levels, seen, row_taps, row_weights, first, rows, width, places, scratch)
        if backward:
            _clear_slopes(levels, seen, width, places, scratch)
        step = BLOCK // rows
        for column in range(left, right, step):
            columns = min(step, right - column)
            points = -(-rows * columns // PANEL) * PANEL
            _coordinates(xs, ys, first, rows, column, columns, points, places, scratch)
            _sample(
                *(levels, seen, column_taps, column_weights, column, columns, rows, width),
                *(points, places, scratch),
            )
            first_bias, out = table[0, BIAS], table[last, OUT]
            forward(parameters, table, first_bias, scratch, places, points, True)
            total += _errors(
                *(target, visible, first, rows, column, columns, points, out),
                *(places, scratch, _2 * scale, clip),
            )
            if not backward:
                continue
            slope_of = backward_through(
                parameters, table, first_bias, scratch, places, points, True, gradient
            )
            _sample_back(
                *(levels, seen, column_taps, column_weights, column, columns, rows, width),
                *(slope_of, places, scratch),
            )
        if backward:
            _narrow_back(
                *(patch, levels, seen, row_taps, row_weights, first, rows, width, places, scratch),
            )
    if backward:
        for layer in range(last + 1):
            add_up(table, layer, scratch, gradient)
    return total


@inner
def _narrow(
    grids: Any,
    levels: Any,
    seen: Any,
    taps: Any,
    weights: Any,
    first: int,
    rows: int,
    width: int,
    places: Any,
    scratch: Any,
) -> None:
    """Sample the grids at a strip's rows: (columns seen, rows) of each, rows made up to `width`."""
    for level in range(len(levels)):
        low, cells = seen[level, LOW_COLUMN], seen[level, HIGH_COLUMN] - seen[level, LOW_COLUMN]
        columns = levels[level, COLUMNS]
        line = scratch[places[_LINE] : places[_LINE] + cells]
        for feature in range(levels[level, FEATURES]):
            base = levels[level, START] + feature * levels[level, ROWS] * columns + low
            out = places[_NARROW] + (seen[level, CELLS] + feature * cells) * width
            for row in range(rows):
                _mix(
                    grids,
                    base,
                    columns,
                    taps[level, first + row],
                    weights[level, first + row],
                    line,
                )
                for cell in range(cells):
                    scratch[out + cell * width + row] = line[cell]
            for cell in range(cells):
                for row in range(rows, width):
                    scratch[out + cell * width + row] = _0


@inner
def _mix(grids: Any, base: int, columns: int, taps: Any, weights: Any, line: Any) -> None:
    """Set a row of cells to the weighted sum of 6 rows of a grid."""
    row0, row1 = grids[base + taps[0] * columns :], grids[base + taps[1] * columns :]
    row2, row3 = grids[base + taps[2] * columns :], grids[base + taps[3] * columns :]
    row4, row5 = grids[base + taps[4] * columns :], grids[base + taps[5] * columns :]
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    for cell in range(len(line)):
        outer = w0 * row0[cell] + w1 * row1[cell] + w4 * row4[cell] + w5 * row5[cell]
        line[cell] = outer + w2 * row2[cell] + w3 * row3[cell]


@inner
def _narrow_back(
    patch: Any,
    levels: Any,
    seen: Any,
    taps: Any,
    weights: Any,
    first: int,
    rows: int,
    width: int,
    places: Any,
    scratch: Any,
) -> None:
    """Add to the patch the gradient of the grids, given that of what `_narrow` returned."""
    for level in range(len(levels)):
        cells = seen[level, HIGH_COLUMN] - seen[level, LOW_COLUMN]
        height = seen[level, HIGH_ROW] - seen[level, LOW_ROW]
        line = scratch[places[_LINE] : places[_LINE] + cells]
        for feature in range(levels[level, FEATURES]):
            base = seen[level, PATCH] + feature * height * cells
            slopes = places[_SLOPES] + (seen[level, CELLS] + feature * cells) * width
            for row in range(rows):
                for cell in range(cells):
                    line[cell] = scratch[slopes + cell * width + row]
                for tap in range(TAPS):
                    at = base + (taps[level, first + row, tap] - seen[level, LOW_ROW]) * cells
                    _add(patch[at : at + cells], line, weights[level, first + row, tap])


@inner
def _clear_slopes(levels: Any, seen: Any, width: int, places: Any, scratch: Any) -> None:
    """Begin the gradients of a strip's cells anew."""
    for level in range(len(levels)):
        cells = seen[level, HIGH_COLUMN] - seen[level, LOW_COLUMN]
        start = places[_SLOPES] + seen[level, CELLS] * width
        scratch[start : start + levels[level, FEATURES] * cells * width] = _0


@inner
def _coordinates(
    xs: Any,
    ys: Any,
    first: int,
    rows: int,
    column: int,
    columns: int,
    points: int,
    places: Any,
    scratch: Any,
) -> None:
    """Set the first two inputs of a block: column by column, x and y of its points."""
    of_x, of_y = places[_X], places[_X] + STRIDE
    for j in range(columns):
        for row in range(rows):
            scratch[of_x + j * rows + row] = xs[column + j]
            scratch[of_y + j * rows + row] = ys[first + row]
    for p in range(rows * columns, points):
        scratch[of_x + p] = _0
        scratch[of_y + p] = _0


@inner
def _sample(
    levels: Any,
    seen: Any,
    taps: Any,
    weights: Any,
    column: int,
    columns: int,
    rows: int,
    width: int,
    points: int,
    places: Any,
    scratch: Any,
) -> None:
    """Set the other inputs of a block: each grid's values at its points.

    Columns go from left to right: what a vector holds beyond its rows the next one overwrites, and
    what is left beyond the last is set to 0.
    """
    for level in range(len(levels)):
        cells = seen[level, HIGH_COLUMN] - seen[level, LOW_COLUMN]
        for feature in range(levels[level, FEATURES]):
            out = places[_X] + (levels[level, INPUT] + feature) * STRIDE
            before = seen[level, CELLS] + feature * cells - seen[level, LOW_COLUMN]
            base = places[_NARROW] + before * width
            for j in range(columns):
                place = (level * taps.shape[1] + column + j) * TAPS
                blend(scratch, out + j * rows, scratch, base, width, taps, weights, place)
            for p in range(rows * columns, points):
                scratch[out + p] = _0


@inner
def _sample_back(
    levels: Any,
    seen: Any,
    taps: Any,
    weights: Any,
    column: int,
    columns: int,
    rows: int,
    width: int,
    slope_of: int,
    places: Any,
    scratch: Any,
) -> None:
    """Add the gradients of a strip's cells, given those of a block's inputs.

    What a vector reads beyond its rows goes to rows that nobody reads.
    """
    for level in range(len(levels)):
        cells = seen[level, HIGH_COLUMN] - seen[level, LOW_COLUMN]
        for feature in range(levels[level, FEATURES]):
            slope = slope_of + (levels[level, INPUT] + feature) * STRIDE
            before = seen[level, CELLS] + feature * cells - seen[level, LOW_COLUMN]
            base = places[_SLOPES] + before * width
            for j in range(columns):
                place = (level * taps.shape[1] + column + j) * TAPS
                spread(scratch, base, width, taps, weights, place, scratch, slope + j * rows)


@inner
def _errors(
    target: Any,
    visible: Any,
    first: int,
    rows: int,
    column: int,
    columns: int,
    points: int,
    out: int,
    places: Any,
    scratch: Any,
    twice: Any,
    clip: bool,
) -> float:
    """Return the sum of squared errors of a block, and make of its outputs their gradient."""
    total = 0.0
    used = rows * columns
    wanted = scratch[places[_TARGET] : places[_TARGET] + used]
    weight = scratch[places[_VISIBLE] : places[_VISIBLE] + used]
    weight[:] = _1
    for channel in range(target.shape[0]):
        for row in range(rows):
            for j in range(columns):
                wanted[j * rows + row] = target[channel, first + row, column + j]
        if visible.size:
            for row in range(rows):
                for j in range(columns):
                    weight[j * rows + row] = visible[channel, first + row, column + j]
        outputs = scratch[out + channel * STRIDE : out + channel * STRIDE + points]
        if clip:
            for p in range(used):
                outputs[p] = min(max(outputs[p], -_1), _1)
        total += _squares(outputs[:used], wanted, weight, twice)
        outputs[used:] = _0
    return total


@summing
def _squares(outputs: Any, wanted: Any, weight: Any, twice: Any) -> Any:
    total = np.float32(0)
    for p in range(len(outputs)):
        off = outputs[p] - wanted[p]
        of_weight = off * weight[p]
        total += off * of_weight
        outputs[p] = twice * of_weight
    return total


@inner
def _add(values: Any, others: Any, factor: Any) -> None:
    for p in range(len(values)):
        values[p] += factor * others[p]
